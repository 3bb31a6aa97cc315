"""The buttons of the admin: only by POST, only with permission, only on what is yours; what they did is recorded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations.models import Connection, Cursor, ListingDrift
from inventory.models import StockMovement
from omni.kernel.models import AuditEntry, Job, OutboxEvent
from orders.hold import NewHold, place_holds
from orders.models import OrderEvent, SalesOrder
from orders.models.review import HoldKind
from orders.release import ReleaseAnswer, record_release_answers
from orders.source import resource_orders
from orders.states import FulfilmentState, Stage
from products.models import Listing, StaffScope
from products.observe import SeenItem, observe_items
from tests.factories.orders import NOON, House, line_draft, make_house
from tests.factories.path import release, request, source, stage
from tests.omni.rows import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world() -> World:
    return make_world("MINE")


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def person(world: World, *codenames: str) -> Client:
    user = User.objects.create_user("staff", "staff@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    StaffScope.objects.create(user=user, shop=world.shop)
    client = Client()
    client.force_login(user)
    return client


def hold_url(order: SalesOrder) -> str:
    return reverse("admin:orders_salesorder_act", args=[order.pk, "hold"])


def test_who_may_only_look_cannot_press_buttons(world: World) -> None:
    client = person(world, "view_salesorder")

    answer = client.post(hold_url(world.order), {"note": "wait"})

    assert answer.status_code == 403
    assert client.get(reverse("admin:orders_salesorder_change", args=[world.order.pk])).status_code == 200
    assert not OrderEvent.objects.filter(kind="hold.placed").exists()


def test_a_button_is_not_pressed_by_a_link(world: World, boss: Client) -> None:
    assert boss.get(hold_url(world.order)).status_code == 403
    assert not OrderEvent.objects.filter(kind="hold.placed").exists()


def test_nobody_acts_on_another_shops_order(world: World) -> None:
    theirs = make_world("THEIRS")
    client = person(world, "view_salesorder", "change_salesorder")

    answer = client.post(hold_url(theirs.order), {"note": "wait"})

    assert answer.status_code == 404
    assert not OrderEvent.objects.filter(kind="hold.placed").exists()


def test_a_hold_is_placed_with_its_reason_by_name(world: World) -> None:
    client = person(world, "view_salesorder", "change_salesorder")

    client.post(hold_url(world.order), {"note": "the address is a parcel locker"})

    event = OrderEvent.objects.get(kind="hold.placed")
    assert event.order == world.order
    assert event.detail["reason"] == "the address is a parcel locker"
    assert event.by == f"user:{User.objects.get(username='staff').pk}"


def test_a_hold_without_a_reason_is_refused_and_nothing_happens(world: World, boss: Client) -> None:
    answer = boss.post(hold_url(world.order), {"note": ""}, follow=True)

    assert "Reason" in answer.content.decode()
    assert not OrderEvent.objects.filter(kind="hold.placed").exists()


def test_whoever_reads_the_receiver_is_written_down(world: World, boss: Client) -> None:
    page = boss.get(reverse("admin:orders_salesorder_change", args=[world.order.pk])).content.decode()
    shown = boss.post(
        reverse("admin:orders_salesorder_act", args=[world.order.pk, "reveal"])
    ).content.decode()

    assert "13800000000" not in page
    assert "13800000000" in shown
    assert AuditEntry.objects.filter(action="receiver.read", object_id=str(world.order.pk)).count() == 1


def test_what_the_platform_said_is_shown_without_names(world: World, boss: Client) -> None:
    order = SalesOrder.objects.get(number="SO-MINE")
    version = order.channel_order.history.get()  # type: ignore[union-attr]

    page = boss.get(reverse("admin:orders_salesorder_said", args=[order.pk, version.pk])).content.decode()

    assert "outer-MINE" in page
    assert "张**" not in page


def test_the_same_receipt_sent_twice_is_booked_once(world: World, boss: Client) -> None:
    url = reverse("admin:inventory_skustock_act", args=[world.sku.pk, "receive"])
    form = {
        "key": "a1",
        "location": world.location.pk,
        "quantity": 5,
        "grade": "good",
        "reason": "found behind the shelf",
    }
    before = StockMovement.objects.count()

    boss.post(url, form)
    booked = StockMovement.objects.count() - before
    boss.post(url, form)

    assert booked > 0
    assert StockMovement.objects.count() - before == booked


def test_a_faulty_receipt_is_shown_again_with_its_fault(world: World, boss: Client) -> None:
    url = reverse("admin:inventory_skustock_act", args=[world.sku.pk, "receive"])
    before = StockMovement.objects.count()

    answer = boss.post(url, {"key": "a1", "location": world.location.pk, "quantity": 0, "grade": "good"})

    assert answer.status_code == 200
    assert "omni-error" in answer.content.decode()
    assert StockMovement.objects.count() == before


def test_a_connection_is_paused_with_a_reason_and_resumed(world: World, boss: Client) -> None:
    connection = Connection.objects.get(code="top-mine")
    act = "admin:integrations_connection_act"

    boss.post(reverse(act, args=[connection.pk, "pause"]), {"reason": "the channel is being moved"})
    connection.refresh_from_db()
    paused = (connection.health, connection.paused_reason)
    boss.post(reverse(act, args=[connection.pk, "resume"]), {"reason": "it has been moved"})

    connection.refresh_from_db()
    assert paused == ("paused", "the channel is being moved")
    assert (connection.health, connection.paused_reason) == ("new", "")


def test_pulling_now_makes_every_stream_due(world: World, boss: Client) -> None:
    connection = Connection.objects.get(code="top-mine")
    cursor = connection.cursors.get()
    connection.cursors.update(due_at="2099-01-01T00:00Z")

    boss.post(reverse("admin:integrations_connection_act", args=[connection.pk, "pull"]))

    cursor.refresh_from_db()
    assert cursor.due_at.year < 2099


def test_dead_letters_are_revived_and_say_so_row_by_row(world: World, boss: Client) -> None:
    dead = OutboxEvent.objects.get()
    url = reverse("admin:kernel_outboxevent_queue", args=["dead"])

    boss.post(url, {"action": "revive", "_selected_action": [dead.pk]})

    dead.refresh_from_db()
    assert (dead.state, dead.attempts) == ("ready", 0)


def test_a_queued_job_is_cancelled_by_whoever_may(world: World, boss: Client) -> None:
    job = Job.objects.get()

    boss.post(reverse("admin:kernel_job_cancel", args=[job.pk]))

    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


def test_a_bulk_action_names_every_row_that_was_refused(world: World, boss: Client) -> None:
    rows = list(SalesOrder.objects.filter(stage__in=[Stage.SHIPPED, Stage.CAPTURED]))
    url = reverse("admin:orders_salesorder_changelist")
    chosen = {"action": "cancel", "_selected_action": [row.pk for row in rows]}

    asked = boss.post(url, chosen)
    answer = boss.post(url, chosen | {"asked": "1", "note": "the shop closes"})

    assert "the shop closes" not in asked.content.decode()
    assert [row.subject for row in answer.context["refused"]] == ["SO-MINE-shipped"]
    assert SalesOrder.objects.get(number="SO-MINE-captured").stage == Stage.CANCELLED


def test_differences_are_settled_by_whoever_may_and_each_row_says_what_came_of_it(world: World) -> None:
    client = person(world, "view_listingdrift", "change_listingdrift", "view_connection")
    theirs = make_world("THEIRS")
    page = reverse("admin:integrations_listingdrift_queue", args=["open"])
    assert "Serum MINE" in client.get(page).content.decode()
    ids = [str(pk) for pk in ListingDrift.objects.values_list("pk", flat=True)]
    chosen = {"action": "push_again", "_selected_action": ids}
    assert "reason" in client.post(page, chosen).content.decode()

    said = client.post(page, {**chosen, "asked": "1", "reason": "ours is right"}).content.decode()

    # What is gone cannot be pushed; the others are, and nothing of the other shop is touched.
    assert "not show the item any more" in said
    pushed = ListingDrift.objects.filter(pushed_at__isnull=False).values_list("what", "shop", "pushed_by")
    user = User.objects.get(username="staff")
    assert set(pushed) == {
        ("title", world.shop.pk, f"user:{user.pk}"),
        ("price", world.shop.pk, f"user:{user.pk}"),
    }
    assert not ListingDrift.objects.filter(shop=theirs.shop, pushed_at__isnull=False).exists()


def test_who_may_only_look_at_differences_settles_none(world: World) -> None:
    client = person(world, "view_listingdrift")
    page = reverse("admin:integrations_listingdrift_changelist")
    ids = [str(pk) for pk in ListingDrift.objects.values_list("pk", flat=True)]

    client.post(page, {"action": "accept", "_selected_action": ids, "asked": "1", "reason": ""})

    assert not ListingDrift.objects.filter(closed_at__isnull=False).exists()


def test_the_shelf_is_read_again_on_demand(world: World, boss: Client) -> None:
    channel = Connection.objects.get(shop=world.shop)
    later = timezone.now() + timedelta(hours=1)
    for stream in ("items", "stock"):
        Cursor.objects.create(connection=channel, stream=stream, due_at=later)
    page = reverse("admin:integrations_listingdrift_changelist")

    boss.post(page, {"action": "look_again", "_selected_action": [str(ListingDrift.objects.all()[0].pk)]})

    assert channel.cursors.get(stream="items").due_at <= timezone.now()
    assert channel.cursors.get(stream="stock").due_at == later


def test_the_page_of_a_listing_shows_what_its_channel_shows(world: World, boss: Client) -> None:
    listing = Listing.objects.get(shop=world.shop, outer_item_id="item-MINE")
    seen = SeenItem(
        "item-MINE", "1", "What it says there", price=Decimal("88.50"), quantity=41, is_listed=False
    )
    observe_items(shop_id=world.shop.pk, items=[seen], source="channel", at=NOON)

    body = boss.get(reverse("admin:products_listing_change", args=[listing.pk])).content.decode()

    for said in ("What it says there", "88.50", "41", "Serum MINE"):
        assert said in body
    assert reverse("admin:integrations_listingdrift_changelist") in body


class TestShippedElsewhere:
    @pytest.fixture
    def house(self) -> House:
        return make_house(stock=10)

    def test_each_order_is_confirmed_or_refused_for_itself(self, house: House, boss: Client) -> None:
        ours = house.order()
        release(ours)
        theirs = house.order()
        url = reverse("admin:orders_salesorder_changelist")
        chosen = {"action": "outside", "_selected_action": [ours.pk, theirs.pk]}

        answer = boss.post(url, chosen | {"asked": "1", "note": "the shop sent it", "lines": ""})

        assert [row.subject for row in answer.context["refused"]] == [ours.number]
        assert [row.subject for row in answer.context["done"]] == [theirs.number]
        event = OrderEvent.objects.get(kind="shipped.outside")
        assert (event.order, event.detail["note"]) == (theirs, "the shop sent it")
        assert (stage(ours), stage(theirs)) == (Stage.RELEASED, Stage.SHIPPED)

    def test_only_the_lines_that_are_named_are_confirmed(self, house: House, boss: Client) -> None:
        gone, kept = line_draft(house.sku, outer_line_id="A1"), line_draft(house.sku, outer_line_id="B2")
        order = house.order(gone, kept)
        place_holds(holds=[NewHold(order.pk, HoldKind.SHIPPED_ELSEWHERE, "said so")], at=NOON, by="test")
        url = reverse("admin:orders_salesorder_act", args=[order.pk, "outside"])

        page = boss.get(reverse("admin:orders_salesorder_change", args=[order.pk])).content.decode()
        boss.post(url, {"note": "the shop sent it", "lines": " A1，"})

        assert url in page
        assert dict(order.lines.values_list("outer_line_id", "outside_quantity")) == {"A1": 1, "B2": 0}

    def test_a_warehouse_is_asked_to_stop_what_it_has_taken_and_nothing_else(
        self, house: House, boss: Client
    ) -> None:
        taken = release(house.order())
        planned = source(house.order())
        url = reverse("admin:orders_fulfilmentorder_changelist")
        chosen = {"action": "stop", "_selected_action": [taken.pk, planned.pk]}

        asked = boss.post(url, chosen)
        answer = boss.post(url, chosen | {"asked": "1", "note": "no word for a week"})

        assert 'name="note"' in asked.content.decode()
        assert [row.subject for row in answer.context["refused"]] == [planned.number]
        taken.refresh_from_db()
        assert taken.state == FulfilmentState.CANCEL_REQUESTED

    def test_a_location_is_allowed_again_only_for_orders_that_it_refused(
        self, house: House, boss: Client
    ) -> None:
        refused = house.order()
        fulfilment = source(refused)
        request(fulfilment)
        answers = [ReleaseAnswer(fulfilment.pk, "refused", detail="closed")]
        record_release_answers(answers=answers, at=NOON, by="test")
        resource_orders(order_ids=[refused.pk], at=NOON, by="test")
        other = house.order()
        url = reverse("admin:orders_salesorder_changelist")
        chosen = {"action": "allow", "_selected_action": [refused.pk, other.pk]}

        answer = boss.post(url, chosen | {"asked": "1", "note": "they found the key"})

        assert [row.subject for row in answer.context["done"]] == [refused.number]
        assert [row.subject for row in answer.context["refused"]] == [other.number]
