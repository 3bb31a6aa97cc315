"""Catalogues given, runs applied and windows opened by many at the same moment: raced for by real connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError

from omni.kernel.models import Job
from products.assortment import apply as applying
from products.assortment import notice, select
from products.assortment import plan as planning
from products.assortment.apply import NothingToApply, apply_assortment, start_apply
from products.assortment.conditions import Wish
from products.assortment.notice import check_changed_catalogues
from products.assortment.plan import open_due_windows
from products.assortment.select import CatalogueDraft, HasCatalogue, define_catalogue
from products.models import (
    AssortmentRow,
    AssortmentRun,
    AssortmentShop,
    Catalogue,
    Listing,
    Shop,
    ShopCatalogue,
)
from tests.factories.assortment import BUYER, a_rule, planned
from tests.factories.orders import NOON
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory, SpuFactory
from tests.inventory.races import must_break, run_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.capability("P8")]

ROUNDS = 4
BY: dict[str, Any] = {"at": NOON, "by": BUYER}
NO_KEY = "FOR NO KEY UPDATE"


@pytest.fixture(autouse=True)
def quiet_doorbell(settings: LazySettings) -> Iterator[None]:
    """The bells would only slow the race down."""
    settings.OMNI_DOORBELL = False
    yield
    # what their foreign keys do not take along when the tables are emptied
    AssortmentRow.objects.all().delete()


def give(shop: Shop, code: str) -> str:
    draft = CatalogueDraft(code=code, name=code, wish=Wish(), shop_ids=[shop.pk])
    try:
        define_catalogue(draft=draft, **BY)
    except HasCatalogue:
        return "has one"
    return "given"


def eight_catalogues_for_one_shop() -> None:
    for _ in range(ROUNDS):
        shop = ShopFactory.create()

        results = run_together([partial(give, shop, f"{shop.code}-{number}") for number in range(8)])

        assert sorted(results) == ["given"] + ["has one"] * 7
        assert Catalogue.objects.filter(code__startswith=f"{shop.code}-").count() == 1


def test_of_eight_catalogues_given_to_a_shop_one_is_taken_and_seven_say_why() -> None:
    eight_catalogues_for_one_shop()


def test_without_the_lock_the_constraint_would_refuse_them_rudely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "LOCK_SHOPS", select.LOCK_SHOPS.replace(NO_KEY, ""))
    with pytest.raises(IntegrityError):
        eight_catalogues_for_one_shop()


def shops_leave_while_the_sweep_looks() -> None:
    for number in range(ROUNDS * 2):
        shops = [ShopFactory.create() for _ in range(3)]
        for shop in shops:
            ListingFactory.create(shop=shop)
        draft = CatalogueDraft(
            code=f"leave-{shops[0].code}-{number}",
            name="x",
            wish=Wish(),
            shop_ids=[shop.pk for shop in shops],
        )
        catalogue = define_catalogue(draft=draft, **BY)
        left = CatalogueDraft(name="x", wish=Wish())
        jobs: list[Callable[[], Any]] = [
            partial(define_catalogue, draft=left, catalogue_id=catalogue.pk, **BY),
            *(partial(check_changed_catalogues, at=NOON) for _ in range(3)),
        ]

        run_together(jobs)

        assert not ShopCatalogue.objects.filter(catalogue=catalogue).exists()


def test_shops_leave_a_catalogue_while_their_listings_are_looked_at() -> None:
    shops_leave_while_the_sweep_looks()


def test_without_the_order_of_the_locks_they_would_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(select, "lock_outside", lambda: None)
    must_break(shops_leave_while_the_sweep_looks)
    assert notice.LOCK


def press_apply(run: AssortmentRun) -> str:
    try:
        start_apply(run_id=run.pk, **BY)
    except NothingToApply:
        return "over"
    return "applied"


def eight_people_press_apply() -> None:
    for _ in range(ROUNDS):
        shop = ShopFactory.create()
        a_rule(shop, tags=["gift"], name=shop.code)
        run = planned(shop)
        before = Job.objects.count()

        results = run_together([partial(press_apply, run)] * 8)

        assert sorted(results) == ["applied"] + ["over"] * 7
        assert Job.objects.count() == before + 1
        Job.objects.update(state="done")


def test_a_run_that_eight_people_apply_is_applied_once() -> None:
    eight_people_press_apply()


def test_without_the_lock_it_would_be_applied_by_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "LOCK_RUN", applying.LOCK_RUN.replace(NO_KEY, ""))
    must_break(eight_people_press_apply)


def test_two_runs_of_a_shop_that_are_applied_together_draft_each_sku_once() -> None:
    shop = ShopFactory.create()
    for _ in range(30):
        SkuFactory.create(spu=SpuFactory.create(tags=["gift"]))
    a_rule(shop, tags=["gift"])
    runs = [planned(shop) for _ in range(4)]
    for run in runs:
        start_apply(run_id=run.pk, **BY)
    jobs = list(Job.objects.order_by("-pk")[:4])

    run_together([partial(lambda job: list(apply_assortment(job)), job) for job in jobs])

    assert Listing.objects.filter(shop=shop).count() == 30
    states = AssortmentRow.objects.filter(run__in=[run.pk for run in runs]).values_list("state", flat=True)
    assert sorted(states) == ["done"] * 30 + ["skipped"] * 90
    assert sum(AssortmentShop.objects.values_list("done", flat=True)) == 30


def one_window_and_eight_clocks() -> None:
    for number in range(ROUNDS):
        moment = NOON + timedelta(hours=number + 1)
        shop = ShopFactory.create()
        a_rule(shop, tags=["gift"], name=f"window {shop.code}", starts_at=moment)

        runs = run_together([partial(open_due_windows, at=moment)] * 8)

        assert sum(run is not None for run in runs) == 1


def test_a_window_opens_once_however_many_clocks_look() -> None:
    one_window_and_eight_clocks()


def test_without_the_lock_it_would_open_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "DUE", planning.DUE.replace(f"{NO_KEY} SKIP LOCKED", ""))
    must_break(one_window_and_eight_clocks)
