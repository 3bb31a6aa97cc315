"""The pages of rules and runs: entered, worked out, looked at line by line with the reason, confirmed and applied."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from products.assortment.conditions import Wish
from products.assortment.select import CatalogueDraft, define_catalogue
from products.assortment.why import why_assorted
from products.models import (
    AssortmentRow,
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Listing,
    ListingRequest,
    Shop,
    StaffScope,
)
from tests.factories.assortment import BUYER, a_rule, planned, work_off
from tests.factories.orders import NOON
from tests.factories.products import BrandFactory, ListingFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P8")]


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def clerk_of(client: Client, shop: Shop) -> Client:
    user = User.objects.create_user("clerk", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="products"))
    StaffScope.objects.create(user=user, shop=shop)
    client.force_login(user)
    return client


def run_page(run: AssortmentRun, act: str = "change", *more: int) -> str:
    return reverse(f"admin:products_assortmentrun_{act}", args=[run.pk, *more])


def a_sku(*tags: str) -> Any:
    return SkuFactory.create(spu=SpuFactory.create(tags=list(tags)))


RULE = {
    "name": "Gifts",
    "kind": "include",
    "priority": "100",
    "tags": "gift",
    "seasons": "",
    "currency": "CNY",
    "is_active": "on",
}


def test_a_rule_is_entered_worked_out_looked_at_and_applied(boss: Client) -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    boss.post(reverse("admin:products_assortmentrule_add"), {**RULE, "shops": [shop.pk]})
    rule = AssortmentRule.objects.get()
    rules = reverse("admin:products_assortmentrule_changelist")
    assert b"gift" in boss.get(rules).content

    answer = boss.post(rules, {"action": "work_out", "_selected_action": [rule.pk]})
    run = AssortmentRun.objects.get()
    assert answer["Location"] == run_page(run)
    assert b"hx-get" in boss.get(run_page(run)).content
    work_off(at=timezone.now())
    page = boss.get(run_page(run))
    assert page.context["shops"][0]["numbers"][0][0] == 1
    lines = boss.get(page.context["shops"][0]["numbers"][0][1])
    assert [row.sku_id for row in lines.context["cl"].result_list] == [sku.pk]
    assert b"Gifts" in lines.content
    assert b"tags: gift" in lines.content
    boss.post(run_page(run, "apply"))
    work_off(at=timezone.now())

    assert Listing.objects.get().sku == sku
    assert boss.get(run_page(run)).context["run"].state == "applied"


def test_what_is_refused_stands_at_its_field(boss: Client) -> None:
    shop = ShopFactory.create(brand=BrandFactory.create())
    page = reverse("admin:products_assortmentrule_add")
    window = {
        "ends_at_0": "2026-01-01",
        "ends_at_1": "00:00",
        "starts_at_0": "2026-01-02",
        "starts_at_1": "00:00",
    }

    foreign = boss.post(page, {**RULE, "brand": BrandFactory.create().pk, "shops": [shop.pk]})
    ends = boss.post(page, {**RULE, **window, "shops": [shop.pk]})
    nobody = boss.post(page, RULE)
    empty = boss.post(page, {**RULE, "tags": "", "shops": [shop.pk]})

    errors = [answer.context["adminform"].form.errors for answer in (foreign, ends, nobody, empty)]
    assert [list(each) for each in errors] == [["shops"], ["ends_at"], ["shops"], ["__all__"]]
    assert not AssortmentRule.objects.exists()


def test_a_rule_is_stopped_with_a_reason(boss: Client) -> None:
    rule = a_rule(ShopFactory.create(), tags=["gift"])
    asked = {"action": "stop", "_selected_action": [rule.pk], "asked": "1"}

    boss.post(reverse("admin:products_assortmentrule_changelist"), {**asked, "reason": "season is over"})

    rule.refresh_from_db()
    assert not rule.is_active


def test_too_many_withdrawals_are_confirmed_on_the_page_by_the_name_of_the_shop(boss: Client) -> None:
    shop = ShopFactory.create()
    ListingFactory.create(shop=shop, sku=a_sku("bad"))
    a_rule(shop, kind="exclude", tags=["bad"])
    run = planned(shop)
    confirm = run_page(run, "confirm", shop.pk)
    queue = boss.get(reverse("admin:products_assortmentshop_queue", args=["to_confirm"]))
    assert [row.shop_id for row in queue.context["cl"].result_list] == [shop.pk]
    assert b"100 %" in queue.content

    boss.post(run_page(run, "apply"))
    assert AssortmentRun.objects.get().state == "planned"
    boss.post(confirm, {"typed_name": "another", "reason": "season"})
    boss.post(confirm, {"typed_name": shop.name, "reason": ""})
    assert not AssortmentShop.objects.get().confirmed_by
    boss.post(confirm, {"typed_name": shop.name, "reason": "season"})
    boss.post(run_page(run, "apply"))
    work_off(at=timezone.now())

    assert ListingRequest.objects.get().act == "withdraw"
    assert AssortmentShop.objects.get().confirmed_by.startswith("user:")


def test_a_stale_run_says_so_and_is_worked_out_anew(boss: Client) -> None:
    shop = ShopFactory.create()
    rule = a_rule(shop, tags=["gift"])
    run = planned(shop)
    a_rule(shop, rule=rule, tags=["other"])

    page = boss.get(run_page(run))
    assert "changed" in page.context["stale"]
    answer = boss.post(run_page(run, "anew"))

    assert answer["Location"] == run_page(AssortmentRun.objects.latest("pk"))
    boss.post(run_page(run, "drop"))
    run.refresh_from_db()
    assert run.state == "dropped"


def test_people_see_and_apply_the_shops_of_their_scope_only(client: Client) -> None:
    mine, other = ShopFactory.create(), ShopFactory.create()
    a_sku("gift")
    rule = a_rule(mine, other, tags=["gift"])
    run, foreign = planned(mine, other), planned(other)
    clerk = clerk_of(client, mine)

    page = clerk.get(run_page(run))
    assert [shop["row"].shop_id for shop in page.context["shops"]] == [mine.pk]
    assert clerk.get(run_page(foreign)).status_code == 404
    assert clerk.post(run_page(run, "drop")).status_code == 403
    assert clerk.post(run_page(run, "confirm", other.pk), {}).status_code == 403
    change = reverse("admin:products_assortmentrule_change", args=[rule.pk])
    assert clerk.post(change, {**RULE, "shops": [mine.pk]}).status_code == 403
    clerk.post(run_page(run, "apply"))
    work_off(at=timezone.now())

    assert list(Listing.objects.values_list("shop_id", flat=True)) == [mine.pk]
    run.refresh_from_db()
    assert run.state == "planned"
    lines = clerk.get(reverse("admin:products_assortmentrow_changelist"))
    assert {row.shop_id for row in lines.context["cl"].result_list} == {mine.pk}
    assert AssortmentRow.objects.filter(run=run, shop=other, state="planned").count() == 1


def test_why_names_the_verdict_of_the_catalogue_and_of_each_rule(boss: Client) -> None:
    shop, sku = ShopFactory.create(), a_sku("gift")
    base = a_rule(shop, name="Base", tags=["gift"], priority=10)
    ban = a_rule(shop, name="Ban", kind="exclude", tags=["gift"], priority=20, is_active=False)
    other = a_rule(shop, name="Other", seasons=["26S"], tags=["gift"], priority=30)
    draft = CatalogueDraft(code="s", name="S", wish=Wish(tags=["gift"]), shop_ids=[shop.pk])
    define_catalogue(draft=draft, at=NOON, by=BUYER)

    why = why_assorted(shop=shop, sku=sku, at=NOON)
    page = boss.get(reverse("admin:products_assortment_why"), {"shop": shop.pk, "sku": sku.code})

    assert [(each.rule, each.speaks, each.is_deciding) for each in why.rules] == [
        (other, False, False),
        (ban, False, False),
        (base, True, True),
    ]
    assert why.rules[0].fits == {"tags": True, "seasons": False}
    assert why.catalogue is not None
    assert (why.catalogue.is_held, why.is_wanted) == (True, True)
    assert [verdict for _rule, _conditions, verdict in page.context["rules"]] == [
        "it does not fit",
        "it is stopped",
        "it decides",
    ]


def test_the_page_of_a_sku_leads_to_why(boss: Client) -> None:
    listing = ListingFactory.create()
    sku = boss.get(reverse("admin:products_sku_change", args=[listing.sku_id])).content.decode()
    why = reverse("admin:products_assortment_why")
    assert f"{why}?sku={listing.sku.code}" in sku
    assert f"{why}?shop={listing.shop_id}&amp;sku={listing.sku.code}" in sku

    page = boss.get(why, {"sku": listing.sku.code})

    assert page.context["form"].initial == {"sku": listing.sku.code}
    assert "why" not in page.context


def test_why_and_the_run_never_disagree() -> None:
    brand = BrandFactory.create()
    shop = ShopFactory.create(brand=brand)
    skus = [
        SkuFactory.create(spu=SpuFactory.create(brand=of, tags=tags, season=season), is_active=is_active)
        for of in (brand, BrandFactory.create())
        for tags in (["gift"], ["gift", "bad"], [])
        for season in ("26S", "")
        for is_active in (True, False)
    ]
    a_rule(shop, tags=["gift"], brand_id=brand.pk)
    a_rule(shop, tags=["bad"], kind="exclude")
    a_rule(shop, seasons=["26S"], tags=["bad"], priority=200)
    draft = CatalogueDraft(code="s", name="S", wish=Wish(seasons=["26S"]), shop_ids=[shop.pk])
    define_catalogue(draft=draft, at=NOON, by=BUYER)

    run = planned(shop)

    drafted = set(AssortmentRow.objects.filter(run=run, outcome="draft").values_list("sku_id", flat=True))
    wanted = {sku.pk for sku in skus if why_assorted(shop=shop, sku=sku, at=NOON).is_wanted}
    assert drafted == wanted
    assert len(drafted) == 2
