"""Channels sell from the number that they were told last: what that can cost, simulated step by step.

A simulated channel has its own shelf. Buyers take from it; the house hears of the orders when it pulls them, and the
channel hears of a number when a call arrives. Two kinds: one that subtracts from a number what it has sold and not told
yet (a compare-and-set or an increment does the same), and one that takes a number as it is. `docs/virtual-inventory.md`
gives the figures.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import pytest
from django.utils import timezone

from inventory import publish, reserve
from inventory.models import PromotionLock, PublishedStock, Revocation, ShopExposure
from inventory.publish import claim_due_stock, plan_published_stock, record_stock_answers
from inventory.quota import revoke
from inventory.quota.expose import compute_exposures
from inventory.quota.promote import LockWish, plan_lock
from inventory.quota.revoke import TakeBack, advance_revocations, take_back
from inventory.record import mark_sold
from inventory.reserve import Demand, reserve_stock
from omni.kernel.answers import Answer
from tests.factories.products import ListingFactory
from tests.factories.quota import Market, sell_much
from tests.inventory.races import must_break

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V10", "V12", "V15"), pytest.mark.timeout(900)]


class Call(NamedTuple):
    """A number on its way to a channel; the answer is on its way back after `arrives`."""

    arrives: int
    answers: int
    published_id: int
    version: int
    quantity: int
    sold_known: int


@dataclass
class Channel:
    """A shop's channel: `shown` on its shelf, `sold` ever; the house has heard of `heard` of these sales."""

    letter: str
    chance_of_sale: float
    pull_every: int
    is_exact: bool = True
    is_dead: bool = False
    shown: int = 0
    sold: int = 0
    heard: int = 0
    planned_with: int = 0
    calls: deque[Call] = field(default_factory=deque)

    def take(self, call: Call) -> None:
        self.shown = call.quantity
        if self.is_exact:
            self.shown = max(0, call.quantity - (self.sold - call.sold_known))


@dataclass
class Fair:
    """A market whose channels live tick by tick. `oversold`: units sold there that could not be promised."""

    market: Market
    channels: dict[str, Channel]
    chance: random.Random
    call_ticks: tuple[int, int] = (1, 4)
    tick: timedelta = timedelta(seconds=1)
    now: int = 0
    oversold: Counter[str] = field(default_factory=Counter)
    pulled: dict[int, datetime] = field(default_factory=dict)
    started: datetime = field(default_factory=timezone.now)

    def __post_init__(self) -> None:
        for letter in self.channels:
            ListingFactory.create(shop=self.market.shops[letter], sku=self.market.sku)
        compute_exposures(at=self.started)
        self.plan()
        for channel in self.channels.values():
            self.call(channel)
        self.now = 10
        for channel in self.channels.values():
            self.hear_answers(channel)

    @property
    def at(self) -> datetime:
        return self.started + self.now * self.tick

    def plan(self) -> None:
        plan_published_stock(limit=1000, at=self.at)
        for channel in self.channels.values():
            channel.planned_with = channel.heard

    def sell(self, channel: Channel) -> None:
        if channel.shown and self.chance.random() < channel.chance_of_sale:
            channel.shown -= 1
            channel.sold += 1

    def pull(self, channel: Channel) -> None:
        """Every order until now comes into the house, whatever can be promised."""
        shop = self.market.shops[channel.letter]
        new = channel.sold - channel.heard
        if new:
            wanted = [Demand(uuid4(), shop.pk, self.market.sku.pk, 1) for _ in range(new)]
            outcomes = reserve_stock(wanted=wanted, at=self.at, by="test")
            self.oversold[channel.letter] += sum(not outcome.reserved for outcome in outcomes)
            mark_sold(shop_id=shop.pk, sku_ids=[self.market.sku.pk])
        channel.heard = channel.sold
        # Before this moment every order has been read; one of the same moment may come later.
        self.pulled[shop.pk] = self.at

    def call(self, channel: Channel) -> None:
        """Tell what is due: decreases at once, an increase after the orders were pulled, if it still stands."""
        shop = self.market.shops[channel.letter]
        for due in claim_due_stock(shop_id=shop.pk, limit=10, at=self.at):
            if due.is_increase:
                self.pull(channel)
                self.plan()
                published = PublishedStock.objects.get(pk=due.published_id)
                if published.desired_version != due.version:
                    later = Answer(due.published_id, False, retry_seconds=0, version=due.version)
                    record_stock_answers(answers=[later], at=self.at)
                    continue
            there = self.now + self.chance.randint(*self.call_ticks)
            back = there + self.chance.randint(*self.call_ticks)
            call = Call(there, back, due.published_id, due.version, due.quantity, channel.planned_with)
            channel.calls.append(call)

    def hear_answers(self, channel: Channel) -> None:
        for call in list(channel.calls):
            if call.arrives <= self.now and not channel.is_dead and call.answers >= 0:
                channel.take(call)
                channel.calls[channel.calls.index(call)] = call._replace(arrives=10**9)
        for call in [call for call in channel.calls if call.answers <= self.now]:
            channel.calls.remove(call)
            if not channel.is_dead:
                yes = Answer(call.published_id, True, version=call.version)
                record_stock_answers(answers=[yes], at=self.at)

    def step(self) -> None:
        self.now += 1
        for channel in self.channels.values():
            self.sell(channel)
            self.hear_answers(channel)
            if self.now % channel.pull_every == 0 and not channel.is_dead:
                self.pull(channel)
        if self.now % 2 == 0:
            self.plan()
            for channel in self.channels.values():
                if not channel.calls:
                    self.call(channel)
        if self.now % 5 == 0:
            advance_revocations(pulled=self.pulled, at=self.at, by="test")

    def close(self) -> int:
        """The dead come to life again, every order is pulled, and it is seen what could not be promised."""
        for channel in self.channels.values():
            channel.is_dead = False
            self.pull(channel)
        return self.oversold.total()


