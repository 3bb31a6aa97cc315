"""A bundle is composed by looking its components up, and an order shows it: on a phone too."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser

from products.models import BundleComponent
from tests.e2e.conftest import Visitor
from tests.factories.bundles import make_bundle, skus_of_one_brand
from tests.factories.orders import line_draft, make_house

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.capability("P20")]


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_components_are_looked_up_and_put_in(
    live_server: Any, browser: Browser, admin_user: User, width: int, height: int, language: str
) -> None:
    bundle, cup, pot = skus_of_one_brand(3, list_price=10)
    visitor = Visitor(browser, live_server.url, width=width, height=height, language=language)
    visitor.sign_in("boss", "let me in")
    page = visitor.page

    visitor.visit(reverse("admin:products_sku_change", args=[bundle.pk]))
    visitor.check_access()
    page.click(f"a.omni-button[href='{reverse('admin:products_bundle_change', args=[bundle.pk])}']")
    page.wait_for_load_state("load")
    visitor.check_access()
    page.click("#id_components-0-component + .select2-container")
    page.fill(".select2-search__field", cup.code)
    page.click(f".select2-results__option:has-text('{cup.code}')")
    page.fill("#id_components-0-units", "2")
    page.click("button[name=_save]")
    page.wait_for_load_state("load")

    assert list(BundleComponent.objects.values_list("bundle_id", "component_id", "units")) == [
        (bundle.pk, cup.pk, 2)
    ]
    visitor.visit(reverse("admin:products_bundle_changelist"))
    visitor.check_access()
    assert f"{cup.code} × 2" in page.inner_text("#result_list")
    assert not BundleComponent.objects.filter(component=pot).exists()
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_the_pages_of_an_order_and_of_stock_show_a_bundle(
    live_server: Any, browser: Browser, admin_user: User, width: int, height: int
) -> None:
    house = make_house(stock=10)
    bundle = make_bundle({house.sku: 2})
    order = house.order(line_draft(bundle, 3, title="水润护肤礼盒 Hydration Gift Set"))
    visitor = Visitor(browser, live_server.url, width=width, height=height, language="zh-hans")
    visitor.sign_in("boss", "let me in")

    for path in (
        reverse("admin:orders_salesorder_change", args=[order.pk]),
        reverse("admin:inventory_skustock_change", args=[bundle.pk]),
        reverse("admin:products_sku_change", args=[house.sku.pk]),
        reverse("admin:products_bundle_change", args=[bundle.pk]),
    ):
        visitor.visit(path)
        visitor.check_access()

    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)
