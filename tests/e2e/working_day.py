"""A morning of orders on top of the demo data, taken by the real doors: something in every queue."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import F

from integrations.health import note_success
from integrations.models import Connection
from inventory.models import Location
from orders.capture import capture_orders
from orders.confirm import ConfirmedParcel, confirm_shipment
from orders.draft import ChannelState, LineDraft, OrderDraft, Receiver
from orders.models import FulfilmentOrder, SalesOrder
from orders.release import ReleaseAnswer, claim_planned, record_release_answers
from orders.review import review_captured
from orders.source import source_orders
from orders.states import FulfilmentState
from products.models import Listing, Shop

BUYERS = ("王伟", "李娜", "张敏", "刘洋", "赵磊", "Chen Jing")
PLACES = (
    ("浙江省", "杭州市", "西湖区"),
    ("广东省", "深圳市", "南山区"),
    ("四川省", "成都市", "锦江区"),
    ("北京市", "北京市", "朝阳区"),
)


def work_a_morning(*, at: datetime, seed: int = 7) -> None:
    """Capture, review, source, release and ship; the same seed makes the same morning."""
    chance = random.Random(seed)
    for shop in Shop.objects.filter(is_active=True, listings__isnull=False).distinct().order_by("pk"):
        waves: dict[int, list[OrderDraft]] = {}
        for draft in _drafts(shop, chance, at):
            waves.setdefault(int((at - draft.placed_at).total_seconds()) // 3600, []).append(draft)
        for hours, drafts in sorted(waves.items(), reverse=True):
            heard = at - timedelta(hours=hours)
            capture_orders(shop=shop, drafts=drafts, at=heard, by=f"shop:{shop.pk}", source="pull")
        SalesOrder.objects.filter(shop=shop).update(captured_at=F("placed_at"))
    review_captured(limit=500, at=at)
    source_orders(limit=500, at=at)
    for location in Location.objects.order_by("pk"):
        _answer_releases(location, chance, at)
    for connection in Connection.objects.filter(is_active=True):
        note_success(connection=connection, at=at)


def _drafts(shop: Shop, chance: random.Random, at: datetime) -> Iterator[OrderDraft]:
    listings = list(shop.listings.select_related("sku").order_by("pk"))
    for number in range(60):
        lines = [
            _line(f"{number}-{k}", chance.choice(listings), chance)
            for k in range(chance.choice((1, 1, 2, 3)))
        ]
        placed = at - timedelta(minutes=chance.randrange(1, 1200))
        total = sum((line.amount for line in lines), Decimal(0)) + (5 if number % 23 == 3 else 0)
        province, city, district = chance.choice(PLACES)
        yield OrderDraft(
            outer_id=f"{2_700_000_000 + number}{shop.pk:04d}",
            state=ChannelState.TO_SHIP,
            outer_modified_at=placed,
            placed_at=placed,
            currency=shop.currency,
            total_amount=total,
            lines=lines,
            raw_state="WAIT_SELLER_SEND_GOODS",
            paid_at=placed,
            buyer=chance.choice(BUYERS),
            buyer_message="请尽快发货，送人用" if number % 9 == 0 else "",
            receiver=Receiver(
                name=chance.choice(BUYERS),
                mobile="13800000000",
                province=province,
                city=city,
                district=district,
                address="" if number % 29 == 5 else "文三路 1 号",
            ),
            ship_by=placed + timedelta(hours=chance.choice((12, 24, 48))),
            payload={"tid": number, "receiver_name": "王**"},
        )


def _line(ident: str, listing: Listing, chance: random.Random) -> LineDraft:
    quantity = 900 if chance.random() < 0.03 else chance.choice((1, 1, 1, 2, 5))
    price = listing.price or listing.sku.list_price or Decimal(99)
    return LineDraft(
        outer_line_id=ident,
        quantity=quantity,
        unit_price=price,
        amount=price * quantity,
        title=listing.sku.name,
        outer_item_id=(listing.outer_item_id or "") if chance.random() > 0.03 else "new-item",
        outer_sku_id=listing.outer_sku_id,
    )


def _answer_releases(location: Location, chance: random.Random, at: datetime) -> None:
    """The warehouse takes most, refuses a few, is silent about some, and has shipped half of what it took."""
    by = f"location:{location.pk}"
    planned = claim_planned(location_id=location.pk, limit=500, at=at, by="system")
    answers = []
    for part in planned:
        dice = chance.random()
        if dice < 0.12:
            answers.append(
                ReleaseAnswer(part.fulfilment_id, "refused", "", "商品未备案 The SKU is not set up", 0)
            )
        elif dice < 0.92:
            answers.append(ReleaseAnswer(part.fulfilment_id, "accepted", f"WMS{part.fulfilment_id}", "", 0))
    record_release_answers(answers=answers, at=at, by=by)
    taken = FulfilmentOrder.objects.filter(location=location, state=FulfilmentState.ACCEPTED)
    for fulfilment in taken.prefetch_related("lines__sku").order_by("pk")[: taken.count() // 2]:
        items = tuple((line.sku.code, line.quantity) for line in fulfilment.lines.all())
        confirm_shipment(
            location_id=location.pk,
            number=fulfilment.number,
            event_key=f"out-{fulfilment.pk}",
            parcels=[ConfirmedParcel("SF", f"SF{1_000_000_000 + fulfilment.pk}", items, 300)],
            is_final=True,
            shipped_at=at,
            at=at,
            by=by,
        )
