"""What a channel shows as price becomes what was approved, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from integrations import registry, tasks
from integrations.channels.top.sandbox.__main__ import build, read_options
from integrations.contract import LineResult, PriceLine
from integrations.drift import CHECKS
from integrations.lease import open_streams
from integrations.models import Connection, Cursor, MessageLog
from integrations.open import open_missing_streams
from integrations.push import push_prices
from products.drift import CHECKS as PRODUCT_CHECKS
from products.models import Listing, PriceChange, PublishedPrice, Sku
from products.prices.publish import plan_published_prices
from tests.factories.integrations import make_channel
from tests.factories.outside import AWAY, EXPIRED, LOST, Market
from tests.factories.prices import approved
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P12")]


@pytest.fixture(autouse=True)
def nothing_has_drifted() -> Iterator[None]:
    yield
    wanted = {"prices.acknowledged_was_said", "prices.desired_is_in_force", "prices.lines_are_whole"}
    checks = [check for check in (*CHECKS, *PRODUCT_CHECKS) if check.code in wanted]
    assert [row for check in checks for row in check.find(5)] == []
    assert len(checks) == len(wanted)


@dataclass
class PricedMarket(Market):
    """A channel that shows prices too."""

    tags: dict[str, tuple[Decimal, str]] = field(default_factory=dict)  # SKU code → the price that it shows

    def __post_init__(self) -> None:
        self.capabilities = replace(self.capabilities, prices=True)

    def push_prices(self, *, lines: Sequence[PriceLine]) -> list[LineResult]:
        results = []
        for line in lines:
            refusal = self.refused.get(line.sku_code)
            if refusal is None:
                self.tags[line.sku_code] = (line.price, line.currency)
            results.append(self._result(line.key, refusal))
        self._call("push_prices", [line.sku_code for line in lines])  # fails after it took effect
        return results


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> PricedMarket:
    market = PricedMarket()
    monkeypatch.setitem(registry.CHANNELS, "fake", market)
    return market


@pytest.fixture
def channel(market: PricedMarket) -> Connection:
    channel = make_channel(adapter="fake", shop=ShopFactory.create(channel="fake"))
    open_streams(connection_id=channel.pk, streams=["prices"])
    return channel


def price(channel: Connection, amount: int | str, sku: Sku | None = None, **given: Any) -> Sku:
    """A SKU that the shop lists, and its approved price."""
    if sku is None:
        sku = SkuFactory.create(list_price=Decimal(129))
        ListingFactory.create(shop=channel.shop, sku=sku)
    approved(sku, amount, at=earlier(), starts_at=earlier(), **given)
    return sku


def earlier() -> datetime:
    """The clock of the database stands still while a test runs: what it is to see has to lie before."""
    return timezone.now() - timedelta(minutes=5)


def push(channel: Connection) -> Any:
    """What the planner's sweep and the pusher's do, one after the other."""
    plan_published_prices(limit=1000, at=earlier())
    return push_prices(connection_id=channel.pk, at=timezone.now())


def published(sku: Sku) -> PublishedPrice:
    return PublishedPrice.objects.get(listing__sku=sku)


def test_an_approved_price_reaches_the_channel_and_its_yes_is_kept(
    channel: Connection, market: PricedMarket
) -> None:
    sku = price(channel, "99.50")

    run = push(channel)

    assert market.tags == {sku.code: (Decimal("99.50"), "CNY")}
    assert published(sku).acked_amount == Decimal("99.50")
    assert run.count == 1
    entry = MessageLog.objects.get(operation="push_prices")
    listing = Listing.objects.get(sku=sku)
    assert (entry.is_ok, entry.subject) == (True, f"{listing.outer_item_id}/{listing.outer_sku_id}")


def test_one_refused_price_leaves_the_others_alone_and_says_why(
    channel: Connection, market: PricedMarket
) -> None:
    good, bad = price(channel, 99), price(channel, 98)
    market.refused[bad.code] = LineResult(0, ok=False, code="no_sku", detail="unknown SKU", is_final=True)

    push(channel)

    assert published(good).acked_amount == 99
    row = published(bad)
    assert (row.acked_amount, row.last_error) == (None, "unknown SKU")
    assert row.not_before > timezone.now() + timedelta(hours=23)


@pytest.mark.parametrize("trouble", [AWAY, LOST])
def test_a_channel_that_is_away_is_told_again_and_shows_the_newest_price(
    channel: Connection, market: PricedMarket, trouble: Exception
) -> None:
    sku = price(channel, 99)
    market.fails["push_prices"] = trouble
    assert push(channel) is None
    assert published(sku).acked_amount is None
    assert published(sku).last_error

    market.fails.clear()
    price(channel, 89, sku)
    PublishedPrice.objects.update(not_before=timezone.now())
    Cursor.objects.update(due_at=timezone.now())
    Connection.objects.update(not_before=timezone.now())
    push(channel)

    assert market.tags[sku.code] == (Decimal(89), "CNY")
    assert published(sku).acked_amount == 89


def test_an_expired_authorisation_pauses_the_connection(channel: Connection, market: PricedMarket) -> None:
    sku = price(channel, 99)
    market.fails["push_prices"] = EXPIRED

    push(channel)

    channel.refresh_from_db()
    assert channel.health == Connection.Health.PAUSED
    assert published(sku).acked_amount is None


def test_a_price_that_changes_while_the_call_is_under_way_is_told_after_it(
    channel: Connection, market: PricedMarket
) -> None:
    sku = price(channel, 99)

    def change() -> None:
        market.during.clear()
        price(channel, 89, sku)
        plan_published_prices(limit=10, at=earlier())

    market.during["push_prices"] = change
    push(channel)

    assert len(market.named("push_prices")) == 2
    assert market.tags[sku.code] == (Decimal(89), "CNY")
    assert published(sku).acked_amount == 89


def test_nothing_to_say_asks_nobody(channel: Connection, market: PricedMarket) -> None:
    price(channel, 99)
    push(channel)
    market.calls.clear()

    assert push(channel).count == 0
    assert market.calls == []


def test_a_channel_without_prices_has_no_stream_of_them(market: PricedMarket) -> None:
    market.capabilities = replace(market.capabilities, prices=False)
    channel = make_channel(adapter="fake", shop=ShopFactory.create(channel="fake"))
    open_missing_streams()

    assert "prices" not in set(channel.cursors.values_list("stream", flat=True))


def test_the_sweep_hands_out_only_channels_that_have_a_price_to_hear(
    channel: Connection, market: PricedMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel(adapter="fake", shop=ShopFactory.create(channel="fake"))
    open_missing_streams()
    sent: list[dict[str, int]] = []
    monkeypatch.setattr(tasks.push_prices_of, "delay", lambda **given: sent.append(given))
    price(channel, 99)
    plan_published_prices(limit=10, at=earlier())

    tasks.push_due_prices()

    assert sent == [{"connection_id": channel.pk}]


# --- against the sandbox of TOP, which shares no code with the adapter ---


@pytest.fixture
def platform() -> Iterator[Any]:
    options = read_options(["--port", "0", "--rate", "0"])
    server, shop, _pacemaker = build(options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield SimpleNamespace(address=f"http://127.0.0.1:{server.server_port}", shelf=shop.shelf, dice=shop.dice)
    server.shutdown()
    server.server_close()
    shop.close()


@pytest.fixture
def top(platform: Any) -> Connection:
    channel = make_channel(
        adapter="top",
        shop=ShopFactory.create(channel="top"),
        base_url=f"{platform.address}/router/rest",
        credentials={"app_key": "12345678", "secret": "helloworld", "session": "test"},
    )
    for item in platform.shelf[:8]:
        sku = SkuFactory.create(code=item.outer_sku_id)
        ListingFactory.create(
            shop=channel.shop, sku=sku, outer_item_id=str(item.num_iid), outer_sku_id=str(item.sku_id)
        )
    open_streams(connection_id=channel.pk, streams=["prices"])
    return channel


def test_prices_reach_top_and_both_sides_agree(top: Connection, platform: Any) -> None:
    for place, sku in enumerate(Sku.objects.order_by("pk")):
        price(top, f"{50 + 10 * place}.50", sku)

    push(top)

    told = {row.listing.outer_sku_id: row.acked_amount for row in PublishedPrice.objects.all()}
    shown = {str(item.sku_id): Decimal(item.price) / 100 for item in platform.shelf[:8]}
    assert told == shown
    assert set(told.values()) == {Decimal(50 + 10 * place) + Decimal("0.5") for place in range(8)}


def test_prices_reach_top_through_lost_answers_and_faults(top: Connection, platform: Any) -> None:
    platform.dice.change({"http_500": 0.1, "http_500_after_write": 0.2, "isp_error": 0.1})
    for place, sku in enumerate(Sku.objects.order_by("pk")):
        price(top, 40 + place, sku)

    for _ in range(40):
        Cursor.objects.update(due_at=timezone.now())
        Connection.objects.update(not_before=timezone.now())
        PublishedPrice.objects.update(not_before=timezone.now())
        push(top)
        if not PublishedPrice.objects.filter(acked_amount=None).exists():
            break

    assert [item.price for item in platform.shelf[:8]] == [100 * (40 + place) for place in range(8)]
    assert PublishedPrice.objects.filter(acked_amount=None).count() == 0
    assert not PriceChange.objects.exists()
