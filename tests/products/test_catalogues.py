"""A shop sells only what its sales catalogue holds: by conditions on the master, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from omni.kernel.models import AuditEntry
from products.arrange import create_category, move_category
from products.assortment.conditions import BadConditions, Wish
from products.assortment.holding import outside_pairs
from products.assortment.notice import check_changed_catalogues
from products.assortment.select import (
    BadCatalogue,
    CatalogueDraft,
    ForeignShop,
    HasCatalogue,
    define_catalogue,
    pick_skus,
)
from products.draft import draft_listings
from products.drift import CHECKS
from products.events import ListingsChanged, ProductsChanged
from products.models import Catalogue, Listing, ListingRequest, OutsideListing, Shop, Sku, StaffScope
from products.reactions import look_at_changed_products, look_at_listed_skus
from products.request import claim_due_requests, publish_listings
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P7")]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}


def a_catalogue(*shops: Shop, code: str = "summer", **wish: Any) -> Catalogue:
    draft = CatalogueDraft(
        code=code, name=code.title(), wish=Wish(**wish), shop_ids=[shop.pk for shop in shops]
    )
    return define_catalogue(draft=draft, **BY)


def change(catalogue: Catalogue, *shops: Shop, is_active: bool = True, **wish: Any) -> Catalogue:
    draft = CatalogueDraft(
        name=catalogue.name, wish=Wish(**wish), shop_ids=[shop.pk for shop in shops], is_active=is_active
    )
    return define_catalogue(draft=draft, catalogue_id=catalogue.pk, **BY)


def held(shop: Shop, skus: Sequence[Sku]) -> list[Sku]:
    outside = outside_pairs([(shop.pk, sku.pk) for sku in skus])
    return [sku for sku in skus if (shop.pk, sku.pk) not in outside]


def outside() -> list[int]:
    return list(OutsideListing.objects.order_by("listing_id").values_list("listing_id", flat=True))


# --- what it holds --------------------------------------------------------------------------------------------


def test_a_shop_without_a_catalogue_may_sell_everything() -> None:
    sku = SkuFactory.create()

    assert held(ShopFactory.create(), [sku]) == [sku]


def test_of_every_condition_that_is_given_one_value_must_fit() -> None:
    shop, brand = ShopFactory.create(), BrandFactory.create()
    root = create_category(code="beauty", name="Beauty", parent_id=None, **BY)
    leaf = create_category(code="serum", name="Serum", parent_id=root.pk, **BY)
    other = create_category(code="beauty2", name="Not below it", parent_id=None, **BY)

    def sku(price: str | None = "150", currency: str = "CNY", **values: Any) -> Sku:
        values = {
            "brand": brand,
            "category": leaf,
            "tags": ["new", "gift"],
            "season": "26S",
            **values,
        }
        return SkuFactory.create(
            spu=SpuFactory.create(**values), list_price=price and Decimal(price), currency=currency
        )

    fitting = [
        sku(),
        sku(category=root),
        sku(tags=["gift"]),
        sku(price="100"),
        sku(price="200"),
        sku(season="26A"),
    ]
    others = [
        sku(brand=BrandFactory.create()),
        sku(category=other),
        sku(category=None),
        sku(tags=["sale"]),
        sku(tags=[]),
        sku(season="25S"),
        sku(season=""),
        sku(price="99.99"),
        sku(price="200.01"),
        sku(price=None),
        sku(currency="EUR"),
    ]
    a_catalogue(
        shop,
        brand_id=brand.pk,
        category_id=root.pk,
        tags=["gift", "x"],
        seasons=["26S", "26A"],
        price_from=Decimal(100),
        price_to=Decimal(200),
    )

    assert held(shop, [*fitting, *others]) == fitting


def test_a_category_that_moves_takes_its_products_along() -> None:
    shop = ShopFactory.create()
    root = create_category(code="beauty", name="Beauty", parent_id=None, **BY)
    leaf = create_category(code="serum", name="Serum", parent_id=None, **BY)
    sku = SkuFactory.create(spu=SpuFactory.create(category=leaf))
    listing = ListingFactory.create(shop=shop, sku=sku)
    a_catalogue(shop, category_id=root.pk)
    check_changed_catalogues(at=NOON)
    assert (held(shop, [sku]), outside()) == ([], [listing.pk])

    move_category(category_id=leaf.pk, parent_id=root.pk, **BY)

    assert check_changed_catalogues(at=NOON) == 1
    assert (held(shop, [sku]), outside()) == ([sku], [])


def test_without_conditions_it_holds_what_was_picked_by_hand_and_nothing_else() -> None:
    shop, skus = ShopFactory.create(), [SkuFactory.create() for _ in range(2)]
    catalogue = a_catalogue(shop)
    assert held(shop, skus) == []

    pick_skus(catalogue_id=catalogue.pk, sku_ids=[skus[1].pk], is_in=True, reason="bestseller", **BY)

    assert held(shop, skus) == [skus[1]]
    entry = AuditEntry.objects.get(action="catalogue.picked")
    assert (entry.reason, entry.detail["skus"]) == ("bestseller", [skus[1].pk])


def test_what_is_kept_out_by_hand_stays_out_until_the_conditions_decide_again() -> None:
    shop, sku = ShopFactory.create(), SkuFactory.create()
    catalogue = a_catalogue(shop, brand_id=sku.spu.brand_id)

    pick_skus(catalogue_id=catalogue.pk, sku_ids=[sku.pk], is_in=False, **BY)
    assert held(shop, [sku]) == []
    pick_skus(catalogue_id=catalogue.pk, sku_ids=[sku.pk], is_in=None, **BY)

    assert held(shop, [sku]) == [sku]


def test_each_sku_that_cannot_be_picked_says_why() -> None:
    sku = SkuFactory.create()
    stranger = SkuFactory.create()
    catalogue = a_catalogue(brand_id=sku.spu.brand_id)
    pick_skus(catalogue_id=catalogue.pk, sku_ids=[sku.pk], is_in=True, **BY)

    again, foreign, missing = pick_skus(
        catalogue_id=catalogue.pk, sku_ids=[sku.pk, stranger.pk, 0], is_in=True, **BY
    )

    assert (again.ok, foreign.ok, missing.ok) == (False, False, False)
    assert "already" in again.detail
    assert "another brand" in foreign.detail
    assert "no such SKU" in missing.detail


def test_a_sku_that_is_not_sold_any_more_is_in_no_catalogue() -> None:
    shop, sku = ShopFactory.create(), SkuFactory.create(is_active=False)
    catalogue = a_catalogue(shop, brand_id=sku.spu.brand_id)
    pick_skus(catalogue_id=catalogue.pk, sku_ids=[sku.pk], is_in=True, **BY)

    assert held(shop, [sku]) == []


def test_a_catalogue_that_is_not_in_force_binds_nobody() -> None:
    shop, sku = ShopFactory.create(), SkuFactory.create()
    catalogue = a_catalogue(shop)

    change(catalogue, shop, is_active=False)

    assert held(shop, [sku]) == [sku]


# --- entering it ----------------------------------------------------------------------------------------------


def test_a_shop_has_one_catalogue_at_most() -> None:
    shop = ShopFactory.create()
    a_catalogue(shop, code="spring")

    with pytest.raises(HasCatalogue) as refusal:
        a_catalogue(shop, code="summer")

    assert "Spring" in refusal.value.detail
    assert list(refusal.value.fields) == ["shops"]
    assert not Catalogue.objects.filter(code="summer").exists()


def test_a_catalogue_of_a_brand_is_for_no_shop_of_another_one() -> None:
    shop = ShopFactory.create(brand=BrandFactory.create())

    with pytest.raises(ForeignShop):
        a_catalogue(shop, brand_id=BrandFactory.create().pk)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"price_from": Decimal(10), "price_to": Decimal(9)}, "price_to"),
        ({"price_from": Decimal(-1)}, "price_from"),
        ({"brand_id": 0}, "brand"),
        ({"category_id": 0}, "category"),
        ({"tags": ["x" * 33]}, "tags"),
        ({"seasons": [str(number) for number in range(51)]}, "seasons"),
    ],
)
def test_conditions_that_nothing_can_meet_are_refused(wish: dict[str, Any], field: str) -> None:
    with pytest.raises(BadConditions) as refusal:
        a_catalogue(**wish)

    assert list(refusal.value.fields) == [field]
    assert not Catalogue.objects.exists()


@pytest.mark.parametrize("code", ["", "a b", "x" * 33, "taken"])
def test_a_code_that_no_catalogue_can_have_is_refused(code: str) -> None:
    a_catalogue(code="taken")

    with pytest.raises(BadCatalogue):
        a_catalogue(code=code)


def test_saying_the_same_again_changes_nothing() -> None:
    shop, brand = ShopFactory.create(), BrandFactory.create()
    catalogue = a_catalogue(shop, brand_id=brand.pk, tags=["new", " new ", ""])

    same = change(catalogue, shop, brand_id=brand.pk, tags=["new"])
    assert (same.version, AuditEntry.objects.filter(action="catalogue.changed").count()) == (1, 0)
    other = change(catalogue, brand_id=brand.pk, tags=["new"])

    assert other.version == 2
    assert not other.shop_catalogues.exists()


# --- what it is good for --------------------------------------------------------------------------------------


def test_nothing_outside_the_catalogue_is_drafted() -> None:
    shop, free, skus = ShopFactory.create(), ShopFactory.create(), [SkuFactory.create() for _ in range(2)]
    a_catalogue(shop, brand_id=skus[0].spu.brand_id)

    draft_listings(shop_ids=[shop.pk, free.pk], sku_ids=[sku.pk for sku in skus], **BY)

    drafted = Listing.objects.order_by("shop_id", "sku_id").values_list("shop_id", "sku_id")
    assert list(drafted) == [(shop.pk, skus[0].pk), (free.pk, skus[0].pk), (free.pk, skus[1].pk)]


def test_nothing_outside_the_catalogue_is_put_on_sale() -> None:
    shop = ShopFactory.create()
    inside, outside = (ListingFactory.create(shop=shop, state="approved") for _ in range(2))
    a_catalogue(shop, brand_id=inside.sku.spu.brand_id)

    _batch, (yes, no) = publish_listings(listing_ids=[inside.pk, outside.pk], **BY)

    assert yes.ok
    assert not no.ok
    assert "Summer" in no.detail
    assert list(ListingRequest.objects.values_list("listing_id", flat=True)) == [inside.pk]


def test_what_was_planned_and_is_outside_by_then_is_never_asked_of_the_channel() -> None:
    listing = ListingFactory.create(state="approved")
    catalogue = a_catalogue(listing.shop, brand_id=listing.sku.spu.brand_id)
    publish_listings(listing_ids=[listing.pk], **BY)

    change(catalogue, listing.shop, tags=["none"])

    assert claim_due_requests(shop_id=listing.shop_id, limit=10, at=NOON) == []
    request = ListingRequest.objects.get()
    assert (request.state, "catalogue" in request.answer) == ("refused", True)


def test_what_is_on_sale_outside_is_told_and_never_withdrawn_silently() -> None:
    shop = ShopFactory.create()
    ListingFactory.create(shop=shop, sku=SkuFactory.create(spu=SpuFactory.create(tags=["gift"])))
    on_sale = ListingFactory.create(shop=shop)
    ListingFactory.create(shop=shop, state="delisted")
    ListingFactory.create(sku=on_sale.sku)

    catalogue = a_catalogue(shop, tags=["gift"])
    assert check_changed_catalogues(at=NOON) == 1

    assert outside() == [on_sale.pk]
    assert not ListingRequest.objects.exists()
    assert check_changed_catalogues(at=NOON) == 0
    pick_skus(catalogue_id=catalogue.pk, sku_ids=[on_sale.sku_id], is_in=True, **BY)
    assert outside() == []


def test_a_product_that_changes_leaves_the_catalogue_and_comes_back() -> None:
    listing = ListingFactory.create(sku=SkuFactory.create(spu=SpuFactory.create(tags=["gift"])))
    a_catalogue(listing.shop, tags=["gift"])
    check_changed_catalogues(at=NOON)
    spu = listing.sku.spu

    for tags, expected in (([], [listing.pk]), (["gift"], [])):
        spu.tags = tags
        spu.save()
        look_at_changed_products(ProductsChanged((spu.pk,), ()))

        assert outside() == expected


def test_what_is_mapped_anew_is_looked_at() -> None:
    shop = ShopFactory.create()
    a_catalogue(shop)
    check_changed_catalogues(at=NOON)
    listing = ListingFactory.create(shop=shop)

    look_at_listed_skus(ListingsChanged(shop.pk, (listing.sku_id,)))

    assert outside() == [listing.pk]


def test_a_shop_that_leaves_the_catalogue_has_nothing_outside_any_more() -> None:
    listing = ListingFactory.create()
    catalogue = a_catalogue(listing.shop)
    look_at_listed_skus(ListingsChanged(listing.shop_id, (listing.sku_id,)))
    assert outside() == [listing.pk]

    change(catalogue)

    assert outside() == []


def test_the_doctor_finds_what_the_list_does_not_tell_or_tells_wrongly() -> None:
    [check] = [check for check in CHECKS if check.code == "catalogues.what_is_outside_is_told"]
    untold, wrong = ListingFactory.create(), ListingFactory.create()
    tagged = ListingFactory.create(sku=SkuFactory.create(spu=SpuFactory.create(tags=["gift"])))
    catalogue = a_catalogue(
        untold.shop, wrong.shop, tagged.shop, tags=["gift", "x"], price_from=None, code="gifts"
    )
    pick_skus(catalogue_id=catalogue.pk, sku_ids=[wrong.sku_id], is_in=True, **BY)
    check_changed_catalogues(at=NOON)
    assert (outside(), check.find(10)) == ([untold.pk], [])

    OutsideListing.objects.update(listing_id=wrong.pk)

    assert [(row["listing"], row["is_told"]) for row in check.find(10)] == [
        (untold.pk, False),
        (wrong.pk, True),
    ]


# --- pages ----------------------------------------------------------------------------------------------------


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


FORM = {"name": "Summer", "tags": "", "seasons": "", "currency": "CNY", "is_active": "on", "note": ""}


def test_a_catalogue_is_entered_and_what_is_refused_stands_at_its_field(boss: Client) -> None:
    shop, taken = ShopFactory.create(), ShopFactory.create()
    a_catalogue(taken, code="spring")
    page = reverse("admin:products_catalogue_add")

    refused = boss.post(page, {**FORM, "code": "summer", "tags": "gift，new", "shops": [shop.pk, taken.pk]})
    assert "Spring" in str(refused.context["adminform"].form.errors["shops"])
    answer = boss.post(page, {**FORM, "code": "summer", "tags": "gift，new", "shops": [shop.pk]})

    assert answer.status_code == 302
    catalogue = Catalogue.objects.get(code="summer")
    assert catalogue.tags == ["gift", "new"]
    shown = boss.get(reverse("admin:products_catalogue_change", args=[catalogue.pk]))
    assert shown.context["adminform"].form["shops"].initial == [shop.pk]


def test_skus_are_picked_in_their_list_and_the_list_shows_what_a_catalogue_holds(boss: Client) -> None:
    skus = [SkuFactory.create() for _ in range(2)]
    catalogue = a_catalogue()
    page = reverse("admin:products_sku_changelist")
    chosen = {"action": "pick_for_catalogue", "_selected_action": [skus[1].pk]}

    boss.post(page, {**chosen, "asked": "1", "catalogue": catalogue.pk, "how": "in", "reason": "asked for"})

    shown = boss.get(page, {"catalogue": catalogue.pk}).context["cl"].result_list
    assert [row.pk for row in shown] == [skus[1].pk]
    picks = reverse("admin:products_cataloguepick_changelist")
    assert skus[1].code.encode() in boss.get(picks, {"catalogue": catalogue.pk}).content
    boss.post(picks, {"action": "let_conditions_decide", "_selected_action": [catalogue.picks.get().pk]})
    assert not catalogue.picks.exists()


def test_whoever_sees_only_some_of_its_shops_may_look_and_change_nothing(client: Client) -> None:
    mine, other = ShopFactory.create(), ShopFactory.create()
    catalogue = a_catalogue(mine, other)
    own = a_catalogue(code="own")
    define_catalogue(draft=CatalogueDraft(name="Own", wish=Wish()), catalogue_id=own.pk, **BY)
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="products"))
    StaffScope.objects.create(user=user, shop=mine)
    client.force_login(user)

    listed = client.get(reverse("admin:products_catalogue_changelist")).context["cl"].result_list
    page = reverse("admin:products_catalogue_change", args=[catalogue.pk])

    assert [row.pk for row in listed] == [catalogue.pk]
    assert other.name.encode() in client.get(page).content
    assert client.post(page, {**FORM, "shops": [mine.pk]}).status_code == 403
    asked = {"action": "pick_for_catalogue", "_selected_action": [SkuFactory.create().pk]}
    SkuFactory.create()
    client.post(reverse("admin:products_sku_changelist"), {**asked, "asked": "1", "how": "in"})
    assert not catalogue.picks.exists()


def test_the_queue_shows_what_is_on_sale_outside_the_catalogue(boss: Client) -> None:
    listing = ListingFactory.create()
    a_catalogue(listing.shop)
    check_changed_catalogues(at=NOON)

    page = boss.get(reverse("admin:products_listing_queue", args=["outside"]))

    assert [row.pk for row in page.context["cl"].result_list] == [listing.pk]
    assert b"Summer" in page.content
