"""The pages of prices: a change is seen before it is asked for, each row has its answer, and scopes hold."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from products.models import Brand, FloorPrice, Price, PublishedPrice, Shop, Sku, StaffScope
from products.prices.publish import plan_published_prices
from tests.factories.prices import approved, asked, put_floor
from tests.factories.products import BrandFactory, ListingFactory, ShopFactory, SkuFactory, SpuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P11")]

ASK = "admin:products_price_ask"


@pytest.fixture
def brand() -> Brand:
    return BrandFactory.create()


@pytest.fixture
def shop(brand: Brand) -> Shop:
    return ShopFactory.create(brand=brand)


@pytest.fixture
def sku(brand: Brand) -> Sku:
    return SkuFactory.create(spu=SpuFactory.create(brand=brand), list_price=Decimal(129))


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def staff(*permissions: str, shop: Shop | None = None, brand: Brand | None = None) -> Client:
    user = User.objects.create_user(f"staff{User.objects.count()}", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    StaffScope.objects.create(user=user, shop=shop, brand=brand)
    client = Client()
    client.force_login(user)
    return client


def answers(**given: Any) -> dict[str, Any]:
    moment = timezone.localtime() + timedelta(hours=1)
    return {
        "kind": "regular",
        "method": "percent",
        "value": "-10",
        "starts_at": moment.strftime("%Y-%m-%dT%H:%M"),
        "reason": "autumn",
    } | given


def seen_in(page: str) -> str:
    return page.partition('name="seen" value="')[2].partition('"')[0]


def test_a_change_by_percent_is_shown_before_anything_happens_then_submitted(boss: Client, sku: Sku) -> None:
    other = SkuFactory.create(list_price=Decimal(50))
    bare = SkuFactory.create(list_price=None)
    put_floor(other, 48, since=timezone.now(), at=timezone.now())
    given = answers(lines=f"{sku.code}\n{other.code}\n{bare.code}")

    page = boss.post(reverse(ASK), given).content.decode()

    assert not Price.objects.exists()
    assert "116.10" in page
    assert "-10.0 %" in page
    assert "There is no price to start from." in page
    assert "It lies below the floor price of CN¥48.00" in page
    assert "2 of them would be refused" in page
    assert "every shop" in page
    result = boss.post(reverse(ASK), given | {"seen": seen_in(page)}).content.decode()
    assert list(Price.objects.order_by("sku_id").values_list("sku_id", "amount", "state")) == [
        (sku.pk, Decimal("116.10"), "submitted"),
        (other.pk, Decimal(45), "draft"),
    ]
    assert "There is no price to start from." in result
    assert "floor price of" in result
    assert Price.objects.get(sku=sku).requested_by == f"user:{User.objects.get(username='boss').pk}"


def test_a_floor_that_begins_within_the_period_is_seen_before_anybody_has_asked(
    boss: Client, sku: Sku, shop: Shop
) -> None:
    put_floor(sku, 120, since=timezone.now() + timedelta(days=30), at=timezone.now())

    page = boss.post(reverse(ASK), answers(lines=sku.code, shop=shop.pk)).content.decode()

    assert "It lies below the floor price of CN¥120.00" in page
    assert shop.name in page


def test_an_approved_price_in_the_way_is_seen_before_anybody_has_asked(boss: Client, sku: Sku) -> None:
    now = timezone.now()
    approved(sku, 80, kind="special", at=now, starts_at=now, ends_at=now + timedelta(days=9))
    end = (timezone.localtime() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")

    page = boss.post(reverse(ASK), answers(lines=sku.code, kind="special", ends_at=end)).content.decode()

    assert "omni-refused" in page


def test_what_changed_since_the_preview_is_shown_again_first(boss: Client, sku: Sku) -> None:
    given = answers(lines=sku.code)
    seen = seen_in(boss.post(reverse(ASK), given).content.decode())
    Sku.objects.update(list_price=200)

    page = boss.post(reverse(ASK), given | {"seen": seen}).content.decode()

    assert not Price.objects.exists()
    assert "180.00" in page


def test_each_line_may_carry_its_own_amount(boss: Client, sku: Sku, shop: Shop) -> None:
    given = answers(lines=f"{sku.code}, 99.90", shop=shop.pk, value="", method="amount")
    seen = seen_in(boss.post(reverse(ASK), given).content.decode())

    boss.post(reverse(ASK), given | {"seen": seen})

    price = Price.objects.get()
    assert (price.amount, price.shop, price.reason) == (Decimal("99.90"), shop, "autumn")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lines": "NOWHERE"}, "There is no SKU"),
        ({"lines": "A B C"}, "neither a SKU code"),
        ({"lines": "A nan"}, "neither a SKU code"),
        ({"value": ""}, "Say how much"),
        ({"channel": "tpo"}, "tpo is not one of the available choices"),
        ({"kind": "special"}, "A special price has an end."),
        ({"ends_at": "2001-01-01T00:00"}, "It would end before it starts."),
    ],
)
def test_a_form_that_cannot_be_right_is_shown_again_with_its_fault(
    boss: Client, sku: Sku, change: dict[str, str], text: str
) -> None:
    page = boss.post(reverse(ASK), answers(lines=sku.code) | change).content.decode()

    assert text in page
    assert not seen_in(page)


def act(client: Client, name: str, *prices: Price, **more: str) -> str:
    given = {"action": name, "_selected_action": [price.pk for price in prices], **more}
    return client.post(reverse("admin:products_price_changelist"), given, follow=True).content.decode()


def test_prices_are_approved_row_by_row_and_every_refusal_is_named(boss: Client, sku: Sku) -> None:
    good, low = asked(sku, 99), asked(sku, 98, channel="top")
    floored = asked(SkuFactory.create(), 20)
    put_floor(floored.sku, 30)
    assert low.state == "submitted"

    page = act(boss, "approve", good, low, floored)

    states = {price.pk: price.state for price in Price.objects.all()}
    assert states == {good.pk: "approved", low.pk: "approved", floored.pk: "submitted"}
    assert "floor price of" in page


def test_whoever_approves_sees_what_would_change(boss: Client, sku: Sku, shop: Shop) -> None:
    approved(sku, 120, shop=shop)
    approved(sku, 70, shop=shop, kind="special", ends_at=timezone.now() + timedelta(days=9))
    approved(sku, 200, shop=ShopFactory.create())
    price = asked(sku, 90, shop=shop)

    queue = boss.get(reverse("admin:products_price_queue", args=["to_approve"])).content.decode()
    page = boss.get(reverse("admin:products_price_change", args=[price.pk])).content.decode()

    for shown in (queue, page):
        assert "CN¥120.00" in shown
        assert "-25.0 %" in shown


def test_the_page_of_a_price_has_the_buttons_of_whoever_looks(boss: Client, sku: Sku, shop: Shop) -> None:
    price = asked(sku, 99, shop=shop)
    address = reverse("admin:products_price_change", args=[price.pk])
    looker = staff("view_price", shop=shop)

    page = boss.get(address).content.decode()

    assert all(f'name="action" value="{name}"' in page for name in ("approve", "reject", "withdraw"))
    assert 'name="action"' not in looker.get(address).content.decode()
    act(boss, "approve", price)
    page = boss.get(address).content.decode()
    assert 'value="withdraw"' in page
    assert 'value="approve"' not in page


def test_a_price_is_rejected_with_a_reason(boss: Client, sku: Sku) -> None:
    price = asked(sku, 99)

    question = act(boss, "reject", price)
    assert "reason" in question
    assert f"{sku.code} CN¥99.00" in question
    price.refresh_from_db()
    assert price.state == "submitted"
    act(boss, "reject", price, asked="1", reason="too cheap")

    price.refresh_from_db()
    assert (price.state, price.decision) == ("rejected", "too cheap")


def test_who_may_not_approve_has_no_such_button_and_their_own_are_refused(shop: Shop, sku: Sku) -> None:
    price = asked(sku, 99, shop=shop)
    asker = staff("view_price", "change_price", shop=shop)
    approver = staff("view_price", "approve_price", shop=shop)
    Price.objects.update(requested_by=f"user:{User.objects.latest('pk').pk}")

    act(asker, "approve", price)
    assert "somebody else must" in act(approver, "approve", price)

    price.refresh_from_db()
    assert price.state == "submitted"
    Price.objects.update(requested_by="user:0")
    act(approver, "approve", price)
    price.refresh_from_db()
    assert price.state == "approved"


def test_whoever_sees_one_shop_decides_nothing_for_every_shop(shop: Shop, sku: Sku, brand: Brand) -> None:
    price = asked(sku, 99)
    permissions = ("view_price", "change_price", "approve_price", "view_sku")
    clerk, owner = staff(*permissions, shop=shop), staff(*permissions, brand=brand)

    assert "shops that you do not see" in act(clerk, "approve", price)
    page = clerk.post(reverse(ASK), answers(lines=sku.code)).content.decode()
    assert "concerns also others" in page
    price.refresh_from_db()
    assert price.state == "submitted"

    act(owner, "approve", price)
    price.refresh_from_db()
    assert price.state == "approved"


def test_foreign_skus_and_shops_are_unknown_to_staff(shop: Shop, sku: Sku) -> None:
    stranger = staff(
        "view_price", "change_price", "view_sku", shop=ShopFactory.create(brand=BrandFactory.create())
    )

    page = stranger.post(reverse(ASK), answers(lines=sku.code, shop=shop.pk)).content.decode()

    assert "There is no SKU" in page
    why = stranger.get(reverse("admin:products_price_why"), {"shop": str(shop.pk), "sku": sku.code})
    assert "129.00" not in why.content.decode()


def test_why_names_the_winner_who_approved_it_and_what_it_beat(boss: Client, sku: Sku, shop: Shop) -> None:
    User.objects.create_user("ada", password="x", first_name="Ada", last_name="Wong")
    ada = User.objects.get(username="ada")
    price = approved(sku, 99, shop=shop)
    Price.objects.filter(pk=price.pk).update(decided_by=f"user:{ada.pk}")
    soon = timezone.now() + timedelta(days=400)

    page = boss.get(
        reverse("admin:products_price_why"),
        {"shop": str(shop.pk), "sku": sku.code, "at": timezone.localtime(soon).strftime("%Y-%m-%dT%H:%M")},
    ).content.decode()

    assert "99.00" in page
    assert "Ada Wong" in page
    assert "129.00" in page
    assert "a more specific price is in force" in page


def test_the_calendar_lists_what_begins_and_ends(boss: Client, sku: Sku) -> None:
    now = timezone.now()
    days = timedelta(days=1)
    approved(sku, 79, at=now, kind="special", starts_at=now + 2 * days, ends_at=now + 3 * days)
    below = approved(SkuFactory.create(), 20, at=now, starts_at=now + 5 * days)
    put_floor(below.sku, 30, since=now + 6 * days, at=now)

    page = boss.get(reverse("admin:products_price_calendar")).content.decode()

    for day, word in ((2, "begins"), (3, "ends"), (5, "begins")):
        assert timezone.localtime(now + day * days).strftime("%Y-%m-%d") in page
        assert word in page
    assert "Approved, but below the floor price" in page
    empty = staff("view_price", shop=ShopFactory.create(brand=BrandFactory.create()))
    assert sku.code not in empty.get(reverse("admin:products_price_calendar")).content.decode()


def test_floors_are_set_for_many_and_say_what_they_forbid(boss: Client, sku: Sku) -> None:
    now = timezone.now()
    price = approved(sku, 99, at=now, starts_at=now)
    other = SkuFactory.create()
    address = reverse("admin:products_floorprice_put")
    given = {
        "lines": f"{sku.code}\n{other.code} 30",
        "amount": "100",
        "since": timezone.localtime(now).strftime("%Y-%m-%dT%H:%M"),
        "reason": "contract",
    }

    page = boss.post(address, given).content.decode()

    floors = FloorPrice.objects.order_by("sku_id").values_list("sku_id", "amount", "reason")
    assert list(floors) == [(sku.pk, Decimal(100), "contract"), (other.pk, Decimal(30), "contract")]
    assert f"#{price.pk}" in page
    assert "do not hold any more" in page


def test_a_published_price_is_told_again(boss: Client, sku: Sku, shop: Shop) -> None:
    ListingFactory.create(shop=shop, sku=sku)
    now = timezone.now()
    approved(sku, 99, at=now, starts_at=now)
    plan_published_prices(limit=10, at=now)
    PublishedPrice.objects.update(sent_version=1, acked_version=1)
    row = PublishedPrice.objects.get()

    given = {"action": "tell_again", "_selected_action": [row.pk]}
    boss.post(reverse("admin:products_publishedprice_changelist"), given)

    row.refresh_from_db()
    assert row.desired_version == 2


def test_every_page_speaks_chinese_too(boss: Client, sku: Sku) -> None:
    for name in ("price_ask", "price_calendar", "price_why", "price_changelist", "floorprice_put"):
        page = boss.get(reverse(f"admin:products_{name}"), headers={"Accept-Language": "zh-hans"})
        assert page.status_code == 200
        assert "价" in page.content.decode()


def test_skus_that_were_chosen_in_their_list_stand_in_the_form_that_changes_prices(
    boss: Client, shop: Shop, sku: Sku
) -> None:
    other = SkuFactory.create(code="B-2", spu=sku.spu)
    address = reverse("admin:products_sku_changelist")

    answer = boss.post(
        address, {"action": "change_prices", "_selected_action": [sku.pk, other.pk]}, follow=True
    )

    assert answer.redirect_chain[-1][0].startswith(reverse(ASK))
    assert answer.context["form"]["lines"].value().split() == sorted([sku.code, "B-2"])
    assert not Price.objects.exists()


def test_who_may_not_ask_for_prices_is_not_offered_to_change_them(shop: Shop, sku: Sku) -> None:
    client = staff("view_sku", "change_sku", brand=sku.spu.brand)

    page = client.get(reverse("admin:products_sku_changelist")).content.decode()

    assert sku.code in page
    assert "change_prices" not in page
