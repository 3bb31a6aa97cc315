"""Ask warehouses what lies there, every night or at once, and note where our books say something else."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.apply import GRADES
from integrations.contract import StockPage, WarehouseAdapter, WarehouseStock
from integrations.hasten import PULL, IsPaused
from integrations.lease import Lease, open_streams
from integrations.models import Connection, Cursor
from integrations.record import Message, record_messages
from integrations.registry import open_warehouse
from integrations.release import codes_of
from integrations.run import Run, run_stream
from inventory.models import StockBasis, StockComparison, StockLevel
from inventory.models.stock import Grade
from inventory.network.compare import Figure, OlderThanTheNewest, compare_stock, read_figures
from omni.kernel import doorbell
from omni.kernel.actors import SYSTEM, actor
from omni.kernel.batches import batches
from omni.kernel.errors import DomainError
from omni.kernel.jobs import Progress, report_progress, start_job
from omni.kernel.models import Job
from omni.kernel.sentences import sentence
from products.models import Sku

COMPARE_STOCK = "compare_stock"
JOB = "integrations.compare_stock"

# By the clock of `omni.schedule`; this only in case that it does not strike.
EVERY = timedelta(hours=26)
SKUS_PER_QUESTION = 500
UNKNOWN_LOGGED = 50

Tell = Callable[[int, int], None]
"""Hears how many rows of how many have been read."""


class CompareFailed(DomainError):
    """The warehouse could not be compared now."""

    code = "compare_failed"


@dataclass(slots=True)
class Shelf:
    """What a warehouse has said so far."""

    lines: list[Figure] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    grades: set[str] = field(default_factory=lambda: {Grade.GOOD.value})


def compare_warehouse(
    *, connection_id: int, at: datetime, by: str = "", tell: Tell | None = None
) -> Run | None:
    """Read all that a warehouse has and compare it with our books, as of the moment before it was asked.

    What its figures mean and how old they are stands in the connection's settings: `stock_basis` (gross, if empty)
    and `stock_age_minutes`. Grades of which it says nothing are not compared. None: it could not be done now.
    """

    def work(connection: Connection, lease: Lease) -> Run:
        # Nothing that is asked later is older. What moves while pages are read shows as a difference once, and is
        # gone with the next compare.
        asked_at = timezone.now()
        shelf, is_complete = Shelf(), not connection.settings.get("stock_by_sku")
        with open_warehouse(connection) as warehouse:
            count = 0
            for page in _pages(connection, warehouse):
                count += len(page.rows)
                _take_page(connection, page, shelf)
                if tell is not None:
                    tell(count, page.total)
        who = by or actor("connection", connection.pk)
        try:
            comparison = _compare(connection, shelf, is_complete=is_complete, asked_at=asked_at, by=who)
        except OlderThanTheNewest as late:
            # Somebody else's figures are newer than these: there is nothing to learn from them, tonight.
            if tell is not None:
                raise
            message = Message(COMPARE_STOCK, is_ok=False, detail=late.detail)
            record_messages(connection=connection, messages=[message], at=timezone.now())
        else:
            _log_unknown(connection, comparison)
        return Run(count, EVERY)

    return run_stream(connection_id=connection_id, stream=COMPARE_STOCK, work=work, at=at)


@transaction.atomic
def due_tonight(*, at: datetime) -> int:
    """Let every warehouse be asked now that is not exempt by its settings. Returns how many."""
    rows = Connection.objects.filter(kind=Connection.Kind.WAREHOUSE, is_active=True).order_by("pk")
    wanted = [row.pk for row in rows if not row.settings.get("no_stock_compare")]
    for connection_id in wanted:
        open_streams(connection_id=connection_id, streams=[COMPARE_STOCK])
    count = Cursor.objects.filter(connection__in=wanted, stream=COMPARE_STOCK).update(due_at=at)
    doorbell.ring_after_commit(PULL)
    return count


@transaction.atomic
def ask_comparison(*, connection_id: int, at: datetime, by: str) -> Job:
    """Start a job that compares a warehouse now and says how far it is. Raises IsPaused, CompareFailed."""
    connection = Connection.objects.select_for_update().get(pk=connection_id)
    if connection.kind != Connection.Kind.WAREHOUSE:
        raise CompareFailed(_("Only warehouses are asked what lies there."))
    if connection.health == Connection.Health.PAUSED or not connection.is_active:
        raise IsPaused(_("The connection %s is paused: resume it first.") % connection.code)
    Connection.objects.filter(pk=connection_id, not_before__gt=at).update(not_before=at)
    open_streams(connection_id=connection_id, streams=[COMPARE_STOCK])
    title = _("Compare stock with %s") % (connection.location or connection.code)
    return start_job(kind=JOB, title=title, params={"connection": connection_id}, at=at, by=by)


def compare_now(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of that job: one reading, which is begun anew if it breaks off, because it would be of two moments."""
    connection_id, began = int(job.params["connection"]), timezone.now()
    seen = [0, 0]

    def tell(done: int, total: int) -> None:
        seen[:] = done, total
        report_progress(job=job, progress=Progress(done, total=total), at=timezone.now())

    run = compare_warehouse(connection_id=connection_id, at=began, by=job.created_by or SYSTEM, tell=tell)
    if run is None:
        raise CompareFailed(_why(connection_id, began))
    yield Progress(seen[0], total=seen[1])
    comparison = StockComparison.objects.filter(location__connection=connection_id).order_by("-pk").first()
    if comparison is None:
        return {}
    return {"comparison": comparison.pk, "compared": comparison.compared, "differing": comparison.differing}


