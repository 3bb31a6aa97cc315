"""How long lists take at a million orders: every admin queue and list, every API list, page 1 and page 1,000."""

from __future__ import annotations

import base64
import contextlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from tests.bench.measure import Result, median, percentile, spread
from tests.bench.size import Size

PAGE, PAGES = 50, 1000
LIMIT_MS = 300
API_LISTS = (
    "orders",
    "shipments",
    "parked-orders",
    "skus",
    "spus",
    "listings",
    "shops",
    "stock/levels",
    "stock/published",
)


@dataclass(frozen=True, slots=True)
class Page:
    """An address, and the address of its 1,000th page, or of its last if there are fewer."""

    name: str
    first: str
    far: str
    far_page: int


def run(size: Size) -> list[Result]:
    """Times inside the product: request in, page out, as a person who may see everything."""
    from tests.bench.crowd import draw_crowd

    goods = draw_crowd(orders=size.orders, skus=size.skus)
    client = Client()
    client.force_login(
        get_user_model().objects.create_superuser("bench", "bench@example.com", "bench-only-here")
    )
    pages = [*admin_pages(), *api_pages(client)]
    first, far = [], []
    rows: list[Result] = []
    for page in pages:
        near_ms = times_of(client, page.first, repeats=size.repeats)
        far_ms = times_of(client, page.far, repeats=size.repeats)
        first += near_ms
        far += far_ms
        rows.append(
            Result(
                page.name,
                median(near_ms),
                "ms",
                spread(near_ms),
                target=f"≤ {LIMIT_MS} ms",
                ok=max(median(near_ms), median(far_ms)) <= LIMIT_MS,
                more={"far_page": page.far_page, "far_ms": median(far_ms)},
            )
        )
    near_p95, far_p95 = percentile(first, 0.95), percentile(far, 0.95)
    return [
        Result(
            f"{len(pages)} lists at {size.orders:,} orders, p95 of the first page",
            near_p95,
            "ms",
            spread(first),
            target=f"≤ {LIMIT_MS} ms",
            ok=near_p95 <= LIMIT_MS,
        ),
        Result(
            f"the same, p95 of page {PAGES:,} (or the last)",
            far_p95,
            "ms",
            spread(far),
            target=f"≤ {LIMIT_MS} ms, within a quarter of the first page",
            ok=far_p95 <= min(LIMIT_MS, near_p95 * 1.25),
        ),
        *_single_pages(client, size, goods.sku_ids[0]),
        *rows,
    ]


def admin_pages() -> list[Page]:
    """Every list of every admin of ours, and every queue."""
    pages = []
    registered: dict[Any, Any] = dict(admin.site._registry)
    for model, page in registered.items():
        if not hasattr(page, "queues"):
            continue
        meta = model._meta
        pages.append(
            _admin_page(f"admin {meta.label}", f"{meta.app_label}_{meta.model_name}_changelist", model)
        )
        for code, queue in page.queues.items():
            address = reverse(f"admin:{meta.app_label}_{meta.model_name}_queue", args=[code])
            key, number = _far_key(model.objects.filter(queue.condition).order_by("pk"))
            pages.append(Page(f"queue {meta.model_name}.{code}", address, _at(address, "after", key), number))
    return pages


def _admin_page(name: str, route: str, model: Any) -> Page:
    address = reverse(f"admin:{route}")
    keyset = admin.site._registry[model].keyset  # type: ignore[attr-defined]
    key, number = _far_key(model.objects.order_by(keyset), keyset.removeprefix("-"))
    return Page(name, address, _at(address, "after", key), number)


def _far_key(queryset: Any, field: str = "pk") -> tuple[Any, int]:
    """The key after which page 1,000 begins, or the last page."""
    keys = queryset.values_list(field, flat=True)
    for number in (PAGES, PAGES // 10, 10, 2):
        found = keys[PAGE * (number - 1) - 1 : PAGE * (number - 1)]
        if found:
            return found[0], number
    return None, 1


def _at(address: str, name: str, key: Any) -> str:
    return address if key is None else f"{address}?{urlencode({name: key})}"


def api_pages(client: Client) -> list[Page]:
    """Every list of the API; the far page by a cursor made as the API makes them."""
    pages = []
    for name in API_LISTS:
        address = f"/api/v1/{name}"
        view = _view_of(address)
        key, number = _far_key(view.queryset.order_by("-pk"))
        cursor = base64.b64encode(f"p={key}".encode()).decode() if key is not None else None
        pages.append(Page(f"API {name}", address, _at(address, "cursor", cursor), number))
    return pages


def _view_of(address: str) -> Any:
    from django.urls import resolve

    return resolve(address).func.cls  # type: ignore[attr-defined]


def times_of(client: Client, address: str, *, repeats: int) -> list[float]:
    """Milliseconds of each request; the first, which compiles templates and fills caches, is not counted."""
    return _times(lambda: _get(client, address), repeats)


def _get(client: Client, address: str) -> None:
    answer = client.get(address)
    if answer.status_code != 200:
        raise RuntimeError(f"{address} answered {answer.status_code}")


def _times(work: Callable[[], None], repeats: int) -> list[float]:
    work()
    times = []
    for _ in range(repeats):
        since = time.perf_counter()
        work()
        times.append((time.perf_counter() - since) * 1000)
    return times


def _single_pages(client: Client, size: Size, sku_id: int) -> list[Result]:
    middle = size.orders // 2 + 50
    addresses = {
        "order page": reverse("admin:orders_salesorder_change", args=[middle]),
        "SKU page": reverse("admin:inventory_skustock_change", args=[sku_id]),
        "first page of the admin": reverse("admin:index"),
        "API order": f"/api/v1/orders/SO{middle:08d}",
    }
    results = [
        _single(name, times_of(client, address, repeats=size.repeats)) for name, address in addresses.items()
    ]
    status = _times(_say_status, size.repeats)
    return [*results, _single("status --json", status)]


def _say_status() -> None:
    # It ends the process when something is wrong, and in this house no worker runs.
    with contextlib.suppress(SystemExit):
        call_command("status", "--json", stdout=io.StringIO())


def _single(name: str, times: Sequence[float]) -> Result:
    return Result(
        name, median(times), "ms", spread(times), target=f"≤ {LIMIT_MS} ms", ok=median(times) <= LIMIT_MS
    )