def quota_fair(seed: int, *, is_exact: bool, dead: str = "", steps: int = 150) -> tuple[int, int]:
    """Quotas go from shop to shop by runs while all sell. Returns units oversold and sold."""
    chance = random.Random(seed)
    market = Market(150, ratios={"A": None, "B": None, "C": None})
    market.grant({"A": 50, "B": 50, "C": 50})
    channels = {
        letter: Channel(letter, chance.uniform(0.15, 0.6), chance.randint(7, 25), is_exact)
        for letter in market.shops
    }
    fair = Fair(market, channels, chance)
    for _ in range(steps):
        fair.step()
        if fair.now == 40 and dead:
            channels[dead].is_dead = True
        if fair.now % 25 == 0:
            held = market.quotas()
            giver, taker = chance.sample(sorted(held), 2)
            units = min(held[giver], chance.randint(3, 12))
            market.grant({giver: held[giver] - units, taker: held[taker] + units})
    sold = sum(channel.sold for channel in channels.values())
    return fair.close(), sold


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dead", ["", "A"])
def test_quotas_that_move_between_shops_are_never_oversold_even_with_a_dead_channel(
    seed: int, dead: str
) -> None:
    oversold, sold = quota_fair(seed, is_exact=True, dead=dead)

    assert oversold == 0
    assert sold > 40


def test_a_channel_that_takes_numbers_as_they_are_oversells_a_quota_by_few_units_at_most() -> None:
    """A number that was computed before a sale was pulled puts those units on sale again, quota or not."""
    results = [quota_fair(seed, is_exact=False, dead="A" if seed % 2 else "") for seed in range(4)]

    oversold, sold = (sum(column) for column in zip(*results, strict=True))
    print(f"absolute numbers, quotas: {oversold} of {sold} units oversold")  # noqa: T201 - a figure for the documentation
    assert oversold <= 0.1 * sold


# a shared pool ------------------------------------------------------------------------------------------------


def shared_market(units: int, sold_in_a_fortnight: dict[str, int]) -> Market:
    market = Market(units, ratios=dict.fromkeys(sold_in_a_fortnight), mode="shared")
    for letter, sold in sold_in_a_fortnight.items():
        sell_much(market.shops[letter], market.sku, sold)
    return market


def drain(units: int, sold_in_a_fortnight: dict[str, int]) -> tuple[int, int]:
    """Every channel sells all that it shows before anybody hears of it. Returns units oversold and shown."""
    market = shared_market(units, sold_in_a_fortnight)
    channels = {letter: Channel(letter, 1.0, 10**6) for letter in market.shops}
    fair = Fair(market, channels, random.Random(1))
    shown = sum(channel.shown for channel in channels.values())
    for channel in channels.values():
        while channel.shown:
            fair.sell(channel)
    return fair.close(), shown


