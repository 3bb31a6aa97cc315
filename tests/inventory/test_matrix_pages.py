"""The matrix: quotas seen side by side, typed, foreseen and applied; only what is one's own, in few statements."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from inventory.availability import sellable_stock
from inventory.models import AllocationLine, AllocationRun, Location, ShopExposure
from inventory.quota.foresight import foresee_quotas
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.quota.matrix import read_matrix
from inventory.reserve import Demand, reserve_stock
from products.models import Shop, Sku, StaffScope
from tests.factories.inventory import LocationFactory, put_stock, shop_drawing_on
from tests.factories.products import BrandFactory, ListingFactory, SkuFactory, SpuFactory
from tests.factories.quotas import pool_of, quota_rule, set_quota

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V4", "V15")]


@pytest.fixture
def place() -> Location:
    return LocationFactory.create()


@pytest.fixture
def sku(place: Location) -> Sku:
    """100 units of it lie there."""
    sku = SkuFactory.create()
    put_stock(place, sku, 100)
    return sku


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def clerk_of(client: Client, shop: Shop) -> Client:
    """Somebody with every permission, who sees one shop."""
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    StaffScope.objects.create(user=user, shop=shop)
    client.force_login(user)
    return client


def matrix(act: str = "") -> str:
    return reverse(f"admin:inventory_matrix{act}")


def cell_name(sku: Sku, shop: Shop) -> str:
    return f"q-{sku.pk}-{shop.pk}"


def shown(sku: Sku, *shops: Shop) -> list[int]:
    found = sellable_stock(sku_ids=[sku.pk], shop_ids=[shop.pk for shop in shops])
    return [found[shop.pk, sku.pk] for shop in shops]


def promise(shop: Shop, sku: Sku, units: int) -> None:
    outcome = reserve_stock(wanted=[Demand(uuid4(), shop.pk, sku.pk, units)], at=timezone.now(), by="test")
    assert outcome[0].reserved == units


def foreseen(place: Location, sku: Sku, *shops: Shop, **units: int) -> Any:
    targets = {
        (sku.pk, shop.pk): units[name] for shop, name in zip(shops, "abc", strict=False) if name in units
    }
    known = [(shop.pk, shop.code) for shop in shops]
    return foresee_quotas(group_id=place.group_id, targets=targets, shops=known, at=timezone.now())[0]


# reading ------------------------------------------------------------------------------------------------------


def test_a_row_says_what_lies_there_and_what_each_shop_has_and_shows(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    quota_rule(place.group, a, "exclusive", minimum=60)
    quota_rule(place.group, b, "shared", publish_ratio=Decimal("0.5"))
    keep_safety(wishes=[SafetyWish(sku.pk, 10)], at=timezone.now(), by="user:1", reason="")
    set_quota(place.group, sku, a, 55)
    promise(a, sku, 5)

    shops = [(a.pk, a.code), (b.pk, b.code)]
    row = read_matrix(group_id=place.group_id, sku_ids=[sku.pk], shops=shops, at=timezone.now())[0]

    assert (row.on_hand, row.safety, row.base, row.shared_free) == (100, 10, 0, 35)
    own = row.cells[a.pk]
    assert (own.granted, own.reserved, own.free, own.shows, own.is_low) == (55, 5, 50, 50, True)
    assert row.cells[b.pk].shows == 17
    assert [row.cells[shop.pk].rule.mode for shop in (a, b)] == ["exclusive", "shared"]  # type: ignore[union-attr]
    assert [row.cells[shop.pk].shows for shop in (a, b)] == shown(sku, a, b)


def test_a_divided_pool_shows_in_the_matrix_what_the_shops_show(place: Location, sku: Sku) -> None:
    shops = [shop_drawing_on(place.group) for _ in range(3)]
    for number, shop in enumerate(shops):
        ShopExposure.objects.create(
            group=place.group,
            sku=sku,
            shop=shop,
            units_per_hour=1,
            low_water=200,
            part_from=Decimal(number) / 3,
            part_to=Decimal(number + 1) / 3,
        )

    known = [(shop.pk, shop.code) for shop in shops]
    row = read_matrix(group_id=place.group_id, sku_ids=[sku.pk], shops=known, at=timezone.now())[0]

    assert [row.cells[shop.pk].shows for shop in shops] == shown(sku, *shops)
    assert sum(row.cells[shop.pk].shows for shop in shops) == 100


def test_the_statements_of_the_matrix_do_not_grow_with_skus_and_shops(boss: Client, place: Location) -> None:
    shops = [shop_drawing_on(place.group) for _ in range(20)]
    spu = SpuFactory.create()
    skus = [SkuFactory.create(spu=spu) for _ in range(55)]
    for sku in skus:
        put_stock(place, sku, 40)
    for shop in shops[:6]:
        quota_rule(place.group, shop)
    boss.get(matrix())

    with CaptureQueriesContext(connection) as statements:
        page = boss.get(matrix())

    assert len(page.context["rows"]) == 50
    assert len(page.context["rows"][0]["cells"]) == 20
    # 15 of its own; what every page of the admin asks (person, session, sidebar) is not its doing.
    own = [s["sql"] for s in statements if "inventory_" in s["sql"] or "products_" in s["sql"]]
    sidebar = [sql for sql in own if "LIMIT 100" in sql]
    assert len(own) - len(sidebar) <= 15, own
    following = boss.get(page.context["next_rows"])
    assert [row["sku"] for row in following.context["rows"]] == sorted(skus, key=lambda sku: sku.code)[50:]


def test_rows_are_narrowed_by_brand_code_quota_and_minimum(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    quota_rule(place.group, shop, minimum=3)
    other = SkuFactory.create(spu=SpuFactory.create(brand=BrandFactory.create()))
    put_stock(place, other, 9)
    set_quota(place.group, sku, shop, 5)
    set_quota(place.group, other, shop, 2)

    def rows(**query: Any) -> list[Sku]:
        return [row["sku"] for row in boss.get(matrix(), query).context["rows"]]

    assert {row.pk for row in rows()} == {sku.pk, other.pk}
    assert [row.pk for row in rows(brand=other.spu.brand_id)] == [other.pk]
    assert [row.pk for row in rows(q=sku.code)] == [sku.pk]
    assert [row.pk for row in rows(only="below")] == [other.pk]
    set_quota(place.group, other, shop, 0)
    assert [row.pk for row in rows(only="quota")] == [sku.pk]


# foreseeing ---------------------------------------------------------------------------------------------------


def test_the_effect_that_is_shown_is_the_one_that_comes(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    quota_rule(place.group, a, "exclusive")

    effect = foreseen(place, sku, a, b, a=55)

    assert effect.shared == (100, 45)
    assert [(cell.before, cell.after, cell.shown_before, cell.shown_after) for cell in effect.cells] == [
        (0, 55, 0, 55),
        (0, 0, 100, 45),
    ]
    set_quota(place.group, sku, a, 55)
    assert shown(sku, a, b) == [55, 45]


def test_a_shop_without_a_rule_is_foreseen_with_its_first_quota(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)

    effect = foreseen(place, sku, a, b, a=30)
    set_quota(place.group, sku, a, 30)

    assert [cell.shown_after for cell in effect.cells] == shown(sku, a, b) == [100, 70]


def test_what_another_shop_gives_up_is_said_to_wait(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    for shop in (a, b):
        quota_rule(place.group, shop, "exclusive")
    set_quota(place.group, sku, a, 100)

    effect = foreseen(place, sku, a, b, a=60, b=40)

    assert [(cell.after, cell.waits) for cell in effect.cells] == [(60, 0), (40, 40)]


def test_it_warns_of_more_than_there_is_and_of_less_than_is_promised(place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    for shop in (a, b):
        quota_rule(place.group, shop, "exclusive", maximum=90)
    set_quota(place.group, sku, a, 20)
    promise(a, sku, 15)

    effect = foreseen(place, sku, a, b, a=5, b=120)

    own, other = effect.cells
    assert (own.after, own.promised) == (15, 15)
    assert (other.after, other.is_cut, other.capped_at, other.shown_after) == (85, True, 90, 85)


# pages --------------------------------------------------------------------------------------------------------


def test_numbers_are_typed_seen_and_applied_with_a_result_per_cell(
    boss: Client, place: Location, sku: Sku
) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    quota_rule(place.group, a, "exclusive")

    preview = boss.post(matrix("_preview"), {cell_name(sku, a): "55", cell_name(sku, b): ""})
    assert not AllocationRun.objects.exists()
    assert b"Nothing has happened yet" in preview.content
    given = {"targets": preview.context["targets"], "seen": preview.context["seen"]}
    assert json.loads(given["targets"]) == [[sku.pk, a.pk, 55]]
    without = boss.post(matrix("_apply"), given)
    assert list(without.context["apply_form"].errors) == ["reason"]
    assert not AllocationRun.objects.exists()
    page = boss.post(matrix("_apply"), {**given, "reason": "more for a"}, follow=True)

    run = AllocationRun.objects.get()
    assert (run.state, run.method, run.trigger, run.reason) == ("applied", "hand", "person", "more for a")
    assert [item["line"].state for item in page.context["run_lines"]] == ["done"]
    assert pool_of(place.group, sku, "quota", a.code) == (55, 0)
    assert shown(sku, a, b) == [55, 45]


def test_what_has_moved_since_the_preview_is_shown_again_first(
    boss: Client, place: Location, sku: Sku
) -> None:
    shop = shop_drawing_on(place.group)
    preview = boss.post(matrix("_preview"), {cell_name(sku, shop): "80"})
    given = {name: preview.context[name] for name in ("targets", "seen")}
    promise(shop, sku, 40)

    page = boss.post(matrix("_apply"), {**given, "reason": "x"})

    assert page.context["seen"] != given["seen"]
    assert not AllocationRun.objects.exists()


def test_what_is_no_number_is_named_and_stays_typed(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)

    page = boss.post(matrix("_preview"), {cell_name(sku, shop): "many"})

    assert "“many” is no number of units." in page.content.decode()
    assert page.context["rows"][0]["cells"][0].typed == "many"


def test_a_clerk_sees_and_changes_only_his_shop_and_his_brands(client: Client, place: Location) -> None:
    brand = BrandFactory.create()
    mine, theirs = shop_drawing_on(place.group, brand=brand), shop_drawing_on(place.group)
    own = SkuFactory.create(spu=SpuFactory.create(brand=brand))
    foreign = SkuFactory.create(spu=SpuFactory.create(brand=BrandFactory.create()))
    for each in (own, foreign):
        put_stock(place, each, 10)
    clerk = clerk_of(client, mine)

    page = clerk.get(matrix())
    allowed = clerk.post(matrix("_preview"), {cell_name(own, mine): "3"})
    of_other_shop = clerk.post(matrix("_preview"), {cell_name(own, theirs): "3"})
    of_other_brand = clerk.post(matrix("_preview"), {cell_name(foreign, mine): "3"})
    forged = clerk.post(matrix("_apply"), {"targets": f"[[{own.pk},{theirs.pk},3]]", "reason": "x"})

    assert [row["sku"].pk for row in page.context["rows"]] == [own.pk]
    assert page.context["view"].shops == [mine]
    assert allowed.status_code == 200
    assert [of_other_shop.status_code, of_other_brand.status_code, forged.status_code] == [403, 403, 403]
    assert not AllocationRun.objects.exists()


def test_who_may_only_look_gets_no_fields(client: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    user = User.objects.create_user("looker", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    StaffScope.objects.create(user=user, shop=shop)
    StaffScope.objects.create(user=user, brand=sku.spu.brand)
    client.force_login(user)

    page = client.get(matrix())

    assert page.status_code == 200
    assert cell_name(sku, shop).encode() not in page.content
    assert client.post(matrix("_preview"), {cell_name(sku, shop): "1"}).status_code == 403


# the SKU page -------------------------------------------------------------------------------------------------


def stock_page(sku: Sku) -> str:
    return reverse("admin:inventory_skustock_change", args=[sku.pk])


def test_the_sku_page_adds_up_why_a_shop_sells_what_it_sells(boss: Client, place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    rule = quota_rule(place.group, a, "lock_share", publish_ratio=Decimal("0.5"), maximum=40)
    set_quota(place.group, sku, a, 20)
    promise(a, sku, 4)
    now = timezone.now()
    wishes = [SafetyWish(sku.pk, 2), SafetyWish(sku.pk, 7, place.pk, a.pk)]
    keep_safety(wishes=wishes, at=now, by="user:1", reason="")

    page = boss.get(stock_page(sku))

    of_a, of_b = page.context["shops"]
    assert [term.units for term in of_a.terms] == ["+16", "+39", "−5", "−10"]
    assert (of_a.sellable, of_b.sellable) == (40, 78)
    assert [of_a.sellable, of_b.sellable] == shown(sku, a, b)
    assert of_a.terms[3].url == reverse("admin:inventory_quotarule_change", args=[rule.pk])
    assert of_a.rules[0].why == "by the rule for every SKU"
    assert len(page.context["safety_rules"]) == 2
    assert [item["line"].after for item in page.context["run_lines"]] == [20]


def test_the_sku_page_shows_units_being_taken_back_with_what_they_wait_for(
    boss: Client, place: Location, sku: Sku
) -> None:
    shop = shop_drawing_on(place.group)
    ListingFactory.create(shop=shop, sku=sku)
    quota_rule(place.group, shop, "exclusive")
    set_quota(place.group, sku, shop, 20)
    set_quota(place.group, sku, shop, 5)

    page = boss.get(stock_page(sku))

    assert [item["row"].quantity for item in page.context["revocations"]] == [15]
    assert "shows the lower number" in page.context["revocations"][0]["waits"]


def test_the_quota_of_one_shop_is_foreseen_from_the_sku_page(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    asked = {"group": place.group_id, "shop": shop.pk, "quantity": 30, "reason": "launch"}

    page = boss.post(reverse("admin:inventory_skustock_quota", args=[sku.pk]), asked)

    assert page.context["effects"][0]["effect"].shared == (100, 70)
    assert page.context["apply_form"].initial["reason"] == "launch"
    assert not AllocationLine.objects.exists()


def test_safety_stock_is_set_for_a_location_and_a_shop_from_the_sku_page(
    boss: Client, place: Location, sku: Sku
) -> None:
    shop = shop_drawing_on(place.group)
    act = reverse("admin:inventory_skustock_act", args=[sku.pk, "safety"])

    boss.post(act, {"location": place.pk, "quantity": 8, "reason": "fragile"})
    refused = boss.post(act, {"shop": shop.pk, "quantity": 8, "reason": "fragile"})

    assert pool_of(place.group, sku, "safety") == (8, 0)
    [form] = [form for each, form in refused.context["acts"] if each.code == "safety"]
    assert list(form.errors) == ["location"]


def test_the_history_is_counted_back_to_what_was_there(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    promise(shop, sku, 30)

    history = boss.get(stock_page(sku)).context["history"]

    assert len(history["days"]) == 90
    assert (history["on_hand"][-1], history["reserved"][-1]) == (100, 30)
    assert (history["on_hand"][0], history["reserved"][0]) == (0, 0)
