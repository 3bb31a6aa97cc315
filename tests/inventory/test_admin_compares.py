"""Whoever works through differences and alerts sees why, decides in bulk, and is told what became of each row."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from python_calamine import CalamineWorkbook

from integrations.models import Connection
from inventory.models import (
    AlertRule,
    DailyDemand,
    StockAlert,
    StockDifference,
    StockWatch,
    SupplyRule,
)
from inventory.network.compare import compare_stock
from inventory.supply.watch import watch_stock
from omni.kernel.models import Job
from products.models import StaffScope
from tests.factories.integrations import make_channel, make_warehouse
from tests.factories.inventory import Scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def differing(units: int = 20, theirs: int = 19) -> Scene:
    scene = Scene(units)
    at = timezone.now()
    compare_stock(
        location_id=scene.location.pk,
        figures={(scene.sku.pk, "good"): theirs},
        basis="gross",
        cut_off_at=at,
        source="ERP",
        is_complete=False,
        at=at,
        by="test",
    )
    return scene


def press(client: Client, model: str, action: str, rows: Any, **answers: str) -> Any:
    body = {"action": action, "_selected_action": [row.pk for row in rows], "asked": "1", **answers}
    return client.post(reverse(f"admin:inventory_{model}_queue", args=["open"]), body, follow=True)


@pytest.mark.capability("V19")
def test_the_queue_shows_both_sides_the_difference_and_the_likely_cause(boss: Client) -> None:
    scene = differing(20, 12)
    assert scene.commit(scene.promise(8), 8)

    page = boss.get(reverse("admin:inventory_stockdifference_queue", args=["open"])).content.decode()

    assert scene.sku.code in page
    assert "-8" in page
    assert "committed to orders" in page


@pytest.mark.capability("V19")
def test_theirs_is_booked_row_by_row_and_refusals_are_named(boss: Client) -> None:
    taken, free = differing(10, 4), differing(10, 4)
    assert taken.commit(taken.promise(10), 10)

    answer = press(boss, "stockdifference", "book", StockDifference.objects.all(), reason="counted")

    assert "are committed to orders" in answer.content.decode()
    assert (taken.level.on_hand, free.level.on_hand) == (10, 4)
    assert StockDifference.objects.get(sku=free.sku).state == "booked"


@pytest.mark.capability("V19")
def test_without_a_reason_nothing_is_booked(boss: Client) -> None:
    scene = differing()

    press(boss, "stockdifference", "book", StockDifference.objects.all(), reason="")

    assert scene.level.on_hand == 20
    assert StockDifference.objects.get().state == "open"


@pytest.mark.capability("V19")
def test_a_difference_is_explained_or_given_into_somebodys_hands(boss: Client) -> None:
    differing()
    colleague = User.objects.create_user("li", "li@example.com", "x", is_staff=True)

    press(boss, "stockdifference", "take", StockDifference.objects.all(), person=str(colleague.pk), note="")
    assert StockDifference.objects.get().owner == f"user:{colleague.pk}"
    press(boss, "stockdifference", "explain", StockDifference.objects.all(), reason="a late parcel")

    assert StockDifference.objects.get().state == "explained"


@pytest.mark.capability("V19")
def test_whoever_may_only_look_is_offered_no_button_and_sees_their_brand(boss: Client) -> None:
    mine, theirs = differing(), differing()
    brand = mine.sku.spu.brand
    user = User.objects.create_user("ops", "ops@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_stockdifference"))
    StaffScope.objects.create(user=user, brand=brand)
    client = Client()
    client.force_login(user)

    page = client.get(reverse("admin:inventory_stockdifference_queue", args=["open"])).content.decode()
    press(client, "stockdifference", "book", StockDifference.objects.all(), reason="x")

    assert mine.sku.code in page
    assert (theirs.sku.code in page) is (theirs.sku.spu.brand_id == brand.pk)
    assert StockDifference.objects.filter(state="open").count() == 2


@pytest.mark.capability("V19")
def test_a_warehouse_is_compared_at_the_press_of_a_button_and_a_channel_is_not(boss: Client) -> None:
    warehouse = make_warehouse()
    channel = make_channel()

    page = boss.get(reverse("admin:integrations_connection_change", args=[warehouse.pk]))
    answer = boss.post(reverse("admin:integrations_connection_compare_stock", args=[warehouse.pk]))
    refused = boss.post(
        reverse("admin:integrations_connection_compare_stock", args=[channel.pk]), follow=True
    )

    job = Job.objects.get()
    assert "Compare stock now" in page.content.decode()
    assert answer["Location"] == reverse("admin:kernel_job_change", args=[job.pk])
    assert "Only warehouses are asked" in refused.content.decode()
    assert Connection.objects.count() == 2


@pytest.mark.capability("V14")
def test_alerts_are_taken_in_hand_with_a_note(boss: Client) -> None:
    scene = Scene(3)
    AlertRule.objects.create(group=scene.location.group, units=10)
    watch_stock(sku_ids=None, at=timezone.now())

    page = boss.get(reverse("admin:inventory_stockalert_queue", args=["open"])).content.decode()
    press(boss, "stockalert", "take", StockAlert.objects.all(), person="", note="ordered")

    alert = StockAlert.objects.get()
    assert scene.sku.code in page
    assert (alert.note, alert.state) == ("ordered", "open")
    assert alert.taken_by.startswith("user:")


@pytest.mark.capability("V14")
def test_a_rule_that_is_changed_is_watched_for_at_once(boss: Client) -> None:
    scene = Scene(3)
    StockWatch.objects.all().delete()

    boss.post(
        reverse("admin:inventory_alertrule_add"),
        {"group": scene.location.group_id, "units": "10", "is_active": "on"},
    )

    assert AlertRule.objects.get().units == 10
    assert StockWatch.objects.filter(sku=scene.sku).exists()


@pytest.mark.capability("V14")
def test_a_second_rule_for_the_same_scope_is_refused_with_a_sentence(boss: Client) -> None:
    scene = Scene(3)
    AlertRule.objects.create(group=scene.location.group, units=10)

    answer = boss.post(
        reverse("admin:inventory_alertrule_add"),
        {"group": scene.location.group_id, "units": "12", "is_active": "on"},
    )

    assert answer.status_code == 200
    assert AlertRule.objects.count() == 1


def wanted(name: str = "Serum") -> Scene:
    scene = Scene(1)
    scene.sku.name = name
    scene.sku.save()
    SupplyRule.objects.create(group=scene.location.group, pack_size=12)
    DailyDemand.objects.create(
        day=timezone.localdate() - timedelta(days=3), shop=scene.shop, sku=scene.sku, units=56
    )
    return scene


@pytest.mark.capability("V14")
def test_what_should_be_ordered_explains_itself_and_can_be_narrowed(boss: Client) -> None:
    scene, other = wanted(), wanted()
    page = reverse("admin:inventory_supplyrule_list")

    everything = boss.get(page).content.decode()
    narrowed = boss.get(page, {"group": scene.location.group_id}).content.decode()

    assert scene.sku.code in everything
    assert other.sku.code in everything
    assert "2.00 × (7 + 14) days + 0 safety − 1 = 41" in narrowed
    assert "In packs of 12: 48." in narrowed
    assert other.sku.code not in narrowed


@pytest.mark.capability("V14")
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_should_be_ordered_is_downloaded_and_nothing_in_it_is_a_formula(boss: Client, kind: str) -> None:
    wanted("=1+1")

    answer: Any = boss.get(reverse("admin:inventory_supplyrule_download", args=[kind]))
    content = b"".join(answer.streaming_content)

    if kind == "csv":
        assert "'=1+1" in content.decode("utf-8-sig")
        assert content.decode().rstrip().endswith(",48")
    else:
        row = CalamineWorkbook.from_filelike(BytesIO(content)).get_sheet_by_index(0).to_python()[1]
        assert (row[1], row[15]) == ("=1+1", 48)


@pytest.mark.capability("V14")
def test_whoever_may_not_see_the_rules_sees_no_suggestions() -> None:
    client = Client()
    client.force_login(User.objects.create_user("li", "li@example.com", "x", is_staff=True))

    for name in (reverse("admin:inventory_supplyrule_list"), "/admin/inventory/supplyrule/replenishment.csv"):
        assert client.get(name).status_code == 403
