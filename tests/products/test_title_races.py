"""Several people call the listings of one item otherwise at the same moment: raced for by real connections."""

from __future__ import annotations

from functools import partial

import pytest
from django.conf import LazySettings

from products import update
from products.models import Listing, ListingRequest
from products.update import retitle_listings
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory
from tests.inventory.races import must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("P14")]

ROUNDS = 6
LISTINGS = 8


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> None:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False


@pytest.fixture
def own_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody holds the listing that they were asked for, and not those of the same item."""
    alone = "SELECT id FROM products_listing WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE"
    monkeypatch.setattr(update, "LOCK", alone)


def eight_titles() -> None:
    """Whoever comes last has named all of them, and one request tells it."""
    for number in range(ROUNDS):
        shop = ShopFactory.create()
        idents = [
            ListingFactory.create(shop=shop, outer_item_id=f"I{number}", outer_sku_id=f"S{place}").pk
            for place in range(LISTINGS)
        ]

        run_together(
            [
                partial(retitle_listings, titles={ident: f"Title {place}"}, at=NOON, by="user:7")
                for place, ident in enumerate(reversed(idents))
            ]
        )

        assert Listing.objects.filter(pk__in=idents).values("title").distinct().count() == 1
        assert ListingRequest.objects.filter(shop=shop).count() == 1


def test_all_listings_of_an_item_end_with_one_title() -> None:
    eight_titles()


def test_who_holds_only_one_of_them_breaks_it(own_rows_only: None) -> None:
    must_break(eight_titles)