# In a fortnight; 168 units an hour together, which makes a low-water mark of 34.
BUSY = {"A": 32_256, "B": 16_128, "C": 8_064}
LOW_WATER = 34


def low_pool_is_shown_divided() -> None:
    for units in (1, 2, 5, 13, 33):
        assert drain(units, BUSY) == (0, units)


def test_below_its_low_water_mark_a_shared_pool_cannot_be_oversold_whatever_the_lag() -> None:
    low_pool_is_shown_divided()
    assert set(ShopExposure.objects.values_list("low_water", flat=True)) == {LOW_WATER}


def test_mutant_that_shows_a_low_shared_pool_undivided_oversells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLAN", "PLAN_WITH_BUNDLES"):
        statement = getattr(publish, name)
        assert "available < low_water" in statement
        monkeypatch.setattr(publish, name, statement.replace("available < low_water", "available < -1"))

    must_break(low_pool_is_shown_divided)


def test_above_its_low_water_mark_a_shared_pool_is_shown_whole_by_all() -> None:
    """That is the price of sharing: with no news at all between the shops, each may sell it."""
    assert drain(40, BUSY) == (80, 120)


def sold_out(seed: int, *, is_divided: bool, is_exact: bool) -> tuple[int, int]:
    """A shared pool sells out through three shops; a step is 15 seconds. Returns units oversold and sold."""
    chance = random.Random(seed)
    market = shared_market(100, BUSY if is_divided else dict.fromkeys(BUSY, 0))
    channels = {
        letter: Channel(letter, rate, chance.randint(4, 12), is_exact)
        for letter, rate in zip(market.shops, (0.4, 0.2, 0.1), strict=True)
    }
    fair = Fair(market, channels, chance, tick=timedelta(seconds=15))
    for _ in range(190):
        fair.step()
    return fair.close(), sum(channel.sold for channel in channels.values())


def test_a_shared_pool_that_sells_out_is_oversold_less_if_it_is_divided_when_it_is_low() -> None:
    figures = {}
    for is_divided in (True, False):
        for is_exact in (True, False):
            results = [sold_out(seed, is_divided=is_divided, is_exact=is_exact) for seed in range(2)]
            figures[is_divided, is_exact] = [sum(column) for column in zip(*results, strict=True)]
    print(f"shared, oversold and sold by (divided, exact): {figures}")  # noqa: T201 - figures for the documentation

    assert all(sold >= 180 for _oversold, sold in figures.values())
    assert figures[True, True][0] <= figures[True, False][0] <= LOW_WATER
    assert figures[True, True][0] < figures[False, True][0]


# two phases, step by step -------------------------------------------------------------------------------------


def without(monkeypatch: pytest.MonkeyPatch, name: str, condition: str) -> None:
    statement = getattr(revoke, name)
    assert condition in statement
    monkeypatch.setattr(revoke, name, statement.replace(condition, ""))


def taken_from(market: Market, units: int) -> Revocation:
    wanted = TakeBack(market.sku.pk, market.shops["A"].pk, units, "quota", market.shops["B"].code)
    take_back(group_id=market.group_id, wanted=[wanted], reason="", at=timezone.now(), by="user:7")
    return Revocation.objects.get(sku=market.sku)


def quota_of_ten() -> Market:
    market = Market(10, ratios={"A": None, "B": None})
    market.grant({"A": 10})
    market.list_everywhere()
    return market


def sold_before_the_channel_knew() -> None:
    """The channel of A still shows ten when two are taken back, and sells them."""
    market = quota_of_ten()
    taken_from(market, 2)
    market.compute()
    market.sweep()
    market.read_orders()
    market.sweep()

    others = market.order("B", 2).reserved
    late = market.order("A", 10).reserved

    assert (others, late) == (0, 10)


def test_what_a_channel_sells_before_it_knows_is_there() -> None:
    sold_before_the_channel_knew()


