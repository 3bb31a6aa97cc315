"""The course of a drill: orders under faults and kills, then calm, then the comparison."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F
from django.utils import timezone

from integrations.health import resume_connection
from integrations.models import Connection, InboundMessage
from inventory.models import PublishedStock
from omni.drill.compare import find_differences
from omni.drill.copy import VICTIMS, Copy
from omni.drill.outside import Sandbox
from omni.kernel.models import OutboxEvent
from orders.backlog import count_queues
from orders.hold import resolve_holds
from orders.models import ChannelOrder, FulfilmentOrder, OrderHold, SalesOrder
from orders.models.review import HoldKind
from orders.release import retry_refused
from orders.review import approve_orders
from orders.states import FulfilmentState, Stage

WAVE = 250
LOAD_SECONDS_MAX = 3600
CALM_CHECKS = 3  # looks in a row at which nothing is under way
# Queues in which nothing may be left once the faults have stopped. Held and short orders may wait for ever.
MUST_DRAIN = ("captured", "approved", "sourced", "to_ship", "unanswered", "cancelling", "dispatch_due")
OPERATOR = "user:drill"
# How often a trap falls. Those that cost many seconds each are rarer, or a drill would be spent waiting for them.
OFTEN = 0.02
RARE = {"hang": 0.0005, "hang_after_write": 0.001, "session_expired": 0.0003, "throttled": 0.002}
# These are how TOP is, not faults; they stay.
NATURE = ("missing_empty_list", "masked_receivers")
# So many orders may be unheard of before the next wave of buyers comes.
BEHIND_MAX = 1000
KILLS_MIN = 2
# The faults stay on until so much of it is through.
STORM_UNTIL = 0.9
# How the sandbox calls deliveries that nobody has asked for.
GHOST = "GHOST-"
OVER = (Stage.SHIPPED, Stage.COMPLETED, Stage.CANCELLED)


@dataclass(slots=True)
class Log:
    """What happened, for the report."""

    placed: int = 0
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VICTIMS, 0))
    seconds: dict[str, float] = field(default_factory=dict)
    decisions: int = 0


def run_course(
    *,
    copy: Copy,
    orders: int,
    seed: int,
    kill_seconds: float,
    settle_seconds_max: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run the drill inside the copy's own settings; return the report. `ok` is the verdict."""
    chance = random.Random(seed)
    top, qimen = Sandbox(copy.port + 1), Sandbox(copy.port + 2)
    shop_id = Connection.objects.get(adapter="top").shop_id or 0
    log = Log()
    started = time.monotonic()
    _set_the_scene(top, qimen)
    _load(copy, top, qimen, log, shop_id, orders=orders, chance=chance, kill_seconds=kill_seconds, say=say)
    log.seconds["load"] = round(time.monotonic() - started, 1)
    top.tell("faults", **{name: 0 for name in top.ask("faults") if name not in NATURE})
    qimen.tell("faults", **dict.fromkeys(qimen.ask("faults"), 0))
    calm_at = time.monotonic()
    is_calm = _settle(log, top, qimen, shop_id, seconds_max=settle_seconds_max, say=say)
    log.seconds["settle"] = round(time.monotonic() - calm_at, 1)
    truth, warehouse = top.ask("truth"), qimen.ask("truth")
    findings = find_differences(top=truth, qimen=warehouse, shop_id=shop_id)
    if not is_calm:
        findings.insert(0, {"sentence": "Everything comes to rest.", "count": 1, "examples": [_waiting()]})
    return {
        "ok": not findings,
        "seed": seed,
        "orders": {
            "placed": log.placed,
            "by_status": truth["by_status"],
            "in_omni": SalesOrder.objects.count(),
        },
        "lines_sent": truth["lines_sent"],
        "warehouse": warehouse["deliveries_by_state"],
        "stages": _stages(),
        "kills": log.kills,
        "decisions_of_a_person": log.decisions,
        "faults_fallen": {"top": truth.get("fallen", {}), "warehouse": warehouse["callbacks"]},
        "seconds": log.seconds,
        "findings": findings,
    }


def _set_the_scene(top: Sandbox, qimen: Sandbox) -> None:
    top.tell("pace", rate=0)
    qimen.tell("pace", pace=0)
    chances = {name: RARE.get(name, OFTEN) for name in top.ask("faults")}
    top.tell("faults", **{**chances, **dict.fromkeys(NATURE, 1)})
    # A warehouse that says yes to a cancellation and ships all the same cannot be defended against, only reported.
    qimen.tell("faults", **{name: 0 if name == "cancel_too_late" else OFTEN for name in qimen.ask("faults")})


