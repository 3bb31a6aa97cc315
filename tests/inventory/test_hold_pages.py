"""Where people see what is held, give it back with a reason, and set how much may be held."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inventory.holds.hold import hold_stock
from inventory.holds.limits import limits_of
from inventory.models.holds import HoldLimit, StockHold
from omni.kernel.models import AuditEntry
from products.models import StaffScope
from tests.factories.inventory import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V10")]
LIST = "admin:inventory_stockhold_changelist"


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def hold(scene: Scene, key: str = "cart-1") -> StockHold:
    lines = [(scene.sku.pk, 2)]
    return hold_stock(shop_id=scene.shop.pk, key=key, buyer="ann", lines=lines, at=timezone.now(), by="key:1")


def staff(scene: Scene, *codenames: str) -> Client:
    user = User.objects.create_user("staff", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    StaffScope.objects.create(user=user, shop=scene.shop)
    client = Client()
    client.force_login(user)
    return client


def give_back(client: Client, *holds: StockHold, reason: str = "the buyer left") -> str:
    body = {"action": "give_back", "_selected_action": [str(held.pk) for held in holds]}
    if reason:
        body |= {"asked": "1", "reason": reason}
    return client.post(reverse(LIST), body, follow=True).content.decode()


def test_the_queue_shows_what_is_held_for_whom_and_for_how_long(boss: Client) -> None:
    scene = Scene(10)
    hold(scene)
    give_back(boss, hold(scene, "cart-2"))
    StockHold.objects.filter(pk=hold(scene, "cart-3").pk).update(
        expires_at=timezone.now() - timedelta(minutes=1)
    )

    queue = boss.get(reverse("admin:inventory_stockhold_queue", args=["held"])).content.decode()
    every = boss.get(reverse(LIST)).content.decode()

    assert f"{scene.sku.code} × 2" in queue
    assert "14 min" in queue
    assert "at once" in queue
    assert ("cart-1" in queue, "cart-2" in queue, "cart-2" in every) == (True, False, True)


def test_the_page_of_a_hold_says_what_it_holds_and_for_whom(boss: Client) -> None:
    scene = Scene(10)
    held = hold(scene)

    page = boss.get(reverse("admin:inventory_stockhold_change", args=[held.pk])).content.decode()

    assert f"{scene.sku.code} × 2" in page
    assert "ann" in page
    assert "(&#x27;held" not in page


def test_a_hold_is_given_back_with_a_reason_that_is_kept(boss: Client) -> None:
    scene = Scene(10)
    held = hold(scene)

    give_back(boss, held, reason="")
    assert scene.pool().reserved == 2
    give_back(boss, held)

    held.refresh_from_db()
    assert (held.state, scene.pool().reserved) == ("released", 0)
    act = AuditEntry.objects.get(action="hold.given_back")
    assert (act.reason, act.by) == ("the buyer left", f"user:{User.objects.get().pk}")


def test_what_is_over_is_named_with_its_state(boss: Client) -> None:
    scene = Scene(10)
    held = hold(scene)
    give_back(boss, held)

    said = give_back(boss, held)

    assert "It is over already: given back." in said


def test_staff_give_back_in_their_shop_alone_and_only_with_the_permission() -> None:
    mine, theirs = Scene(10), Scene(10)
    own, other = hold(mine), hold(theirs)
    client = staff(mine, "view_stockhold", "change_stockhold")

    give_back(client, own, other)

    assert (mine.pool().reserved, theirs.pool().reserved) == (0, 2)
    User.objects.get().user_permissions.set(Permission.objects.filter(codename="view_stockhold"))
    again = hold(mine, "cart-2")
    give_back(client, again)
    assert mine.pool().reserved == 2


def test_limits_are_set_by_hand_and_those_of_every_other_shop_by_whoever_sees_all(boss: Client) -> None:
    scene = Scene(10)
    add = reverse("admin:inventory_holdlimit_add")
    numbers = {"minutes_max": "30", "units_per_buyer": "2", "holds_per_buyer": "1", "units_per_shop": ""}

    boss.post(add, {"shop": "", **numbers})
    assert limits_of(scene.shop.pk).minutes_max == 30
    client = staff(scene, "view_holdlimit", "add_holdlimit", "view_shop")
    HoldLimit.objects.all().delete()
    client.post(add, {"shop": "", **numbers})
    assert not HoldLimit.objects.exists()
    client.post(add, {"shop": str(scene.shop.pk), **numbers})

    assert HoldLimit.objects.get().shop == scene.shop
    assert limits_of(0).minutes_max == 15
