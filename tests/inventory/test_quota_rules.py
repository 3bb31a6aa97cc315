"""How shops share: what each mode draws on and shows, which rule holds, and what is kept back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.availability import explain_stock, sellable_stock
from inventory.models import (
    DailyDemand,
    Location,
    QuotaRule,
    ShopExposure,
    ShopPool,
    StockPool,
)
from inventory.pools import PoolMove, move_between_pools
from inventory.quota.define import BadQuota, QuotaWish, end_quota_rule, set_quota_rule
from inventory.quota.derive import derive_draws
from inventory.quota.expose import compute_exposures
from inventory.quota.keep import SafetyNeedsLocation, SafetyWish, keep_safety
from inventory.quota.promote import LockWish, cancel_lock, plan_lock
from inventory.quota.revoke import TakeBack, take_back
from inventory.quota.scopes import rules_held
from inventory.reserve import Demand, reserve_stock
from products.models import Shop, Sku
from tests.factories.inventory import LocationFactory, put_stock, shop_drawing_on
from tests.factories.products import (
    BrandFactory,
    CategoryFactory,
    ListingFactory,
    ShopFactory,
    SkuFactory,
    SpuFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def place() -> Location:
    return LocationFactory.create()


@pytest.fixture
def sku(place: Location) -> Sku:
    """100 units of it lie there."""
    sku = SkuFactory.create()
    put_stock(place, sku, 100)
    return sku


def rule(place: Location, shop: Shop, mode: str, **more: Any) -> QuotaRule:
    wish = QuotaWish(group_id=place.group_id, shop_id=shop.pk, mode=mode, **more)
    return set_quota_rule(wish=wish, at=timezone.now(), by="user:1", reason="test")


def grant(
    place: Location, sku: Sku, kind: str, label: str, units: int, *, giver: str = "shared"
) -> StockPool:
    """So many units from the shared pool to another one."""
    group = place.group
    pool, _is_new = StockPool.objects.get_or_create(group=group, sku=sku, kind=kind, label=label)
    source = StockPool.objects.get(group=group, sku=sku, kind=giver, label="")
    moves = [PoolMove(source.pk, pool.pk, units)]
    move_between_pools(key=uuid4().hex, moves=moves, at=timezone.now(), by="user:1", reason="")
    return pool


def sellable(sku: Sku, *shops: Shop) -> list[int]:
    found = sellable_stock(sku_ids=[sku.pk], shop_ids=[shop.pk for shop in shops])
    return [found[shop.pk, sku.pk] for shop in shops]


def order(shop: Shop, sku: Sku, units: int) -> int:
    demand = Demand(uuid4(), shop.pk, sku.pk, units)
    return reserve_stock(wanted=[demand], at=timezone.now(), by="test")[0].reserved


# modes -------------------------------------------------------------------------------------------------------


@pytest.mark.capability("V3", "V4", "V15")
def test_an_exclusive_quota_of_55_of_100_leaves_45_to_the_others(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    grant(place, sku, "quota", a.code, 55)

    rule(place, a, "exclusive")

    assert sellable(sku, a, b) == [55, 45]
    assert order(a, sku, 56) == 0
    assert order(b, sku, 46) == 0


@pytest.mark.capability("V3", "V15")
def test_lock_and_share_sells_its_quota_and_then_with_the_others(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    grant(place, sku, "quota", a.code, 55)

    rule(place, a, "lock_share")

    assert sellable(sku, a, b) == [100, 45]
    assert order(a, sku, 60) == 60
    assert sellable(sku, a, b) == [40, 40]


@pytest.mark.capability("V3", "V12")
def test_shared_ratios_may_add_up_to_120_percent_and_nobody_is_oversold(place: Location, sku: Sku) -> None:
    ratios = [Decimal("0.4"), Decimal("0.2"), Decimal("0.4"), Decimal("0.2")]
    shops = [shop_drawing_on(place.group) for _ in ratios]

    for shop, ratio in zip(shops, ratios, strict=True):
        rule(place, shop, "shared", publish_ratio=ratio)

    assert sellable(sku, *shops) == [40, 20, 40, 20]
    assert [order(shop, sku, units) for shop, units in zip(shops, (40, 20, 40, 20), strict=True)] == [
        40,
        20,
        40,
        0,
    ]


def test_own_units_go_first_whatever_the_positions(place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    quota = grant(place, sku, "quota", shop.code, 5)
    rule(place, shop, "lock_share")

    order(shop, sku, 4)

    assert StockPool.objects.get(pk=quota.pk).reserved == 4


def test_no_more_is_shown_than_the_maximum(place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)

    rule(place, shop, "shared", maximum=30)

    assert sellable(sku, shop) == [30]


def test_an_ended_rule_gives_way_to_what_was_before(place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    before = rule(place, shop, "exclusive")
    assert sellable(sku, shop) == [0]

    end_quota_rule(rule_id=before.pk, at=timezone.now(), by="user:1", reason="test")

    assert sellable(sku, shop) == [100]
    assert derive_draws(at=timezone.now()) <= 1  # the row is nobody's rule any more
    assert derive_draws(at=timezone.now()) == 0


def test_units_of_a_quota_are_not_stranded_when_the_shop_shares_again(place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    grant(place, sku, "quota", shop.code, 55)
    rule(place, shop, "exclusive")

    rule(place, shop, "shared")

    assert sellable(sku, shop) == [100]


def test_what_was_set_for_one_sku_by_hand_is_left_alone(place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    ShopPool.objects.create(
        shop=shop, group=place.group, kind="shared", sku=sku, publish_ratio=Decimal("0.1")
    )

    rule(place, shop, "exclusive")
    rule(place, shop, "exclusive", sku_id=sku.pk)

    assert sellable(sku, shop) == [10]


def test_a_shop_that_by_hand_draws_on_a_pool_of_its_own_alone_is_given_no_other(
    place: Location, sku: Sku
) -> None:
    shop = shop_drawing_on()
    ShopPool.objects.create(shop=shop, group=place.group, kind="quota", label="Q")
    grant(place, sku, "quota", "Q", 7)

    derive_draws(at=timezone.now())

    assert sellable(sku, shop) == [7]


def test_a_rule_for_one_sku_opens_a_group_for_that_sku_alone(place: Location, sku: Sku) -> None:
    shop, other = ShopFactory.create(), SkuFactory.create()
    put_stock(place, other, 9)

    rule(place, shop, "shared", sku_id=sku.pk)

    assert sellable(sku, shop) == [100]
    assert sellable(other, shop) == [0]


# which rule holds --------------------------------------------------------------------------------------------


@pytest.mark.capability("V3")
def test_the_most_specific_rule_holds(place: Location) -> None:
    brand, root = BrandFactory.create(), CategoryFactory.create()
    leaf = CategoryFactory.create(parent=root, path=f"{root.path}leaf/")
    shop = shop_drawing_on(place.group)
    skus = {
        "default": SkuFactory.create(),
        "brand": SkuFactory.create(spu=SpuFactory.create(brand=brand)),
        "category": SkuFactory.create(spu=SpuFactory.create(brand=brand, category=root)),
        "leaf": SkuFactory.create(spu=SpuFactory.create(brand=brand, category=leaf)),
        "sku": SkuFactory.create(spu=SpuFactory.create(brand=brand, category=leaf)),
    }
    rules = {
        "sku": rule(place, shop, "shared", sku_id=skus["sku"].pk),
        "leaf": rule(place, shop, "shared", category_id=leaf.pk),
        "category": rule(place, shop, "shared", category_id=root.pk),
        "brand": rule(place, shop, "shared", brand_id=brand.pk),
        "default": rule(place, shop, "shared"),
    }

    held = rules_held([sku.pk for sku in skus.values()])

    assert {name: held[place.group_id, shop.pk, sku.pk] for name, sku in skus.items()} == {
        name: each.pk for name, each in rules.items()
    }


def test_a_rule_of_a_brand_is_drawn_by_and_shown(place: Location) -> None:
    brand = BrandFactory.create()
    sku, other = SkuFactory.create(spu=SpuFactory.create(brand=brand)), SkuFactory.create()
    for each in (sku, other):
        put_stock(place, each, 100)
    shop = shop_drawing_on(place.group)

    rule(place, shop, "shared", brand_id=brand.pk, publish_ratio=Decimal("0.25"))

    assert (sellable(sku, shop), sellable(other, shop)) == ([25], [100])


@pytest.mark.parametrize(
    ("faulty", "field"),
    [
        ({"quota_ratio": Decimal("1.2")}, "quota_ratio"),
        ({"publish_ratio": Decimal("-0.1")}, "publish_ratio"),
        ({"minimum": 5, "maximum": 4}, "maximum"),
        ({"service_level": Decimal(1)}, "service_level"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused_at_its_field(
    place: Location, faulty: dict[str, Any], field: str
) -> None:
    shop = shop_drawing_on(place.group)

    with pytest.raises(BadQuota) as refused:
        rule(place, shop, "exclusive", **faulty)

    assert list(refused.value.fields) == [field]
    assert not QuotaRule.objects.exists()


def test_quotas_of_one_scope_grant_no_more_than_there_is(place: Location) -> None:
    rule(place, shop_drawing_on(place.group), "exclusive", quota_ratio=Decimal("0.7"))

    with pytest.raises(BadQuota, match="110"):
        rule(place, shop_drawing_on(place.group), "lock_share", quota_ratio=Decimal("0.4"))


# safety stock ------------------------------------------------------------------------------------------------


@pytest.mark.capability("V13")
def test_the_most_specific_safety_stock_is_kept(place: Location, sku: Sku) -> None:
    second = LocationFactory.create(group=place.group)
    put_stock(second, sku, 100)
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    wishes = [
        SafetyWish(sku.pk, 5),
        SafetyWish(sku.pk, 20, location_id=second.pk),
        SafetyWish(sku.pk, 50, location_id=second.pk, shop_id=b.pk),
    ]

    keep_safety(wishes=wishes, at=timezone.now(), by="user:1", reason="winter")

    # 200 lie there: 5 and 20 are kept for all, and B leaves 30 more.
    assert sellable(sku, a, b) == [175, 145]
    safety = StockPool.objects.get(sku=sku, kind="safety")
    assert (safety.granted, safety.target) == (25, 25)


@pytest.mark.capability("V13")
def test_a_shop_that_leaves_less_than_the_others_may_sell_deeper(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    wishes = [SafetyWish(sku.pk, 10), SafetyWish(sku.pk, 4, location_id=place.pk, shop_id=a.pk)]

    keep_safety(wishes=wishes, at=timezone.now(), by="user:1", reason="")

    assert sellable(sku, a, b) == [96, 90]


def test_safety_stock_that_is_no_longer_kept_is_sold_again(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    keep = [SafetyWish(sku.pk, 10), SafetyWish(sku.pk, 15, location_id=place.pk, shop_id=b.pk)]
    keep_safety(wishes=keep, at=timezone.now(), by="user:1", reason="")

    gone = [SafetyWish(sku.pk, None), SafetyWish(sku.pk, None, location_id=place.pk, shop_id=b.pk)]
    keep_safety(wishes=gone, at=timezone.now(), by="user:1", reason="")

    assert sellable(sku, a, b) == [100, 100]


def test_what_a_shop_leaves_is_said_for_a_location(sku: Sku) -> None:
    with pytest.raises(SafetyNeedsLocation):
        keep_safety(wishes=[SafetyWish(sku.pk, 5, shop_id=1)], at=timezone.now(), by="user:1", reason="")


# promotions --------------------------------------------------------------------------------------------------


@pytest.mark.capability("V8")
@pytest.mark.parametrize(("mode", "shows"), [("exclusive", [40, 60]), ("lock_share", [100, 60])])
def test_a_lock_is_sold_by_its_shop_alone(place: Location, sku: Sku, mode: str, shows: list[int]) -> None:
    a, b, now = shop_drawing_on(place.group), shop_drawing_on(place.group), timezone.now()
    wish = LockWish("618", "618", place.group_id, [a.pk], now, now + timedelta(hours=1), {sku.pk: 40}, mode)

    lock = plan_lock(wish=wish, reason="", at=now, by="user:1")

    assert sellable(sku, a, b) == shows
    cancel_lock(lock_id=lock.pk, reason="", at=now, by="user:1")
    assert ShopPool.objects.filter(kind="lock").count() == 0


def test_what_is_taken_back_from_a_shop_is_sold_by_it_last_and_shown_by_nobody(
    place: Location, sku: Sku
) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    grant(place, sku, "quota", a.code, 40)
    rule(place, a, "exclusive")
    wanted = [TakeBack(sku.pk, a.pk, 10, "shared")]
    take_back(group_id=place.group_id, wanted=wanted, reason="", at=timezone.now(), by="user:1")

    assert sellable(sku, a, b) == [30, 60]
    assert order(a, sku, 35) == 35
    assert StockPool.objects.get(kind="revoking").reserved == 5
    assert order(b, sku, 61) == 0


# a low shared pool -------------------------------------------------------------------------------------------


@pytest.mark.capability("V12")
def test_a_low_shared_pool_is_shown_divided_so_that_channels_cannot_sell_it_twice(place: Location) -> None:
    sku, now = SkuFactory.create(), timezone.now()
    shops = [shop_drawing_on(place.group) for _ in range(3)]
    put_stock(place, sku, 40)
    for shop, units in zip(shops, (6720, 3360, 0), strict=True):
        ListingFactory.create(shop=shop, sku=sku)
        if units:
            DailyDemand.objects.create(day=now.date() - timedelta(days=1), shop=shop, sku=sku, units=units)

    assert compute_exposures(at=now) == 1

    # 10,080 in 14 days are 30 an hour; in two lags of 6 minutes 6 may be sold that are gone already.
    assert set(ShopExposure.objects.values_list("low_water", flat=True)) == {6}
    assert sellable(sku, *shops) == [40, 40, 40]
    for free in range(5, 0, -1):
        assert order(shops[0], sku, 40 - free if free == 5 else 1)
        shown = sellable(sku, *shops)
        assert sum(shown) == free
        assert shown == sorted(shown, reverse=True)
    assert sellable(sku, *shops) == [1, 0, 0]
    assert [share.is_divided for share in explain_stock(sku_id=sku.pk).shares] == [True] * 3
    assert compute_exposures(at=now) == 0


def test_a_short_order_of_a_shop_with_a_quota_of_its_own_takes_nothing_from_what_others_show(
    place: Location, sku: Sku
) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    grant(place, sku, "quota", a.code, 10)
    rule(place, a, "exclusive")

    assert order(a, sku, 11) == 0

    assert sellable(sku, b) == [90]


# a rule that ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", QuotaRule.Mode.values)
def test_a_shop_whose_only_rule_ends_draws_on_what_is_shared_and_stays_so(
    place: Location, sku: Sku, mode: str
) -> None:
    shop = ShopFactory.create()
    ended = rule(place, shop, mode)

    end_quota_rule(rule_id=ended.pk, at=timezone.now(), by="user:1", reason="")

    assert sellable(sku, shop) == [100]
    assert derive_draws(at=timezone.now()) == 0


def test_what_all_shops_leave_changes_what_is_left_beside_a_shop_with_a_number_of_its_own(
    place: Location, sku: Sku
) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    for wish in (SafetyWish(sku.pk, 1, place.pk, a.pk), SafetyWish(sku.pk, 3)):
        keep_safety(wishes=[wish], at=timezone.now(), by="user:1", reason="")

    assert sellable(sku, a, b) == [99, 97]
    assert derive_draws(at=timezone.now()) == 0
