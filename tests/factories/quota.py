# mypy: disallow-untyped-calls=False
"""Shops that share in one stock by rules, with channels that are told and read like real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from inventory.availability import sellable_stock
from inventory.models import (
    AllocationLine,
    AllocationRun,
    DailyDemand,
    Location,
    QuotaRule,
    Revocation,
    StockPool,
)
from inventory.publish import claim_due_stock, plan_published_stock, record_stock_answers
from inventory.quota.apply import start_apply
from inventory.quota.demand import local_day
from inventory.quota.derive import derive_draws
from inventory.quota.plan import start_allocation
from inventory.quota.revoke import advance_revocations
from inventory.reserve import Demand, Outcome, Release, release_stock, reserve_stock
from omni.kernel.answers import Answer
from omni.kernel.jobs import claim_job, run_job
from omni.kernel.models import Job
from omni.wiring import JOBS
from products.models import Shop, Sku
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.products import ListingFactory, ShopFactory, SkuFactory

RATIOS = {"A": "0.3", "B": "0.2", "C": "0.2", "D": "0.3"}


def work(limit: int = 10) -> list[Job]:
    """Do the jobs that wait, as a worker does."""
    done = []
    for _ in range(limit):
        job = claim_job(at=timezone.now())
        if job is None:
            break
        done.append(run_job(job=job, works=JOBS))
    return done


def sell_much(shop: Shop, sku: Sku, units: int) -> None:
    """So many units were asked of the shop yesterday. One line of them moves yet: the doctor leaves the day alone."""
    at = timezone.now() - timedelta(days=1)
    line = Demand(uuid4(), shop.pk, sku.pk, 1)
    reserve_stock(wanted=[line], at=at, by="test")
    release_stock(releases=[Release(line.line_key)], at=at, by="test")
    DailyDemand.objects.create(day=local_day(at), shop=shop, sku=sku, units=units)


def job_of(run: AllocationRun) -> Job:
    """The job that works on the run, as it stands."""
    return Job.objects.get(pk=AllocationRun.objects.values_list("job", flat=True).get(pk=run.pk) or 0)


@dataclass
class Market:
    """One location with `units` of one SKU, and shops with a quota rule each: `ratios` by the shop's letter."""

    units: int = 0
    ratios: Mapping[str, str | None] = field(default_factory=lambda: dict(RATIOS))
    mode: str = "exclusive"
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    location: Location = field(default_factory=LocationFactory.create)
    sku: Sku = field(default_factory=SkuFactory.create)
    shops: dict[str, Shop] = field(default_factory=dict)
    reads_until: dict[int, datetime] = field(default_factory=dict)
    calls: int = 0

    def __post_init__(self) -> None:
        if self.units:
            put_stock(self.location, self.sku, self.units)
        for letter, ratio in self.ratios.items():
            shop = self.shops.setdefault(letter, ShopFactory.create())
            values = {"mode": self.mode, "quota_ratio": None if ratio is None else Decimal(ratio)}
            QuotaRule.objects.create(
                group=self.location.group, shop=shop, **(values | dict(self.rules.get(letter, {})))
            )
        derive_draws(shop_ids=[shop.pk for shop in self.shops.values()], at=timezone.now())

    @property
    def group_id(self) -> int:
        return self.location.group_id

    # What is where

    def pool(self, kind: str, letter: str = "", *, sku: Sku | None = None) -> tuple[int, int]:
        """Granted and reserved."""
        label = self.shops[letter].code if letter in self.shops else letter
        found = StockPool.objects.filter(group=self.group_id, sku=sku or self.sku, kind=kind, label=label)
        return found.values_list("granted", "reserved").first() or (0, 0)

    def quotas(self, *, sku: Sku | None = None) -> dict[str, int]:
        """What is granted to each shop, by letter."""
        return {letter: self.pool("quota", letter, sku=sku)[0] for letter in self.shops}

    def sellable(self, letter: str, *, sku: Sku | None = None, at: datetime | None = None) -> int:
        sku_id, shop_id = (sku or self.sku).pk, self.shops[letter].pk
        return sellable_stock(sku_ids=[sku_id], shop_ids=[shop_id], at=at)[shop_id, sku_id]

    # Runs

    def plan(self, method: str = "ratio", **how: Any) -> AllocationRun:
        run = start_allocation(
            **{
                "group_id": self.group_id,
                "method": method,
                "scope": {"skus": [self.sku.pk]},
                "settings": {},
                "trigger": "person",
                "reason": "a test",
                "at": timezone.now(),
                "by": "user:7",
                **how,
            }
        )
        work()
        run.refresh_from_db()
        return run

    def by_hand(self, targets: Mapping[str, int], *, sku: Sku | None = None) -> AllocationRun:
        rows = [[(sku or self.sku).pk, self.shops[letter].pk, units] for letter, units in targets.items()]
        return self.plan("hand", settings={"targets": rows}, scope={})

    def apply(self, run: AllocationRun) -> AllocationRun:
        start_apply(run_id=run.pk, at=timezone.now(), by="user:7")
        work()
        run.refresh_from_db()
        return run

    def grant(self, targets: Mapping[str, int], *, sku: Sku | None = None) -> AllocationRun:
        """Have the quotas hold so many units, by hand."""
        run = self.apply(self.by_hand(targets, sku=sku))
        assert run.state == "applied"
        return run

    def lines(self, run: AllocationRun) -> dict[str, tuple[int, int, int, str]]:
        """Before, after, moved and state, by the letter of the shop or the kind of the pool."""
        letters = {shop.pk: letter for letter, shop in self.shops.items()}
        return {
            letters[line.shop_id] if line.shop_id else line.kind: (
                line.before,
                line.after,
                line.moved,
                line.state,
            )
            for line in AllocationLine.objects.filter(run=run).order_by("id")
        }

    # Orders

    def demand(self, letter: str, quantity: int = 1, *, key: UUID | None = None) -> Demand:
        return Demand(key or uuid4(), self.shops[letter].pk, self.sku.pk, quantity)

    def order(self, letter: str, quantity: int = 1) -> Outcome:
        return reserve_stock(wanted=[self.demand(letter, quantity)], at=timezone.now(), by="test")[0]

    def cancel(self, key: UUID) -> None:
        release_stock(releases=[Release(key)], at=timezone.now(), by="test")

    # Channels

    def list_everywhere(self, letters: Sequence[str] = "") -> None:
        """Listed in these shops (none named: in all), with numbers that their channels have acknowledged."""
        for letter in letters or self.shops:
            ListingFactory.create(shop=self.shops[letter], sku=self.sku)
        self.tell(letters)

    def compute(self) -> None:
        plan_published_stock(limit=10_000, at=timezone.now())

    def tell(self, letters: Sequence[str] = "", *, compute: bool = True) -> None:
        """The channels of these shops are told what is due, and take it."""
        if compute:
            self.compute()
        self.calls += 1
        at = timezone.now() + timedelta(hours=1, minutes=self.calls)  # past the pause between two calls
        for letter in letters or self.shops:
            due = claim_due_stock(shop_id=self.shops[letter].pk, limit=100, at=at)
            answers = [Answer(each.published_id, True, version=each.version) for each in due]
            record_stock_answers(answers=answers, at=at)

    def read_orders(self, letters: Sequence[str] = "", *, at: datetime | None = None) -> None:
        """Every order of these shops until this moment has been read."""
        for letter in letters or self.shops:
            self.reads_until[self.shops[letter].pk] = at or timezone.now() + timedelta(seconds=1)

    def sweep(self, *, at: datetime | None = None) -> int:
        """Let go on what may go on."""
        return advance_revocations(pulled=self.reads_until, at=at or timezone.now(), by="system")

    def settle(self) -> None:
        """All channels are told and read, and what was taken back arrives."""
        self.tell()
        self.sweep()
        self.read_orders()
        self.sweep()

    def revocations(self) -> list[tuple[str, int, int]]:
        """State, units and units arrived of each."""
        rows = Revocation.objects.filter(sku=self.sku).order_by("id")
        return list(rows.values_list("state", "quantity", "arrived"))
