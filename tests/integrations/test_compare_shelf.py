"""A person has a shop compared with its channel now: one job, its progress, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations import compare_shelf, registry
from integrations.channels.top.sandbox import shelf as sandbox_shelf
from integrations.channels.top.sandbox.__main__ import build, read_options
from integrations.compare_shelf import NothingToCompare, start_comparison
from integrations.hasten import IsPaused
from integrations.lease import claim_lease
from integrations.models import Connection, Cursor, ListingDrift
from integrations.open import open_missing_streams
from integrations.push import push_stock
from integrations.push_again import push_drifts_again
from integrations.survey import ITEMS
from inventory.models import PublishedStock, StockChange
from inventory.tasks import plan_published
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import AuditEntry, Job
from omni.wiring import JOBS
from products.models import StaffScope
from products.observe import SeenItem
from tests.factories.api import Caller
from tests.factories.integrations import make_channel
from tests.factories.orders import make_house
from tests.factories.outside import AWAY, Market
from tests.factories.products import ListingFactory, ShopFactory
from tests.integrations.medusa_replay import Replay, playing
from tests.integrations.test_differences import STORE, VARIANT, stocked, variant

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V9")]
HOUR = timedelta(hours=1)


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    market = Market()
    monkeypatch.setattr(registry, "CHANNELS", {"top": market})
    return market


@pytest.fixture
def channel(market: Market) -> Connection:
    connection = make_channel()
    open_missing_streams()
    return connection


def shows_other_number(channel: Connection, market: Market, *, ours: int = 25, theirs: int = 3) -> None:
    listing = ListingFactory.create(shop=channel.shop, title="Serum")
    stocked(listing, ours, at=timezone.now() - HOUR)
    item = SeenItem(
        str(listing.outer_item_id), listing.outer_sku_id, "Serum", quantity=theirs, is_listed=True
    )
    market.items = [item]


def begin(channel: Connection, by: str = "user:7") -> Job:
    return start_comparison(shop_id=channel.shop_id or 0, at=timezone.now(), by=by)


def work(job: Job) -> Job:
    claimed = claim_job(at=timezone.now(), job_id=job.pk)
    assert claimed is not None
    return run_job(job=claimed, works=JOBS)


def test_a_comparison_reads_the_shelf_and_says_what_differs(market: Market, channel: Connection) -> None:
    shows_other_number(channel, market)

    done = work(begin(channel))

    assert (done.state, done.done, done.total) == ("done", 1, 1)
    assert done.result == {"items": 1, "differences": 1, "stock_differences": 1, "new": 1, "over": 0}
    drift = ListingDrift.objects.get()
    assert (drift.what, drift.ours, drift.theirs, drift.cause) == ("stock", "25", "3", "changed")
    assert AuditEntry.objects.get(action="connection.compared").by == "user:7"


def test_when_both_sides_agree_again_the_next_comparison_ends_the_difference(
    market: Market, channel: Connection
) -> None:
    shows_other_number(channel, market)
    work(begin(channel))
    [item] = market.items
    market.items = [SeenItem(item.outer_item_id, item.outer_sku_id, "Serum", quantity=25, is_listed=True)]

    done = work(begin(channel))

    assert done.result == {"items": 1, "differences": 0, "stock_differences": 0, "new": 0, "over": 1}


def test_a_comparison_that_is_under_way_is_not_begun_again(market: Market, channel: Connection) -> None:
    first, second = begin(channel), begin(channel, "user:8")
    work(first)

    third = begin(channel)

    assert (second.pk, third.pk == first.pk) == (first.pk, False)


def test_a_channel_that_does_not_answer_fails_the_comparison_with_its_words(
    market: Market, channel: Connection
) -> None:
    shows_other_number(channel, market)
    market.fails["read_items"] = AWAY

    failed = work(begin(channel))

    assert (failed.state, AWAY.detail in failed.message) == ("failed", True)
    assert not ListingDrift.objects.exists()


def test_a_comparison_waits_for_the_survey_that_is_under_way(
    market: Market, channel: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows_other_number(channel, market)
    assert claim_lease(connection_id=channel.pk, stream=ITEMS) is not None
    seen: list[str] = []

    def survey_ends(_seconds: float) -> None:
        seen.append(Job.objects.get().message)
        Cursor.objects.filter(stream=ITEMS).update(lease_until=None, holder="")

    monkeypatch.setattr("integrations.compare_shelf.time.sleep", survey_ends)

    done = work(begin(channel))

    assert (done.state, done.result["differences"], len(seen)) == ("done", 1, 1)
    assert "Waiting" in seen[0]


def test_a_comparison_does_not_wait_for_ever(
    market: Market, channel: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert claim_lease(connection_id=channel.pk, stream=ITEMS) is not None
    monkeypatch.setattr(compare_shelf, "WAIT_SECONDS", -1)

    assert work(begin(channel)).state == "failed"


def test_who_asks_does_not_wait_for_the_end_of_a_pause_after_failures(
    market: Market, channel: Connection
) -> None:
    Connection.objects.update(not_before=timezone.now() + HOUR)

    assert work(begin(channel)).state == "done"


def test_a_shop_without_a_shelf_to_see_and_a_paused_one_cannot_be_compared(
    market: Market, channel: Connection
) -> None:
    with pytest.raises(NothingToCompare):
        start_comparison(shop_id=ShopFactory.create().pk, at=timezone.now(), by="user:7")
    Connection.objects.update(health="paused")
    with pytest.raises(IsPaused):
        begin(channel)

    assert not Job.objects.exists()


# --- on the page and over the API ---------------------------------------------------------------------------


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def test_it_is_begun_on_the_page_of_the_connection_which_shows_the_last(
    market: Market, channel: Connection, boss: Client
) -> None:
    shows_other_number(channel, market)
    page = reverse("admin:integrations_connection_change", args=[channel.pk])
    button = reverse("admin:integrations_connection_compare", args=[channel.pk])
    assert button in boss.get(page).content.decode()

    answer = boss.post(button)
    job = Job.objects.get()
    work(job)
    shown = boss.get(page).content.decode()

    assert answer["Location"] == reverse("admin:kernel_job_change", args=[job.pk])
    assert "1 difference" in shown
    differences = reverse("admin:integrations_listingdrift_changelist")
    rows = boss.get(f"{differences}?shop={channel.shop_id}&stand=open&what=stock")
    assert rows.context["cl"].result_count == 1


def test_who_may_only_look_at_connections_begins_none(market: Market, channel: Connection) -> None:
    user = User.objects.create_user("staff", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_connection"))
    StaffScope.objects.create(user=user, shop=channel.shop)
    client = Client()
    client.force_login(user)

    answer = client.post(reverse("admin:integrations_connection_compare", args=[channel.pk]))

    assert (answer.status_code, Job.objects.exists()) == (403, False)


def test_a_machine_begins_it_and_reads_what_came_of_it(market: Market, channel: Connection) -> None:
    shows_other_number(channel, market)
    assert channel.shop is not None
    caller, stranger = Caller(channel.shop), Caller(ShopFactory.create())

    begun = caller.post("comparisons", {"shop": channel.shop.code})
    work(Job.objects.get())
    path = f"comparisons/{begun.json()['id']}"
    read = caller.get(path).json()

    assert (begun.status_code, begun.json()["state"], begun.json()["result"]) == (202, "queued", None)
    assert begun["Location"] == f"/api/v1/{path}"
    assert (read["state"], read["result"]["stock_differences"]) == ("done", 1)
    assert stranger.get(path).status_code == 404
    assert stranger.post("comparisons", {"shop": channel.shop.code}).status_code == 404


# --- against the sandbox of TOP, and answers of Medusa ------------------------------------------------------


@pytest.fixture
def platform() -> Iterator[Any]:
    server, market, _pacemaker = build(read_options(["--port", "0", "--rate", "0", "--faults", "none"]))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    market.address = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield market
    server.shutdown()
    server.server_close()
    market.close()


def test_a_number_that_was_changed_by_hand_on_top_is_found_at_once_and_pushed_again(platform: Any) -> None:
    house = make_house(stock=25)
    channel = make_channel(adapter="top", shop=house.shop, base_url=f"{platform.address}/router/rest")
    open_missing_streams()
    item = platform.shelf[0]
    outer = {"outer_item_id": str(item.num_iid), "outer_sku_id": str(item.sku_id)}
    ListingFactory.create(shop=house.shop, sku=house.sku, title=item.title, **outer)
    StockChange.objects.create(sku=house.sku)
    plan_published()
    assert push_stock(connection_id=channel.pk, at=timezone.now()) is not None
    assert item.quantity == 25
    PublishedStock.objects.update(acked_at=timezone.now() - HOUR)

    sandbox_shelf.set_quantity(platform, item, 3)
    found = work(begin(channel))
    drift = ListingDrift.objects.get(what="stock", closed_at=None)
    [pushed] = push_drifts_again(drift_ids=[drift.pk], at=timezone.now() - timedelta(seconds=5), by="user:7")
    PublishedStock.objects.update(not_before=timezone.now() - HOUR)
    assert push_stock(connection_id=channel.pk, at=timezone.now()) is not None
    PublishedStock.objects.update(acked_at=timezone.now() - HOUR)
    over = work(begin(channel))

    assert found.result["stock_differences"] == 1
    assert (drift.ours, drift.theirs, drift.cause, pushed.ok) == ("25", "3", "changed", True)
    assert drift.since >= found.created_at
    assert item.quantity == 25
    assert (over.result["stock_differences"], over.result["over"]) == (0, 1)


def test_a_number_that_was_changed_by_hand_on_medusa_is_found_at_once() -> None:
    replay = Replay()
    replay.expect("GET", "/admin/stores", answer=STORE)
    replay.expect("GET", VARIANT, answer={"variants": [variant("Bag", 299, 3, "published")]})
    with playing(replay) as medusa:
        house = make_house(stock=25, channel="medusa")
        channel = make_channel(
            adapter="medusa",
            shop=house.shop,
            base_url=medusa.base_url,
            credentials={"api_key": "sk_1"},
            settings={"location_id": "sloc_1"},
        )
        listing = ListingFactory.create(
            shop=house.shop, sku=house.sku, title="Bag", outer_item_id="prod_1", outer_sku_id="variant_1"
        )
        stocked(listing, 25, at=timezone.now() - HOUR)
        plan_published()

        done = work(begin(channel))

    assert done.result == {"items": 1, "differences": 1, "stock_differences": 1, "new": 1, "over": 0}
    assert replay.surprises == []