def _load(
    copy: Copy,
    top: Sandbox,
    qimen: Sandbox,
    log: Log,
    shop_id: int,
    *,
    orders: int,
    chance: random.Random,
    kill_seconds: float,
    say: Callable[[str], None],
) -> None:
    """Waves of buyers, with a process killed every few seconds, until nearly all of it is shipped or cancelled."""
    deadline = time.monotonic() + LOAD_SECONDS_MAX
    next_kill = time.monotonic() + kill_seconds
    while time.monotonic() < deadline:
        is_spared = kill_seconds == 0 or min(log.kills.values()) >= KILLS_MIN
        over = SalesOrder.objects.filter(stage__in=OVER).count()
        if log.placed >= orders and is_spared and over >= STORM_UNTIL * orders:
            return
        unheard = log.placed - ChannelOrder.objects.filter(shop_id=shop_id).count()
        if log.placed < orders and unheard < BEHIND_MAX:
            log.placed += len(top.tell("orders", count=min(WAVE, orders - log.placed)).get("tids", []))
        if kill_seconds and time.monotonic() > next_kill:
            kind = chance.choice(
                sorted(kind for kind in VICTIMS if log.kills[kind] == min(log.kills.values()))
            )
            log.kills[kind] += copy.kill_one(kind, chance=chance) is not None
            next_kill = time.monotonic() + kill_seconds
        _act_as_operator(log)
        # New supply now and then, so that the platform has something to sell; the warehouse itself reports it.
        if chance.random() < 0.3:
            _receive_goods(qimen, chance)
        say(f"{log.placed} placed, {unheard} unheard of, {_waiting()}")
        time.sleep(1)


def _receive_goods(qimen: Sandbox, chance: random.Random) -> None:
    stock = qimen.ask("truth").get("stock", [])
    for row in chance.sample(stock, min(20, len(stock))):
        qimen.tell(
            "stock_change",
            warehouseCode=row["warehouse"],
            ownerCode=row["owner"],
            itemCode=row["item"],
            quantity=chance.randint(5, 60),
            reason="FOUND",
        )


def _settle(
    log: Log, top: Sandbox, qimen: Sandbox, shop_id: int, *, seconds_max: float, say: Callable[[str], None]
) -> bool:
    """Wait until nothing is under way any more; a person decides what waits for one."""
    deadline = time.monotonic() + seconds_max
    calm = 0
    while time.monotonic() < deadline:
        _act_as_operator(log)
        waiting = _waiting()
        unheard = (
            top.ask("truth?brief=1")["orders_placed"] - ChannelOrder.objects.filter(shop_id=shop_id).count()
        )
        if unheard:
            waiting["unheard"] = unheard
        pending = qimen.ask("truth?brief=1")["callbacks_pending"]
        calm = 0 if waiting or pending else calm + 1
        if calm >= CALM_CHECKS:
            return True
        say(f"settling: {waiting or 'quiet'}, call-backs {pending}")
        time.sleep(4)
    return False


def _waiting() -> dict[str, int]:
    """What is under way, by queue; empty when nothing is."""
    queues = count_queues(limit=100_000)
    found = {name: queues[name].count for name in MUST_DRAIN if queues[name].count}
    stuck = SalesOrder.objects.filter(open_holds__gt=0) | SalesOrder.objects.filter(short_lines__gt=0)
    for stage in (Stage.CAPTURED, Stage.APPROVED, Stage.SOURCED):
        name = str(stage)
        if name in found:
            found[name] -= stuck.filter(stage=stage).distinct().count()
    ready = OutboxEvent.objects.filter(state=OutboxEvent.State.READY).count()
    found["outbox"] = ready
    # Nobody need wait for what speaks of an order that does not exist; it will end before a person.
    new = InboundMessage.objects.filter(state=InboundMessage.State.NEW)
    found["call-backs"] = new.exclude(subject__startswith=GHOST, attempts__gte=5).count()
    found["stock to push"] = PublishedStock.objects.filter(desired_version__gt=F("acked_version")).count()
    return {name: count for name, count in found.items() if count > 0}


def _act_as_operator(log: Log) -> None:
    """What a person would do at the queues: approve, look at changes, retry what the warehouse refused."""
    at = timezone.now()
    in_review = list(SalesOrder.objects.filter(stage=Stage.IN_REVIEW).values_list("pk", flat=True)[:500])
    if in_review:
        approve_orders(order_ids=in_review, note="drill", at=at, by=OPERATOR)
    for_a_person = [
        HoldKind.CHANGED,
        HoldKind.SOURCING,
        HoldKind.WAREHOUSE,
        HoldKind.CANCEL_REFUSED,
    ]
    held = OrderHold.objects.filter(state=OrderHold.State.OPEN, kind__in=for_a_person)
    order_ids = sorted(set(held.values_list("order_id", flat=True)[:500]))
    log.decisions += len(in_review) + resolve_holds(
        order_ids=order_ids, kinds=for_a_person, at=at, by=OPERATOR
    )
    refused = FulfilmentOrder.objects.filter(state=FulfilmentState.REFUSED).values_list("pk", flat=True)[:500]
    log.decisions += len(retry_refused(fulfilment_ids=list(refused), at=at, by=OPERATOR))
    for connection in Connection.objects.exclude(paused_reason=""):
        resume_connection(connection_id=connection.pk, at=at, by=OPERATOR)
        log.decisions += 1


def _stages() -> dict[str, int]:
    found: dict[str, int] = {}
    for stage in SalesOrder.objects.values_list("stage", flat=True).iterator():
        found[stage] = found.get(stage, 0) + 1
    return found
