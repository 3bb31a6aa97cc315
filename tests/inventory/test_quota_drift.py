"""Each invariant of the rules is broken on purpose, to see that it is found."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone

from inventory.models import SafetyRule, ShopExposure, ShopPool
from inventory.quota.define import QuotaWish, set_quota_rule
from inventory.quota.drift import CHECKS
from inventory.quota.keep import SafetyWish, keep_safety
from tests.factories.inventory import Scene

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("broken_on_purpose")]


def broken() -> set[str]:
    return {check.code for check in CHECKS if check.find(5)}


@pytest.fixture
def scene() -> Scene:
    """A shop with a quota rule, and some units kept."""
    scene, at = Scene(20), timezone.now()
    wish = QuotaWish(group_id=scene.location.group_id, shop_id=scene.shop.pk, mode="exclusive")
    set_quota_rule(wish=wish, at=at, by="test", reason="")
    keep_safety(wishes=[SafetyWish(scene.sku.pk, 3)], at=at, by="test", reason="")
    assert broken() == set()
    return scene


def test_a_row_that_no_rule_asks_for(scene: Scene) -> None:
    ShopPool.objects.create(shop=scene.shop, group=scene.location.group, kind="shared", origin="rule")

    assert broken() == {"quota.draws_follow_rules"}


def test_a_row_that_a_rule_asks_for_and_nobody_has(scene: Scene) -> None:
    ShopPool.objects.filter(kind="quota").delete()

    assert broken() == {"quota.draws_follow_rules"}


def test_a_safety_rule_that_nobody_followed(scene: Scene) -> None:
    SafetyRule.objects.update(units=4)
    assert broken() == set(), "it has moved a moment ago: the sweep will come by"

    with connection.cursor() as cursor:  # the ledger is append-only
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE inventory_stockmovement SET at = at - interval '1 hour'")
        cursor.execute("SET LOCAL session_replication_role = origin")

    assert broken() == {"quota.safety_follows_rules"}


def test_parts_of_a_low_pool_that_leave_a_unit_out(scene: Scene) -> None:
    ShopExposure.objects.create(
        group=scene.location.group,
        sku=scene.sku,
        shop=scene.shop,
        units_per_hour=1,
        low_water=5,
        part_from="0.5",
        part_to=1,
    )

    assert broken() == {"quota.parts_add_up"}
