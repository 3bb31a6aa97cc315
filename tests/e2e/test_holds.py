"""What is held is seen and given back, its limits set, and numbers compared and computed anew: on a phone too."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser

from inventory.holds.hold import hold_stock
from inventory.models.holds import HoldLimit, StockHold
from omni.kernel.models import Job
from tests.e2e.conftest import Visitor
from tests.factories.integrations import make_channel
from tests.factories.orders import make_house

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.capability("V10", "V9")]
SHOTS = os.environ.get("OMNI_SHOTS", "")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_holds_are_seen_limited_and_given_back(
    live_server: Any, browser: Browser, admin_user: User, width: int, height: int, language: str
) -> None:
    house = make_house(stock=10)
    channel = make_channel(adapter="top", shop=house.shop)
    HoldLimit.objects.create(shop=None, units_per_shop=50)
    for number, key in enumerate(("cart-8f2a61", "cart-77c0d9")):
        hold_stock(
            shop_id=house.shop.pk,
            key=key,
            buyer=f"buyer-{number}@example.com",
            lines=[(house.sku.pk, 2 + number)],
            at=timezone.now(),
            by=f"user:{admin_user.pk}",
        )
    visitor = Visitor(browser, live_server.url, width=width, height=height, language=language)
    visitor.sign_in("boss", "let me in")
    page = visitor.page
    shots = 0

    def look(path: str = "") -> None:
        nonlocal shots
        if path:
            visitor.visit(path)
        visitor.check_access()
        if SHOTS:
            shots += 1
            page.screenshot(path=f"{SHOTS}/{language}-{width}-{shots}.png", full_page=True)

    look(reverse("admin:inventory_stockhold_changelist"))
    look(reverse("admin:inventory_stockhold_change", args=[StockHold.objects.get(key="cart-8f2a61").pk]))
    look(reverse("admin:inventory_holdlimit_changelist"))
    look(reverse("admin:inventory_holdlimit_change", args=[HoldLimit.objects.get().pk]))
    look(reverse("admin:inventory_publishedstock_plan_all"))
    page.click("main form button.omni-button-primary, #content form button.omni-button-primary")
    page.wait_for_load_state("load")
    assert Job.objects.count() == 1
    look(reverse("admin:integrations_connection_change", args=[channel.pk]))
    page.click(f"form[action='{reverse('admin:integrations_connection_compare', args=[channel.pk])}'] button")
    page.wait_for_load_state("load")
    look()
    look(reverse("admin:integrations_connection_change", args=[channel.pk]))

    look(reverse("admin:inventory_stockhold_queue", args=["held"]))
    page.check("input.action-select >> nth=0", force=True)
    page.select_option("select[name=action]", "give_back", force=True)
    page.evaluate("document.querySelector('#changelist-form').submit()")
    page.wait_for_selector("#id_reason, input[name=reason]")
    look()
    page.fill("input[name=reason]", "the buyer left")
    page.click("form button.omni-button-primary")
    page.wait_for_load_state("load")
    look()

    assert StockHold.objects.filter(state="released").count() == 1
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)
