"""The first page: what waits for a person, what is wrong, and how much is going through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from integrations.models import Connection
from omni.desk import (
    ALARMS,
    WORK,
    Waiting,
    connection_health,
    live_jobs,
    orders_per_hour,
    outbox_lag,
    queue_key,
    queue_spec,
    queue_url,
    waiting,
)
from omni.kernel.display import age_text, number_text
from orders.models import SalesOrder

# The sizes of the chart in SVG units; the style sheet stretches it to the card.
CHART_WIDTH, CHART_HEIGHT = 720, 120


@dataclass(frozen=True, slots=True)
class Tile:
    title: str
    url: str
    count: str
    is_empty: bool
    oldest: str
    tone: str
    icon: str


@dataclass(frozen=True, slots=True)
class Bar:
    x: int
    y: int
    width: int
    height: int
    label: str
    count: str


def home_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What `templates/admin/index.html` shows, added to the admin's own context."""
    return {**context, **_pulse(request), "title": _("Today")}


def pulse(request: HttpRequest) -> HttpResponse:
    """The changing part of the first page, for htmx."""
    return TemplateResponse(request, "admin/home_pulse.html", _pulse(request))


def _pulse(request: HttpRequest) -> dict[str, Any]:
    at, counts = timezone.now(), waiting(request)
    may_see_orders = admin.site._registry[SalesOrder].has_view_permission(request)
    may_see_connections = admin.site._registry[Connection].has_view_permission(request)
    lag = outbox_lag(at)
    hours = orders_per_hour(request, at) if may_see_orders else []
    return {
        "tiles": _tiles(counts, WORK, at),
        "alarms": [tile for tile in _tiles(counts, ALARMS, at) if not tile.is_empty],
        "connections": connection_health(request) if may_see_connections else [],
        "jobs": live_jobs(request),
        "outbox_lag": age_text(at - lag, at=at) if lag else "",
        "is_outbox_late": lag is not None and lag.total_seconds() > 60,
        "bars": _bars(hours),
        "captured_today": number_text(sum(count for _hour, count in hours)),
        "has_hours": bool(hours),
        "chart": (CHART_WIDTH, CHART_HEIGHT),
        "at": at,
    }


def _tiles(counts: dict[str, Waiting], specs: Any, at: datetime) -> list[Tile]:
    tiles = []
    for model, code, is_alarming in specs:
        found = counts.get(queue_key(model, code))
        if found is None:
            continue
        _page, queue = queue_spec(model, code)
        tone = "" if not found.count else "bad" if is_alarming else "busy"
        oldest = age_text(found.oldest, at=at) if found.oldest else ""
        tiles.append(
            Tile(
                str(queue.title),
                queue_url(model, code),
                found.shown,
                not found.count,
                oldest,
                tone,
                queue.icon,
            )
        )
    return tiles


def _bars(hours: list[tuple[datetime, int]]) -> list[Bar]:
    if not hours:
        return []
    top, step = max(max(count for _hour, count in hours), 1), CHART_WIDTH // len(hours)
    bars = []
    for index, (hour, count) in enumerate(hours):
        height = max(round(CHART_HEIGHT * count / top), 2 if count else 0)
        label = timezone.localtime(hour).strftime("%H:%M")
        bars.append(Bar(index * step + 3, CHART_HEIGHT - height, step - 6, height, label, number_text(count)))
    return bars
