"""The pictures of the documentation, taken of the demo after a morning's work: `make shots`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser

from omni.demo.furnish import furnish_demo
from orders.models import FulfilmentOrder, ParkedOrder, SalesOrder, SalesOrderLine
from orders.states import FulfilmentState, Stage
from tests.e2e.conftest import Visitor
from tests.e2e.working_day import work_a_morning

pytestmark = [pytest.mark.shots, pytest.mark.timeout(600)]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"


def test_take_the_pictures(live_server: Any, browser: Browser, admin_user: User, tmp_path: Path) -> None:
    furnish_demo(port=8000, folder=tmp_path, at=timezone.now())
    work_a_morning(at=timezone.now())
    shipped = SalesOrder.objects.filter(stage=Stage.SHIPPED).order_by("-total_amount").first()
    held = SalesOrder.objects.filter(stage=Stage.IN_REVIEW).order_by("pk").first()
    refused = FulfilmentOrder.objects.filter(state=FulfilmentState.REFUSED).first()
    parked = ParkedOrder.objects.order_by("pk").first()
    assert shipped
    assert held
    assert refused
    assert parked
    sku_id = SalesOrderLine.objects.filter(order=shipped).values_list("sku_id", flat=True)[0]
    order, sku = "admin:orders_salesorder_change", "admin:inventory_skustock_change"
    queue = reverse("admin:orders_salesorder_queue", args=["held"])
    pictures = [
        ("home-desktop", "en", (1440, 900), reverse("admin:index"), False),
        ("home-phone-zh", "zh-hans", (390, 844), reverse("admin:index"), False),
        ("queue-held", "en", (1440, 900), queue, False),
        ("queue-held-phone-zh", "zh-hans", (390, 844), queue, False),
        ("order-shipped", "en", (1440, 900), reverse(order, args=[shipped.pk]), True),
        ("order-in-review-zh", "zh-hans", (1440, 900), reverse(order, args=[held.pk]), True),
        ("sku-stock", "en", (1440, 900), reverse(sku, args=[sku_id]), True),
        (
            "parked-order",
            "en",
            (1440, 900),
            reverse("admin:orders_parkedorder_change", args=[parked.pk]),
            False,
        ),
        ("connections", "en", (1440, 900), reverse("admin:integrations_connection_changelist"), False),
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, language, (width, height), path, is_whole in pictures:
        visitor = Visitor(browser, live_server.url, width=width, height=height, language=language)
        visitor.sign_in("boss", "let me in")
        visitor.visit(path)
        visitor.page.screenshot(path=FOLDER / f"{name}.png", full_page=is_whole)
        visitor.close()
        assert visitor.faults == [], "\n".join(visitor.faults)