def test_mutant_that_lets_go_before_the_acknowledgement_sells_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither when its number falls due, nor when its orders were read."""
    without(monkeypatch, "TELL", f"AND NOT EXISTS ({revoke._UNTOLD})")
    without(monkeypatch, "READY", f"AND NOT EXISTS ({revoke._SHOWS_MORE})")

    must_break(sold_before_the_channel_knew)


def sold_before_it_was_read() -> None:
    """A's channel sells three, and then takes eight as its number: as it is, so that it shows eight again."""
    market = quota_of_ten()
    taken_from(market, 2)
    market.tell()
    market.sweep()
    market.sweep()

    others = market.order("B", 2).reserved
    unread = sum(market.order("A", 1).reserved for _ in range(3))
    shown = sum(market.order("A", 1).reserved for _ in range(7))

    assert (others, unread, shown) == (0, 3, 7)


def test_what_a_channel_has_sold_and_not_told_is_there() -> None:
    sold_before_it_was_read()


def test_mutant_that_lets_go_before_the_orders_are_read_sells_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, "READY", f"AND NOT EXISTS ({revoke._UNREAD})")

    must_break(sold_before_it_was_read)


def sold_and_put_on_sale_again() -> None:
    """Three were sold when A's channel was told eight. They are read now, but the channel still shows eight of five."""
    market = quota_of_ten()
    revocation = taken_from(market, 2)
    market.tell()
    market.sweep()
    for _ in range(3):
        market.order("A", 1)
    market.read_orders()

    market.sweep()

    revocation.refresh_from_db()
    assert revocation.state == "pulling"
    assert sum(market.order("A", 1).reserved for _ in range(7)) == 7


def test_what_the_number_put_on_sale_again_is_there_until_the_channel_shows_less() -> None:
    sold_and_put_on_sale_again()


def test_units_go_on_when_the_channel_has_taken_what_its_orders_left() -> None:
    market = quota_of_ten()
    revocation = taken_from(market, 2)
    market.tell()
    market.sweep()
    market.order("A", 3)
    market.read_orders()
    market.compute()
    market.sweep()
    revocation.refresh_from_db()
    assert revocation.state == "pulling"

    at = timezone.now() + timedelta(hours=2)
    due = claim_due_stock(shop_id=market.shops["A"].pk, limit=10, at=at)
    record_stock_answers(answers=[Answer(d.published_id, True, version=d.version) for d in due], at=at)
    market.sweep()

    revocation.refresh_from_db()
    assert (revocation.state, revocation.arrived) == ("done", 2)


def test_mutant_that_does_not_look_at_the_number_again_sells_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, "READY", f"AND NOT EXISTS ({revoke._SHOWS_MORE})")

    must_break(sold_and_put_on_sale_again)


# the clock of a promotion -------------------------------------------------------------------------------------


def bought_after_the_end() -> None:
    """The sweep is late: the promotion is over, and its units lie there as they did."""
    market = Market(10, ratios={"A": None}, mode="exclusive")
    now = timezone.now()
    wish = LockWish(
        code="eleven",
        name="Eleven",
        group_id=market.group_id,
        shop_ids=[market.shops["A"].pk],
        starts_at=now - timedelta(minutes=1),
        ends_at=now + timedelta(hours=1),
        units={market.sku.pk: 6},
    )
    plan_lock(wish=wish, reason="", at=now, by="user:7")
    in_time = Demand(uuid4(), market.shops["A"].pk, market.sku.pk, 2)
    too_late = Demand(uuid4(), market.shops["A"].pk, market.sku.pk, 2)

    first = reserve_stock(wanted=[in_time], at=now + timedelta(minutes=59), by="test")
    second = reserve_stock(wanted=[too_late], at=now + timedelta(minutes=60), by="test")

    assert (first[0].reserved, second[0].reserved) == (2, 0)
    assert PromotionLock.objects.get().state == "active"
    assert market.pool("lock", "eleven") == (6, 2)


def test_nothing_is_sold_from_the_lock_of_a_promotion_after_its_end_even_if_nobody_has_ended_it() -> None:
    bought_after_the_end()


def test_mutant_that_forgets_the_end_of_a_promotion_sells_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIND_SOURCES", "LOCK_SOURCES"):
        statement = getattr(reserve, name)
        endless = statement.replace("AND (p.ends_at IS NULL OR p.ends_at > %s)", "AND %s IS NOT NULL")
        assert endless != statement
        monkeypatch.setattr(reserve, name, endless)

    must_break(bought_after_the_end)