def _why(connection_id: int, began: datetime) -> str:
    connection = Connection.objects.get(pk=connection_id)
    if connection.last_error_at is not None and connection.last_error_at >= began:
        return connection.last_error
    return _("The warehouse is being compared already, or must not be asked now. Try again later.")


def _pages(connection: Connection, warehouse: WarehouseAdapter) -> Iterator[StockPage]:
    """All that it has; where it cannot list that, what it says of each SKU that we believe to lie there."""
    codes = codes_of(connection)
    if not connection.settings.get("stock_by_sku"):
        yield from warehouse.list_stock(**codes)
        return
    ours = list(
        Sku.objects.filter(pk__in=StockLevel.objects.filter(location=connection.location_id).values("sku"))
        .order_by("pk")
        .values_list("code", flat=True)
    )
    for batch in batches(ours, SKUS_PER_QUESTION):
        rows = warehouse.read_stock(**codes, sku_codes=batch)
        said = {row.sku_code for row in rows if GRADES.get(row.inventory_type) == Grade.GOOD}
        # What it does not know does not lie there.
        rows += [WarehouseStock(code, 0, 0, "ZP") for code in batch if code not in said]
        yield StockPage(rows, len(ours))


def _take_page(connection: Connection, page: StockPage, shelf: Shelf) -> None:
    is_net = connection.settings.get("stock_basis") == StockBasis.NET
    for row in page.rows:
        grade = GRADES.get(row.inventory_type)
        if grade is None:
            text = sentence("the inventory type %(type)s has no grade here")
            shelf.unknown.append((row.sku_code, text % {"type": row.inventory_type}))
            continue
        shelf.grades.add(grade.value)
        quantity = row.quantity - row.locked if is_net else row.quantity
        shelf.lines.append(Figure(row.sku_code, quantity, grade.value))


def _compare(
    connection: Connection, shelf: Shelf, *, is_complete: bool, asked_at: datetime, by: str
) -> StockComparison:
    read = read_figures(shelf.lines)
    age = timedelta(minutes=float(connection.settings.get("stock_age_minutes") or 0))
    if connection.location_id is None:
        raise ValueError(f"{connection.code} is not a warehouse")
    return compare_stock(
        location_id=connection.location_id,
        figures=read.figures,
        basis=connection.settings.get("stock_basis") or StockBasis.GROSS.value,
        cut_off_at=asked_at - age,
        source=connection.code,
        # Without figures it would mean that nothing lies there: where only SKUs were asked for, there were none.
        is_complete=is_complete or not (read.figures or read.unknown or shelf.unknown),
        unknown=[*read.unknown, *shelf.unknown],
        grades=sorted(shelf.grades),
        at=timezone.now(),
        by=by,
    )


def _log_unknown(connection: Connection, comparison: StockComparison) -> None:
    """What the warehouse has and nobody knows here stands in the message log, too, up to a number that can be read."""
    messages = [
        Message("compare_stock.unknown", is_ok=False, subject=str(name), detail=str(reason))
        for name, reason in comparison.unknown[:UNKNOWN_LOGGED]
    ]
    record_messages(connection=connection, messages=messages, at=timezone.now())
