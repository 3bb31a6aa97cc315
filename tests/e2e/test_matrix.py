"""The quota matrix in a real browser: moved through by keys, pasted into, looked at on a phone, applied."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser

from inventory.models import AllocationRun, StockPool
from tests.e2e.conftest import Visitor
from tests.factories.inventory import LocationFactory, put_stock, shop_drawing_on
from tests.factories.products import SkuFactory
from tests.factories.quotas import quota_rule

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.capability("V4")]

PASTE = """([text]) => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    document.activeElement.dispatchEvent(
        new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize(("width", "height", "language"), [(1440, 900, "en"), (390, 844, "zh-hans")])
def test_quotas_are_typed_and_pasted_like_in_a_spreadsheet_and_applied(
    live_server: Any, browser: Browser, admin_user: User, width: int, height: int, language: str
) -> None:
    place = LocationFactory.create()
    shops = [shop_drawing_on(place.group) for _ in range(2)]
    for shop in shops:
        quota_rule(place.group, shop)
    skus = [SkuFactory.create() for _ in range(3)]
    for sku in skus:
        put_stock(place, sku, 100)
    visitor = Visitor(browser, live_server.url, width=width, height=height, language=language)
    visitor.sign_in("boss", "let me in")
    page = visitor.page
    visitor.visit(reverse("admin:inventory_matrix"))
    visitor.check_access()

    page.focus("input[data-row='0'][data-column='0']")
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.row") == "1"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.column") == "1"
    page.keyboard.press("ArrowLeft")
    page.evaluate(PASTE, ["11\t12\n21\t22\n"])
    page.click("[data-matrix-preview]")
    page.wait_for_selector("#effect")
    visitor.check_access()
    assert not AllocationRun.objects.exists()
    page.fill("input[name=reason]", "autumn")
    page.click("section[aria-labelledby=effect] form button")
    page.wait_for_selector("#result")
    visitor.check_access()

    quotas = StockPool.objects.filter(kind="quota").order_by("sku__code", "label")
    assert list(quotas.values_list("granted", flat=True)) == [7, 11, 12, 21, 22]
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)
