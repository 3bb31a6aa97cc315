"""Goods travel, shelves are counted and locations change their use, by a person in a real browser."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser

from inventory.models import CountSheet, Location, PoolingRule, StockLevel, Transfer
from products.models import Sku
from tests.e2e.conftest import Visitor
from tests.factories.inventory import LocationFactory, LocationGroupFactory, Scene
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SCREENS = [("en", 1440, 900), ("zh-hans", 390, 844), ("zh-hans", 1440, 900), ("en", 390, 844)]


class Look:
    """A visitor who lets axe look at each page; with SHOTS set, a folder, pictures are kept too."""

    def __init__(self, visitor: Visitor, name: str) -> None:
        self.visitor, self.name = visitor, name

    def __call__(self, step: str) -> None:
        self.visitor.page.wait_for_load_state("load")
        self.visitor.check_access()
        if folder := os.environ.get("SHOTS"):
            self.visitor.page.screenshot(path=f"{folder}/{step}-{self.name}.png", full_page=True)


def furnish() -> tuple[Scene, Location, Sku]:
    scene = Scene(
        40,
        LocationFactory.create(code="SH-01", name="Shanghai 上海总仓", province="上海", city="上海市"),
        SkuFactory.create(code="SERUM-30", name="Repair serum 30 ml", list_price="129.00"),
    )
    store = LocationFactory.create(
        code="ST-CD",
        name="Chengdu store 成都门店",
        kind="store",
        group=LocationGroupFactory.create(name="West"),
    )
    other = SkuFactory.create(
        code="CREAM-50", name="Night cream 50 ml", list_price="219.00", spu=scene.sku.spu
    )
    return scene, store, other


@pytest.mark.capability("V17")
@pytest.mark.capability("V18")
@pytest.mark.capability("V2")
@pytest.mark.parametrize(("language", "width", "height"), SCREENS)
def test_a_person_moves_counts_and_switches(
    live_server: Any, browser: Browser, admin_user: User, language: str, width: int, height: int
) -> None:
    scene, store, other = furnish()
    visitor = Visitor(browser, live_server.url, width=width, height=height, language=language)
    visitor.sign_in("boss", "let me in")
    page, look = visitor.page, Look(visitor, f"{language}-{width}")

    # a transfer, received in two parts
    visitor.visit(reverse("admin:inventory_transfer_add"))
    page.select_option("[name=source]", str(scene.location.pk))
    page.select_option("[name=destination]", str(store.pk))
    page.fill("[name=lines]", "NO-SUCH\t3")
    page.locator("form.omni-card button").click()
    look("transfer-fault")
    page.fill("[name=lines]", "SERUM-30\t12")
    page.locator("form.omni-card button").click()
    look("transfer-draft")
    transfer = Transfer.objects.get()
    page.locator("form[action$='/act/ship/'] button").click()
    look("transfer-shipped")
    line = transfer.lines.get()
    page.fill(f"[name=received-{line.pk}]", "7")
    page.fill(f"[name=damaged-{line.pk}]", "1")
    page.locator("form[action$='/act/receive/'] button").click()
    look("transfer-part")
    visitor.visit(reverse("admin:inventory_transfer_queue", args=["in_transit"]))
    look("transfer-queue")
    visitor.visit(reverse("admin:inventory_skustock_change", args=[scene.sku.pk]))
    look("sku-in-transit")
    visitor.visit(reverse("admin:inventory_transfer_change", args=[transfer.pk]))
    page.locator("details.omni-act summary").first.click()
    page.select_option("[name=reason]", "lost")
    look("transfer-close")
    page.locator("form[action$='/act/close/'] button").click()
    look("transfer-closed")
    transfer.refresh_from_db()
    assert transfer.state == "closed"
    assert StockLevel.objects.get(location=store, grade="good").on_hand == 6

    # a count, confirmed
    visitor.visit(reverse("admin:inventory_countsheet_add"))
    page.select_option("[name=location]", str(scene.location.pk))
    page.fill("[name=lines]", "SERUM-30\t26\nCREAM-50\t5")
    look("count-start")
    moment = timezone.localtime().strftime("%Y-%m-%dT%H:%M:%S")
    page.fill("[name=counted_at]", moment)
    page.locator("form.omni-card button").click()
    look("count-open")
    page.locator("form[action$='/act/submit/'] button").click()
    look("count-submitted")
    visitor.visit(reverse("admin:inventory_countsheet_queue", args=["to_confirm"]))
    look("count-queue")
    sheet = CountSheet.objects.get()
    visitor.visit(reverse("admin:inventory_countsheet_change", args=[sheet.pk]))
    page.locator("details.omni-act summary").first.click()
    page.locator("form[action$='/act/confirm/'] [name=reason]").fill("counted twice")
    look("count-confirm")
    page.locator("form[action$='/act/confirm/'] button").click()
    look("count-confirmed")
    sheet.refresh_from_db()
    assert sheet.state == "confirmed"
    assert StockLevel.objects.get(location=scene.location, sku=other).on_hand == 5

    # a location, switched off and moved by a rule
    where = reverse("admin:inventory_location_change", args=[scene.location.pk])
    visitor.visit(where)
    look("location")
    page.locator("#uses ~ ul details summary").first.click()
    page.locator("form[action$='/switch/ships_online/'] [name=reason]").fill("stocktaking")
    look("location-switch")
    page.locator("form[action$='/switch/ships_online/'] button").click()
    look("location-off")
    assert Location.objects.get(pk=scene.location.pk).group.code == "off"
    PoolingRule.objects.create(
        name="Dealers' warehouses", group=store.group, ships_online=False, kinds=["central"]
    )
    visitor.visit(reverse("admin:inventory_poolingrule_changelist"))
    look("rules")
    visitor.visit(reverse("admin:inventory_poolingrule_add"))
    look("rule-add")
    visitor.visit(reverse("admin:inventory_poolingrule_preview"))
    page.fill("[name=reason]", "one stock for dealers")
    look("rules-preview")
    page.locator("form.omni-lines button").click()
    look("rules-applied")
    assert Location.objects.get(pk=scene.location.pk).group == store.group
    visitor.visit(reverse("admin:inventory_location_edit", args=[scene.location.pk]))
    look("location-edit")

    visitor.close()
    assert visitor.faults == [], "\n".join(visitor.faults)
