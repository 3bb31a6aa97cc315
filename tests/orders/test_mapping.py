"""Orders that were parked for an item nobody knew are taken by themselves, once the item is mapped."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from omni.tasks import relay_outbox
from orders import tasks
from orders.models import ParkedOrder, SalesOrder
from orders.tasks import retry_mapped
from products.map import map_items
from products.models import OuterItem
from tests.factories.orders import NOON, House, line_draft, make_house, order_draft
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("P15")]
BY: dict[str, Any] = {"at": NOON, "by": "user:7"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def unknown_line(house: House, item: str = "I1", **changes: Any) -> Any:
    return line_draft(house.sku, **({"outer_item_id": item, "outer_sku_id": "S1", "sku_code": ""} | changes))


def do_map(house: House, *items: str) -> None:
    found = OuterItem.objects.filter(outer_item_id__in=items)
    map_items(sku_ids={item.pk: house.sku.pk for item in found}, **BY)


def test_what_was_sold_and_is_unknown_waits_among_the_channels_items(house: House) -> None:
    house.take(order_draft(unknown_line(house, title="Serum", sku_code="X-1")))

    item = OuterItem.objects.get()
    assert (item.shop, item.outer_item_id, item.outer_sku_id) == (house.shop, "I1", "S1")
    assert (item.title, item.outer_code, item.source, item.state) == ("Serum", "X-1", "order", "unmapped")


def test_an_order_is_taken_when_its_item_is_mapped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[str] = []
    monkeypatch.setattr("omni.kernel.doorbell.ring", rung.append)
    house.take(order_draft(unknown_line(house)))
    assert ParkedOrder.objects.get().state == "open"

    do_map(house, "I1")
    relay_outbox()
    assert "orders.tasks.retry_mapped" in rung
    retry_mapped()

    assert ParkedOrder.objects.get().state == "taken"
    assert SalesOrder.objects.get().lines.get().sku == house.sku


def test_an_order_with_another_unknown_line_waits_untouched_until_that_is_mapped_too(house: House) -> None:
    house.take(order_draft(unknown_line(house), unknown_line(house, "I2")))

    do_map(house, "I1")
    retry_mapped()

    parked = ParkedOrder.objects.get()
    assert (parked.state, parked.attempts) == ("open", 1)
    do_map(house, "I2")
    retry_mapped()
    assert ParkedOrder.objects.get().state == "taken"


def test_the_mapping_of_another_shop_changes_nothing(house: House) -> None:
    other = make_house(stock=1)
    house.take(order_draft(unknown_line(house)))
    other.take(order_draft(unknown_line(other)))

    do_map(other, "none")
    map_items(sku_ids={OuterItem.objects.get(shop=other.shop).pk: other.sku.pk}, **BY)
    retry_mapped()

    assert ParkedOrder.objects.get(shop=house.shop).state == "open"
    assert ParkedOrder.objects.get(shop=other.shop).state == "taken"


def test_a_sku_that_is_entered_with_the_sellers_code_takes_its_orders_too(house: House) -> None:
    house.take(order_draft(unknown_line(house, sku_code="late-sku")))

    SkuFactory.create(code="late-sku")
    retry_mapped()

    assert SalesOrder.objects.get().lines.get().sku.code == "late-sku"


def test_what_was_parked_before_the_unknown_lines_were_kept_is_tried_once(house: House) -> None:
    house.take(order_draft(unknown_line(house)))
    ParkedOrder.objects.update(wants=None)

    retry_mapped()
    retry_mapped()

    parked = ParkedOrder.objects.get()
    assert (parked.state, parked.attempts) == ("open", 2)
    assert parked.wants == [{"item": "I1", "sku": "S1", "code": ""}]


def test_an_order_that_is_parked_for_something_else_now_keeps_that_reason_and_is_left_in_peace(
    house: House,
) -> None:
    house.take(order_draft(unknown_line(house), payload={"tid": 1}))
    parked = ParkedOrder.objects.get()
    ParkedOrder.objects.update(draft={**parked.draft, "currency": "!"})

    do_map(house, "I1")
    retry_mapped()
    retry_mapped()

    parked = ParkedOrder.objects.get()
    assert (parked.state, parked.reason, parked.attempts) == ("open", "bad_currency", 2)


def test_a_sweep_takes_every_batch_and_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "BATCH", 2)
    house.take(*[order_draft(unknown_line(house)) for _ in range(5)])

    do_map(house, "I1")
    retry_mapped()

    assert SalesOrder.objects.count() == 5


def test_the_desk_maps_what_is_certain_and_says_why_the_rest_is_not(house: House, client: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    house.take(order_draft(unknown_line(house)), order_draft(unknown_line(house, "I2")))
    house.sku.barcodes.create(code="6901234567892")
    OuterItem.objects.filter(outer_item_id="I1").update(barcode="6901234567892")
    queue = reverse("admin:products_outeritem_queue", args=["unmapped"])
    assert house.sku.code in client.get(queue).content.decode()

    ids = [str(pk) for pk in OuterItem.objects.values_list("pk", flat=True)]
    answer = client.post(queue, {"action": "map_certain", "_selected_action": ids})
    retry_mapped()

    assert "I2/S1" in answer.content.decode()
    assert ParkedOrder.objects.filter(state="taken").count() == 1
    assert OuterItem.objects.get(outer_item_id="I2").state == "unmapped"


def test_the_page_of_an_item_offers_skus_and_maps_to_the_one_that_is_chosen(
    house: House, client: Client
) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    house.take(order_draft(unknown_line(house, title=house.sku.name)))
    item = OuterItem.objects.get()
    page = reverse("admin:products_outeritem_change", args=[item.pk])
    assert house.sku.code in client.get(page).content.decode()

    client.post(reverse("admin:products_outeritem_map", args=[item.pk]), {"sku_code": "no-such"}, follow=True)
    item.refresh_from_db()
    assert item.state == "unmapped"
    client.post(reverse("admin:products_outeritem_map", args=[item.pk]), {"sku_code": house.sku.code})

    item.refresh_from_db()
    assert item.state == "mapped"
    assert house.sku.code in client.get(page).content.decode()
