"""Pages of rules, runs, locks and units being taken back: entered, looked at line by line, decided; within scope."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inventory.availability import sellable_stock
from inventory.models import (
    AllocationLine,
    AllocationRun,
    Location,
    PromotionLock,
    QuotaRule,
    RebalancePolicy,
    Revocation,
    SafetyRule,
)
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.quota.reach import reach_of
from products.models import Shop, Sku, StaffScope
from tests.factories.assortment import work_off
from tests.factories.inventory import LocationFactory, put_stock, shop_drawing_on
from tests.factories.products import (
    BrandFactory,
    CategoryFactory,
    ListingFactory,
    ShopFactory,
    SkuFactory,
    SpuFactory,
)
from tests.factories.quotas import pool_of, quota_rule, set_quota

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V4", "V5")]


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


def page_of(row: Any, act: str = "change") -> str:
    return reverse(f"admin:inventory_{row._meta.model_name}_{act}", args=[row.pk])


def list_of(model: Any) -> str:
    return reverse(f"admin:inventory_{model._meta.model_name}_changelist")


def shown(sku: Sku, *shops: Shop) -> list[int]:
    found = sellable_stock(sku_ids=[sku.pk], shop_ids=[shop.pk for shop in shops])
    return [found[shop.pk, sku.pk] for shop in shops]


# quota rules --------------------------------------------------------------------------------------------------


def rule_form(place: Location, shop: Shop, **more: Any) -> dict[str, Any]:
    return {
        "group": place.group_id,
        "shop": shop.pk,
        "mode": "shared",
        "publish_percent": "40",
        "minimum": "0",
        "service_percent": "95",
        "priority": "100",
        "reason": "autumn",
        **more,
    }


def test_a_quota_rule_is_previewed_set_changed_and_ended(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    add = reverse("admin:inventory_quotarule_add")
    SkuFactory.create()

    preview = boss.post(add, {**rule_form(place, shop), "preview": "1"})
    assert (preview.context["reach"].skus, preview.context["reach"].lying) == (2, 1)
    assert not QuotaRule.objects.exists()
    boss.post(add, rule_form(place, shop))
    rule = QuotaRule.objects.get()
    assert (rule.publish_ratio, shown(sku, shop)) == (Decimal("0.4"), [40])
    boss.post(page_of(rule), rule_form(place, shop, publish_percent="25"))
    assert shown(sku, shop) == [25]
    boss.post(
        list_of(QuotaRule), {"action": "end", "_selected_action": [rule.pk], "asked": "1", "reason": "over"}
    )

    rule.refresh_from_db()
    assert not rule.is_active
    assert b"ended" in boss.get(list_of(QuotaRule)).content


def test_what_a_rule_is_refused_for_stands_at_its_field(boss: Client, place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    quota_rule(place.group, a, "exclusive", quota_ratio=Decimal("0.7"))
    add = reverse("admin:inventory_quotarule_add")

    too_much = boss.post(add, rule_form(place, b, mode="exclusive", quota_percent="40"))
    crossed = boss.post(add, rule_form(place, b, minimum="9", maximum="3"))
    unknown = boss.post(add, rule_form(place, b, sku="nothing"))

    errors = [list(answer.context["form"].errors) for answer in (too_much, crossed, unknown)]
    assert errors == [["quota_percent"], ["maximum"], ["sku"]]
    assert QuotaRule.objects.count() == 1


def test_a_rule_says_for_how_many_skus_a_more_specific_one_holds(place: Location) -> None:
    brand = BrandFactory.create()
    above = CategoryFactory.create(path="a/")
    below = CategoryFactory.create(path="a/b/", parent=above)
    shop = ShopFactory.create()
    deep = SkuFactory.create(spu=SpuFactory.create(brand=brand, category=below))
    SkuFactory.create(spu=SpuFactory.create(brand=brand, category=above))
    SkuFactory.create(spu=SpuFactory.create(brand=brand, category=above))
    quota_rule(place.group, shop, category_id=below.pk)
    quota_rule(place.group, shop, sku_id=deep.pk)

    def overruled(**scope: int) -> tuple[int, int]:
        reach = reach_of(group_id=place.group_id, shop_id=shop.pk, **scope)
        return reach.skus, reach.overruled

    assert overruled(brand_id=brand.pk) == (3, 1)
    assert overruled(category_id=above.pk) == (3, 1)
    assert overruled(category_id=below.pk) == (1, 1)
    assert overruled(sku_id=deep.pk) == (1, 0)
    quota_rule(place.group, shop, category_id=above.pk)
    assert overruled(brand_id=brand.pk) == (3, 3)


def test_a_clerk_sets_rules_of_his_shop_alone(client: Client, place: Location) -> None:
    mine, theirs = shop_drawing_on(place.group), shop_drawing_on(place.group)
    foreign = quota_rule(place.group, theirs)
    clerk = clerk_of(client, mine)

    refused = clerk.post(reverse("admin:inventory_quotarule_add"), rule_form(place, theirs))
    clerk.post(reverse("admin:inventory_quotarule_add"), rule_form(place, mine))

    assert list(refused.context["form"].errors) == ["shop"]
    assert clerk.get(page_of(foreign)).status_code == 404
    assert set(QuotaRule.objects.values_list("shop", "mode")) == {
        (theirs.pk, "lock_share"),
        (mine.pk, "shared"),
    }


# safety and policies ------------------------------------------------------------------------------------------


def test_safety_stock_is_set_for_a_location_and_ended(boss: Client, place: Location, sku: Sku) -> None:
    form = {"sku": sku.pk, "location": place.pk, "shop": "", "units": "12", "reason": "fragile"}

    boss.post(reverse("admin:inventory_safetyrule_add"), form)
    rule = SafetyRule.objects.get()
    assert (rule.units, pool_of(place.group, sku, "safety")) == (12, (12, 0))
    boss.post(page_of(rule), {"units": "5", "reason": "less"})
    assert pool_of(place.group, sku, "safety") == (5, 0)
    without = boss.post(
        reverse("admin:inventory_safetyrule_add"), {**form, "location": "", "shop": ShopFactory.create().pk}
    )
    assert list(without.context["adminform"].form.errors) == ["location"]
    boss.post(
        list_of(SafetyRule), {"action": "end", "_selected_action": [rule.pk], "asked": "1", "reason": "x"}
    )

    assert not SafetyRule.objects.exists()
    assert pool_of(place.group, sku, "safety") == (0, 0)


def test_what_another_shop_leaves_is_not_shown_to_a_clerk(client: Client, place: Location) -> None:
    brand = BrandFactory.create()
    mine, theirs = shop_drawing_on(place.group, brand=brand), shop_drawing_on(place.group)
    own = SkuFactory.create(spu=SpuFactory.create(brand=brand))
    wishes = [
        SafetyWish(own.pk, 1),
        SafetyWish(own.pk, 2, place.pk, mine.pk),
        SafetyWish(own.pk, 3, place.pk, theirs.pk),
    ]
    keep_safety(wishes=wishes, at=timezone.now(), by="user:1", reason="")

    rows = clerk_of(client, mine).get(list_of(SafetyRule)).context["cl"].result_list

    assert sorted(row.units for row in rows) == [1, 2]


def test_a_policy_is_plain_configuration_and_never_by_hand(boss: Client, place: Location) -> None:
    add = reverse("admin:inventory_rebalancepolicy_add")
    form = {
        "group": place.group_id,
        "quiet_minutes": 15,
        "horizon_days": 7,
        "on_threshold": "on",
        "is_active": "on",
    }

    boss.post(add, {**form, "method": "hand"})
    assert not RebalancePolicy.objects.exists()
    boss.post(add, {**form, "method": "ratio"})

    assert RebalancePolicy.objects.get().method == "ratio"


# runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.capability("V5")
def test_a_run_is_asked_for_looked_at_applied_and_undone(boss: Client, place: Location) -> None:
    sku = SkuFactory.create()
    put_stock(place, sku, 150)
    shops = [shop_drawing_on(place.group) for _ in range(4)]
    for shop, ratio in zip(shops, ("0.3", "0.2", "0.2", "0.3"), strict=True):
        quota_rule(place.group, shop, quota_ratio=Decimal(ratio))
    asked = {"group": place.group_id, "method": "ratio", "codes": sku.code, "reason": "start"}

    answer = boss.post(reverse("admin:inventory_allocationrun_start"), asked)
    run = AllocationRun.objects.get()
    assert answer["Location"] == page_of(run)
    assert b"hx-get" in boss.get(page_of(run)).content
    work_off(at=timezone.now())
    page = boss.get(page_of(run))
    quotas = [item for item in page.context["lines"] if item["is_quota"]]
    assert [item["line"].after for item in quotas] == [45, 30, 30, 45]
    assert "30 % of 150 units." in page.content.decode()
    assert "supply 150" in page.content.decode()
    one = boss.get(page_of(run), {"shop": shops[1].pk})
    assert [item["line"].after for item in one.context["lines"]] == [30]
    boss.post(page_of(run, "apply"))
    work_off(at=timezone.now())
    assert [pool_of(place.group, sku, "quota", shop.code)[0] for shop in shops] == [45, 30, 30, 45]
    boss.post(page_of(run, "undo"), {"reason": "too early"})
    work_off(at=timezone.now())

    run.refresh_from_db()
    assert (run.state, run.undone_by[:5]) == ("undone", "user:")
    assert boss.get(page_of(run)).status_code == 200


def test_a_run_is_dropped_with_its_reason(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    quota_rule(place.group, shop, minimum=5)
    asked = {"group": place.group_id, "method": "refill", "reason": "test"}
    boss.post(reverse("admin:inventory_allocationrun_start"), asked)
    work_off(at=timezone.now())
    run = AllocationRun.objects.get()
    queue = boss.get(reverse("admin:inventory_allocationrun_queue", args=["planned"]))
    assert [row.pk for row in queue.context["cl"].result_list] == [run.pk]

    boss.post(page_of(run, "drop"), {"reason": "not today"})

    run.refresh_from_db()
    assert run.state == "dropped"
    assert pool_of(place.group, sku, "quota", shop.code) == (0, 0)


def test_lines_of_a_run_come_page_by_page(boss: Client, place: Location) -> None:
    shop = shop_drawing_on(place.group)
    skus = [SkuFactory.create() for _ in range(60)]
    run = AllocationRun.objects.create(
        group=place.group, method="ratio", trigger="person", state="planned", created_by="user:1"
    )
    AllocationLine.objects.bulk_create(
        AllocationLine(run=run, sku=sku, shop=shop, kind="quota", label=shop.code, before=0, after=1)
        for sku in skus
    )

    first = boss.get(page_of(run))
    second = boss.get(first.context["next"])

    seen = [item["line"].sku_id for page in (first, second) for item in page.context["lines"]]
    assert seen == sorted(sku.pk for sku in skus)
    assert not second.context["next"]


def test_who_sees_only_some_shops_of_a_run_sees_their_lines_and_decides_nothing(
    client: Client, place: Location
) -> None:
    brand = BrandFactory.create()
    own = SkuFactory.create(spu=SpuFactory.create(brand=brand))
    put_stock(place, own, 10)
    mine, theirs = shop_drawing_on(place.group, brand=brand), shop_drawing_on(place.group)
    run = AllocationRun.objects.create(
        group=place.group, method="ratio", trigger="timer", state="planned", created_by="system"
    )
    for shop in (mine, theirs):
        AllocationLine.objects.create(
            run=run, sku=own, shop=shop, kind="quota", label=shop.code, before=0, after=1
        )
    clerk = clerk_of(client, mine)

    page = clerk.get(page_of(run))
    refused = clerk.post(page_of(run, "apply"))

    assert [item["line"].shop for item in page.context["lines"]] == [mine]
    assert not page.context["may_operate"]
    assert refused.status_code == 403
    AllocationLine.objects.filter(shop=theirs).delete()
    assert clerk.get(page_of(run)).context["may_operate"]


def test_a_clerk_names_what_a_run_is_for(client: Client, place: Location) -> None:
    brand = BrandFactory.create()
    clerk = clerk_of(client, shop_drawing_on(place.group, brand=brand))
    asked = {"group": place.group_id, "method": "ratio", "reason": "test"}

    everything = clerk.post(reverse("admin:inventory_allocationrun_start"), asked)
    clerk.post(reverse("admin:inventory_allocationrun_start"), {**asked, "brand": brand.pk})

    assert list(everything.context["form"].errors) == ["brand"]
    assert AllocationRun.objects.get().scope == {"brand": brand.pk}


# locks --------------------------------------------------------------------------------------------------------


def lock_form(place: Location, shop: Shop, lines: str, **more: Any) -> dict[str, Any]:
    now = timezone.localtime()
    return {
        "code": "SD-26",
        "name": "Singles' day",
        "group": place.group_id,
        "shops": [shop.pk],
        "mode": "exclusive",
        "starts_at": now.strftime("%Y-%m-%dT%H:%M:%S"),
        "ends_at": (now + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M"),
        "lines": lines,
        "reason": "festival",
        **more,
    }


@pytest.mark.capability("V13")
def test_a_lock_is_pasted_runs_is_enlarged_and_cancelled(boss: Client, place: Location, sku: Sku) -> None:
    a, b = shop_drawing_on(place.group), shop_drawing_on(place.group)
    add = reverse("admin:inventory_promotionlock_add")

    boss.post(add, lock_form(place, a, f"{sku.code}\t55\n"))
    lock = PromotionLock.objects.get()
    assert (lock.state, shown(sku, a, b)) == ("active", [55, 45])
    page = boss.get(page_of(lock))
    assert page.context["sums"] == {"wanted": 55, "granted": 55, "sold": 0, "left": 55, "returned": 0}
    more = boss.post(page_of(lock), lock_form(place, a, f"{sku.code} 120", starts_at="", code=""))
    assert more.status_code == 302
    queue = boss.get(reverse("admin:inventory_promotionlock_queue", args=["short"]))
    assert [row.pk for row in queue.context["cl"].result_list] == [lock.pk]
    boss.post(page_of(lock, "cancel"), {"reason": ""})
    lock.refresh_from_db()
    assert lock.state == "active"
    boss.post(page_of(lock, "cancel"), {"reason": "called off"})

    lock.refresh_from_db()
    assert lock.state == "cancelled"
    assert boss.get(page_of(lock)).status_code == 200


def test_lines_that_say_nothing_are_named(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    add = reverse("admin:inventory_promotionlock_add")

    answers = [
        boss.post(add, lock_form(place, shop, lines))
        for lines in (f"{sku.code}\tmany", f"{sku.code} 1\n{sku.code} 2", "nobody 3", "")
    ]

    assert [list(answer.context["form"].errors) for answer in answers] == [["lines"]] * 4
    assert not PromotionLock.objects.exists()


# units being taken back ---------------------------------------------------------------------------------------


def test_units_that_do_not_come_back_are_let_go_on_with_a_reason(
    boss: Client, place: Location, sku: Sku
) -> None:
    shop = shop_drawing_on(place.group)
    ListingFactory.create(shop=shop, sku=sku)
    quota_rule(place.group, shop, "exclusive")
    set_quota(place.group, sku, shop, 20)
    set_quota(place.group, sku, shop, 5)
    row = Revocation.objects.get()
    old = reverse("admin:inventory_revocation_queue", args=["old"])
    assert boss.get(old).context["cl"].result_list == []
    Revocation.objects.update(started_at=timezone.now() - timedelta(hours=2))
    assert b"shows the lower number" in boss.get(old).content
    act = {"action": "force", "_selected_action": [row.pk], "asked": "1"}

    boss.post(old, {**act, "reason": ""})
    assert Revocation.objects.get().state == "telling"
    boss.post(old, {**act, "reason": "the shop is closed"})

    assert Revocation.objects.get().state == "forced"
    assert pool_of(place.group, sku, "shared") == (95, 0)


# backtests ----------------------------------------------------------------------------------------------------


@pytest.mark.capability("V7")
def test_a_backtest_is_asked_for_and_its_figures_are_shown(boss: Client, place: Location, sku: Sku) -> None:
    shop = shop_drawing_on(place.group)
    quota_rule(place.group, shop, quota_ratio=Decimal("0.5"))
    page = reverse("admin:inventory_backtest")
    asked = {"group": place.group_id, "days": 7, "method": "demand", "every_days": 7, "horizon_days": 7}

    refused = boss.post(page, {**asked, "days": 0})
    answer = boss.post(page, asked)
    assert list(refused.context["form"].errors) == ["days"]
    assert b"hx-get" in boss.get(answer["Location"]).content
    work_off(at=timezone.now())
    shown_page = boss.get(answer["Location"])

    assert [row["policy"] for row in shown_page.context["rows"]] == ["present", "proposed", "all shared"]


def test_who_does_not_see_all_shops_asks_for_no_backtest(client: Client, place: Location) -> None:
    clerk = clerk_of(client, shop_drawing_on(place.group))

    assert clerk.get(reverse("admin:inventory_backtest")).status_code == 403
