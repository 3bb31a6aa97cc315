"""What people ask is done on the channel: against a fake for the order of things, against the TOP sandbox for real."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from integrations import registry
from integrations.channels.top.adapter import TopAdapter
from integrations.channels.top.sandbox.__main__ import build, read_options
from integrations.contract import LineResult, ListingLine, TitleLine
from integrations.models import Connection, MessageLog
from integrations.open import open_missing_streams
from integrations.push import push_listings
from integrations.survey import ITEMS, survey_items
from omni.kernel.http import HttpClient
from products.models import Listing, ListingRequest, OuterItem
from products.observe import SeenItem
from products.request import publish_listings, withdraw_listings
from products.update import update_listings
from tests.factories.integrations import make_channel
from tests.factories.outside import AWAY, Market
from tests.factories.products import ListingFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P9")]


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


def ask(connection: Connection, state: str = "approved", **values: Any) -> Listing:
    listing = ListingFactory.create(shop=connection.shop, state=state, **values)
    act = publish_listings if state == "approved" else withdraw_listings
    act(listing_ids=[listing.pk], at=timezone.now(), by="user:7")
    return listing


def push(connection: Connection) -> Any:
    return push_listings(connection_id=connection.pk, at=timezone.now())


def test_lines_go_out_and_come_back_with_their_answers(market: Market, channel: Connection) -> None:
    good, bad, leaving = ask(channel), ask(channel), ask(channel, "listed")
    market.refused[bad.sku.code] = LineResult(0, ok=False, code="no", detail="no picture", is_final=True)

    run = push(channel)

    assert run is not None
    assert run.count == 3
    assert market.on_sale == {good.sku.code: True, leaving.sku.code: False}
    states = dict(Listing.objects.values_list("pk", "state"))
    assert states == {good.pk: "listed", bad.pk: "approved", leaving.pk: "delisted"}
    assert ListingRequest.objects.get(listing=bad).answer == "no picture"
    logged = MessageLog.objects.values_list("operation", "is_ok")
    assert sorted(logged) == [("delist_items", True), ("list_items", False), ("list_items", True)]


def test_a_channel_that_is_away_is_asked_again_and_nothing_counts_before_it_answers(
    market: Market, channel: Connection
) -> None:
    listing = ask(channel)
    market.fails["list_items"] = AWAY

    assert push(channel) is None

    listing.refresh_from_db()
    assert listing.state == "approved"
    request = ListingRequest.objects.get()
    assert (request.state, request.attempts) == ("due", 1)
    assert "502" in request.answer


def test_a_channel_that_cannot_list_says_so_instead_of_waiting_for_ever(
    market: Market, channel: Connection
) -> None:
    market.capabilities = replace(market.capabilities, listings=False)
    ask(channel)

    push(channel)

    request = ListingRequest.objects.get()
    assert request.state == "refused"
    assert "interface" in request.answer
    assert market.calls == []


@pytest.mark.capability("P1")
def test_titles_go_out_line_by_line_and_a_refused_one_keeps_the_channels_words(
    market: Market, channel: Connection
) -> None:
    good, bad = (ListingFactory.create(shop=channel.shop, title=name) for name in ("Good", "Bad"))
    market.refused[str(bad.outer_item_id)] = LineResult(0, False, "no", "a forbidden word", is_final=True)
    update_listings(listing_ids=[good.pk, bad.pk], at=timezone.now(), by="user:7")

    push(channel)

    assert market.titles == {good.outer_item_id: "Good"}
    answers = ListingRequest.objects.order_by("listing").values_list("state", "content", "answer")
    assert list(answers) == [("done", "Good", ""), ("refused", "Bad", "a forbidden word")]
    logged = MessageLog.objects.values_list("operation", "is_ok", "subject")
    assert set(logged) == {
        ("update_items", True, good.outer_item_id),
        ("update_items", False, bad.outer_item_id),
    }


def test_a_channel_that_takes_no_titles_says_so(market: Market, channel: Connection) -> None:
    market.capabilities = replace(market.capabilities, titles=False)
    listing = ListingFactory.create(shop=channel.shop)
    update_listings(listing_ids=[listing.pk], at=timezone.now(), by="user:7")

    push(channel)

    assert ListingRequest.objects.get().state == "refused"
    assert market.calls == []


# --- what the channel shows ---------------------------------------------------------------------------------


@pytest.mark.capability("P15")
def test_a_survey_writes_down_the_shelf_and_what_is_gone_is_off_sale(
    market: Market, channel: Connection
) -> None:
    known = ListingFactory.create(shop=channel.shop)
    mapped = SeenItem(str(known.outer_item_id), known.outer_sku_id, is_listed=True)
    market.items = [mapped, SeenItem("I1", "", is_listed=True), SeenItem("I2", "", is_listed=True)]

    run = survey_items(connection_id=channel.pk, at=timezone.now())
    assert run is not None
    assert run.count == 3
    assert set(OuterItem.objects.values_list("outer_item_id", "state")) == {
        (known.outer_item_id, "mapped"),
        ("I1", "unmapped"),
        ("I2", "unmapped"),
    }
    market.items.pop()
    channel.cursors.filter(stream=ITEMS).update(due_at=timezone.now())
    survey_items(connection_id=channel.pk, at=timezone.now())

    assert set(OuterItem.objects.filter(is_listed=False).values_list("outer_item_id", flat=True)) == {"I2"}


@pytest.mark.capability("P15")
def test_a_survey_that_breaks_off_concludes_nothing_about_the_rest(
    market: Market, channel: Connection
) -> None:
    market.items = [SeenItem("I1", "", is_listed=True)]
    survey_items(connection_id=channel.pk, at=timezone.now())
    market.fails["read_items"] = AWAY

    assert survey_items(connection_id=channel.pk, at=timezone.now()) is None

    assert OuterItem.objects.get().is_listed


# --- the adapter against the sandbox of TOP -----------------------------------------------------------------


class Shelf:
    """The sandbox on a free port with the adapter that talks to it. `first`: the SKUs of its first item."""

    def __init__(self) -> None:
        self.server, self.market, _pace = build(
            read_options(["--port", "0", "--rate", "0", "--faults", "none"])
        )
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.http = HttpClient(allow_loopback=True, timeout_seconds=5)
        self.adapter = TopAdapter(
            base_url=f"http://127.0.0.1:{self.server.server_port}/router/rest",
            credentials={"app_key": "12345678", "secret": "helloworld", "session": "test"},
            http=self.http,
        )
        self.first = [each for each in self.market.shelf if each.num_iid == self.market.shelf[0].num_iid]

    def line(self, key: int, position: int = 0, **values: Any) -> ListingLine:
        sku = self.first[position]
        given: dict[str, Any] = {
            "key": key,
            "sku_code": sku.outer_sku_id,
            "outer_item_id": str(sku.num_iid),
            "outer_sku_id": str(sku.sku_id),
            "quantity": 5,
        }
        return ListingLine(**(given | values))

    def close(self) -> None:
        self.http.close()
        self.server.shutdown()
        self.server.server_close()
        self.market.close()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()
    yield shelf
    shelf.close()


def results(answered: list[LineResult]) -> list[tuple[int, bool, str]]:
    return [(each.key, each.ok, each.code) for each in answered]


def test_a_whole_item_goes_off_sale_and_on_again_and_asking_twice_is_a_yes(shelf: Shelf) -> None:
    lines = [shelf.line(position + 1, position) for position in range(4)]

    assert results(shelf.adapter.delist_items(lines=lines)) == [(key, True, "") for key in (1, 2, 3, 4)]
    assert not any(sku.is_on_sale for sku in shelf.first)
    again = shelf.adapter.delist_items(lines=lines[:1])
    assert results(again) == [(1, True, "read_back")]

    assert results(shelf.adapter.list_items(lines=lines)) == [(key, True, "") for key in (1, 2, 3, 4)]
    assert all(sku.is_on_sale for sku in shelf.first)
    assert results(shelf.adapter.list_items(lines=lines[:1])) == [(1, True, "read_back")]


def test_one_sku_of_an_item_that_stays_has_nothing_to_sell_any_more(shelf: Shelf) -> None:
    line = shelf.line(1, 0, is_whole_item=False)

    assert results(shelf.adapter.delist_items(lines=[line])) == [(1, True, "")]

    assert shelf.first[0].quantity == 0
    assert all(sku.is_on_sale for sku in shelf.first)
    assert all(sku.quantity for sku in shelf.first[1:])


def test_an_item_that_is_not_there_and_one_with_nothing_to_sell_are_refused_alone(shelf: Shelf) -> None:
    good = shelf.line(1)
    shelf.adapter.delist_items(lines=[good])
    bare = [each for each in shelf.market.shelf if each.num_iid != shelf.first[0].num_iid][:4]
    for sku in bare:
        sku.quantity, sku.is_on_sale = 0, False

    answered = shelf.adapter.list_items(
        lines=[
            shelf.line(2, outer_item_id="999"),
            good,
            shelf.line(3, outer_item_id=str(bare[0].num_iid), outer_sku_id=str(bare[0].sku_id)),
        ]
    )

    assert [(each.key, each.ok, each.is_final) for each in answered] == [
        (2, False, True),
        (1, True, False),
        (3, False, True),
    ]
    assert "nothing to sell" in answered[2].detail


def test_an_answer_that_gets_lost_is_found_out_when_it_is_asked_again(shelf: Shelf) -> None:
    shelf.market.dice.change({"drop_after_write": 1.0})
    (lost,) = shelf.adapter.delist_items(lines=[shelf.line(1)])
    shelf.market.dice.change({"drop_after_write": 0.0})

    (found,) = shelf.adapter.delist_items(lines=[shelf.line(1)])

    assert (lost.ok, lost.is_final) == (False, False)
    assert (found.ok, found.code) == (True, "read_back")


@pytest.mark.capability("P1")
def test_an_item_gets_its_title_and_one_that_is_too_long_is_refused_alone(shelf: Shelf) -> None:
    first, *_rest, last = shelf.market.shelf
    before = last.title

    answered = shelf.adapter.update_items(
        lines=[TitleLine(1, str(first.num_iid), "羊毛开衫 春款"), TitleLine(2, str(last.num_iid), "羊" * 31)]
    )

    assert [(each.key, each.ok, each.is_final) for each in answered] == [(1, True, False), (2, False, True)]
    assert {sku.title for sku in shelf.first} == {"羊毛开衫 春款"}
    assert last.title == before
    assert "60" in answered[1].detail


@pytest.mark.capability("P1")
def test_a_title_whose_answer_gets_lost_is_told_again(shelf: Shelf) -> None:
    line = TitleLine(1, str(shelf.first[0].num_iid), "新标题")
    shelf.market.dice.change({"drop_after_write": 1.0})
    (lost,) = shelf.adapter.update_items(lines=[line])
    shelf.market.dice.change({"drop_after_write": 0.0})

    (told,) = shelf.adapter.update_items(lines=[line])

    assert (lost.ok, lost.is_final, told.ok) == (False, False, True)
    assert shelf.first[0].title == "新标题"


def test_nobody_buys_what_is_off_sale(shelf: Shelf) -> None:
    from integrations.channels.top.sandbox import lives
    from integrations.channels.top.sandbox.market import Refused

    shelf.adapter.delist_items(lines=[shelf.line(1)])

    with pytest.raises(Refused, match="off sale"):
        lives.place_given_order(shelf.market, wanted=[(shelf.first[0], 1)])


@pytest.mark.capability("P15")
def test_the_whole_shelf_is_read_with_what_is_on_sale_and_what_is_not(shelf: Shelf) -> None:
    shelf.adapter.delist_items(lines=[shelf.line(1)])
    shelf.first[0].barcode = "6901234567892"

    seen = [item for page in shelf.adapter.read_items() for item in page]

    assert len(seen) == len(shelf.market.shelf)
    assert {item.outer_item_id for item in seen if not item.is_listed} == {str(shelf.first[0].num_iid)}
    sku = shelf.first[0]
    found = next(item for item in seen if item.outer_sku_id == str(sku.sku_id))
    assert found == SeenItem(
        outer_item_id=str(sku.num_iid),
        outer_sku_id=str(sku.sku_id),
        title=sku.title,
        outer_code=sku.outer_sku_id,
        barcode="6901234567892",
        price=found.price,
        quantity=sku.quantity,
        is_listed=False,
    )
    assert found.price is not None
    assert int(found.price * 100) == sku.price
