"""The admin in a real browser: quiet, no outside request, nothing that axe finds; both languages, desk and phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser

from integrations.health import pause_connection
from integrations.models import ApiKey, Connection
from integrations.registry import known_adapters
from orders.models import OrderHold, ParkedOrder, SalesOrder
from orders.states import Stage
from products.admin.scoped import ScopedAdmin
from products.models import Shop
from tests.e2e.conftest import Visitor
from tests.omni.rows import World, make_world

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SCREENS = [(1440, 900), (390, 844)]


def pages(world: World) -> Iterator[str]:
    """Every queue, every list, and the pages where the work is done."""
    yield reverse("admin:index")
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        for code in page.queues:  # type: ignore[attr-defined]
            yield reverse(f"{name}_queue", args=[code])
        if isinstance(page, ScopedAdmin) and (page.is_editable or model in (ApiKey, Connection)):
            yield reverse(f"{name}_add")
        row = model._default_manager.first()
        if row is not None:
            yield reverse(f"{name}_change", args=[row.pk])
    yield reverse("admin:orders_salesorder_change", args=[world.order.pk])
    yield reverse("admin:inventory_skustock_change", args=[world.sku.pk])
    yield reverse("admin:inventory_supplyrule_list")
    yield reverse("admin:inventory_matrix")
    yield reverse("admin:inventory_allocationrun_start")
    yield reverse("admin:inventory_backtest")
    for kind, adapter, _description in known_adapters():
        yield f"{reverse('admin:integrations_connection_add')}?kind={kind}&adapter={adapter}"
    connection = Connection.objects.get(code="top-mine")
    pause_connection(
        connection_id=connection.pk, reason="its session has expired", at=timezone.now(), by="system"
    )
    Shop.objects.filter(pk=world.shop.pk).update(name="Another name", is_active=False)
    for row in (connection, world.shop):
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        yield reverse(f"{name}_history", args=[row.pk])
    yield reverse("admin:integrations_connection_change", args=[connection.pk])
    yield reverse("admin:integrations_connection_edit", args=[connection.pk])


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_every_page_is_quiet_stays_inside_and_can_be_used_by_all(
    live_server: Any, browser: Browser, admin_user: User, width: int, height: int, language: str
) -> None:
    world = make_world("MINE")
    visitor = Visitor(browser, live_server.url, width=width, height=height, language=language)
    visitor.page.goto(f"{live_server.url}/admin/login/")
    visitor.check_access()
    visitor.sign_in("boss", "let me in")

    for path in pages(world):
        visitor.visit(path)
        visitor.check_access()

    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)


def test_a_person_resolves_a_hold_approves_and_cancels(
    live_server: Any, browser: Browser, admin_user: User
) -> None:
    make_world("MINE")
    order = SalesOrder.objects.get(stage=Stage.IN_REVIEW)
    visitor = Visitor(browser, live_server.url, width=1440, height=900, language="en")
    visitor.sign_in("boss", "let me in")
    page = visitor.page

    visitor.visit(reverse("admin:orders_salesorder_change", args=[order.pk]))
    page.fill("section[aria-labelledby=holds] input[name=note]", "looked at it")
    page.click("section[aria-labelledby=holds] button")
    page.wait_for_load_state("load")
    page.click("summary:has-text('Approve')")
    page.click("details[open] button:has-text('Approve')")
    page.wait_for_load_state("load")
    page.click("summary:has-text('Cancel order')")
    page.fill("details[open] input[name=note]", "the buyer asked")
    page.click("details[open] button:has-text('Cancel order')")
    page.wait_for_load_state("load")

    order.refresh_from_db()
    assert order.stage == Stage.CANCELLED
    assert OrderHold.objects.get(order=order).note == "looked at it"
    assert "the buyer asked" in page.inner_text(".omni-timeline")
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_a_key_is_issued_copied_and_revoked(
    live_server: Any, browser: Browser, admin_user: User, width: int, height: int
) -> None:
    visitor = Visitor(browser, live_server.url, width=width, height=height, language="en")
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.sign_in("boss", "let me in")
    page = visitor.page

    visitor.visit(reverse("admin:integrations_apikey_add"))
    page.fill("input[name=name]", "The shop's till")
    page.check("input[value='orders:read']")
    page.click("form.omni-form button")
    page.wait_for_selector("#key-text")
    visitor.check_access()
    page.click("[data-copy=key-text]")
    page.wait_for_selector("[data-copy=key-text]:has-text('Copied')")

    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.inner_text("#key-text")
    answer = visitor.context.request.get(
        f"{live_server.url}{reverse('order-list')}", headers={"Authorization": f"Bearer {copied}"}
    )
    assert answer.status == 200
    key = ApiKey.objects.get()
    visitor.visit(reverse("admin:integrations_apikey_change", args=[key.pk]))
    page.click("summary:has-text('Revoke')")
    visitor.check_access()
    page.fill("details[open] input[name=reason]", "the till is gone")
    page.click("details[open] button")
    page.wait_for_load_state("load")
    key.refresh_from_db()
    assert key.revoked_at is not None
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)


def test_a_bulk_action_says_what_became_of_every_row(
    live_server: Any, browser: Browser, admin_user: User
) -> None:
    make_world("MINE")
    visitor = Visitor(browser, live_server.url, width=1440, height=900, language="en")
    visitor.sign_in("boss", "let me in")
    page = visitor.page

    visitor.visit(reverse("admin:orders_salesorder_queue", args=["held"]))
    page.check("#action-toggle")
    page.select_option("select[name=action]", "cancel")
    page.click("#changelist-actions button[type=submit]")
    page.wait_for_selector("input[name=note]")
    visitor.check_access()
    page.fill("input[name=note]", "the shop closes")
    page.click("form.omni-form button")
    page.wait_for_selector("#refused")
    visitor.check_access()

    refused = page.inner_text("section[aria-labelledby=refused]")
    assert "It has been shipped" in refused
    assert SalesOrder.objects.filter(stage=Stage.CANCELLED).count() > 1
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)


def test_a_parked_order_is_dismissed_with_its_note(
    live_server: Any, browser: Browser, admin_user: User
) -> None:
    make_world("MINE")
    parked = ParkedOrder.objects.get()
    visitor = Visitor(browser, live_server.url, width=390, height=844, language="zh-hans")
    visitor.sign_in("boss", "let me in")

    visitor.visit(reverse("admin:orders_parkedorder_change", args=[parked.pk]))
    visitor.page.fill("form.omni-form input[name=note]", "测试单")
    visitor.page.click("form.omni-form button")
    visitor.page.wait_for_load_state("load")

    parked.refresh_from_db()
    assert (parked.state, parked.note) == (ParkedOrder.State.DISMISSED, "测试单")
    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)
