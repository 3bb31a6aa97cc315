"""One row of everything that the admin shows, belonging to one shop: enough to see who sees what."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from integrations.models import ApiKey, Connection, Cursor, InboundMessage, ListingDrift, MessageLog
from inventory.models import (
    AlertRule,
    AllocationLine,
    AllocationRun,
    CountLine,
    CountSheet,
    Location,
    LocationGroup,
    PoolingRule,
    PromotionLock,
    PromotionLockLine,
    PublishedStock,
    QuotaRule,
    RebalancePolicy,
    Reservation,
    Revocation,
    SafetyRule,
    ShopPool,
    Shortage,
    StockAlert,
    StockComparison,
    StockDifference,
    StockLevel,
    StockMovement,
    StockOperation,
    StockPool,
    SupplyRule,
    Transfer,
    TransferLine,
)
from inventory.models.holds import HoldLimit, StockHold, StockHoldLine
from inventory.models.ledger import Account
from omni.kernel.models import AuditEntry, Job, OutboxEvent
from orders.models import (
    ChannelOrder,
    ChannelOrderVersion,
    ChannelRefund,
    DispatchNotice,
    FulfilmentLine,
    FulfilmentOrder,
    OrderEvent,
    OrderHold,
    Parcel,
    ParcelLine,
    ParkedOrder,
    Return,
    ReviewDecision,
    ReviewRule,
    SalesOrder,
    SalesOrderLine,
    Shipment,
    SourcingDecision,
)
from orders.states import FulfilmentState, Stage
from products.models import (
    AssortmentRow,
    AssortmentRule,
    AssortmentRun,
    AssortmentShop,
    Barcode,
    Brand,
    BundleComponent,
    Catalogue,
    CataloguePick,
    Category,
    CategoryAttribute,
    CodeRule,
    FloorPrice,
    Image,
    ImageUse,
    Listing,
    ListingRequest,
    OuterItem,
    OutsideListing,
    Price,
    PublishedPrice,
    Shop,
    ShopCatalogue,
    Sku,
    Spu,
)


@dataclass(frozen=True)
class World:
    brand: Brand
    shop: Shop
    sku: Sku
    location: Location
    order: SalesOrder


def make_world(name: str) -> World:
    """A brand with one shop, one SKU and one row in every table and queue; every code contains `name`."""
    now = timezone.now()
    brand = Brand.objects.create(code=f"B-{name}", name=f"Brand {name}")
    category, _made = Category.objects.get_or_create(
        code="beauty", defaults={"name": "Beauty", "path": "beauty/"}
    )
    CategoryAttribute.objects.get_or_create(
        category=category, code="origin", defaults={"name": "Origin", "kind": "text"}
    )
    CodeRule.objects.create(kind="spu", brand=brand, pattern="{brand}{number:04}")
    spu = Spu.objects.create(code=f"P-{name}", name=f"Serum {name}", brand=brand, category=category)
    sku = Sku.objects.create(code=f"SKU-{name}", spu=spu, name=f"Serum {name} 30 ml", list_price=Decimal(129))
    Barcode.objects.create(code=f"69{name}", sku=sku)
    twin = Sku.objects.create(code=f"SKU-{name}-twin", spu=spu, name=f"Serum {name}, two of them")
    BundleComponent.objects.create(bundle=twin, component=sku, units=2, weight=1)
    shop = Shop.objects.create(code=f"S-{name}", name=f"Shop {name}", channel="top", brand=brand)
    group, _made = LocationGroup.objects.get_or_create(code="east", defaults={"name": "East"})
    location = Location.objects.create(code=f"WH-{name}", name=f"Warehouse {name}", group=group)
    listing = Listing.objects.create(shop=shop, sku=sku, outer_item_id=f"item-{name}", outer_sku_id="1")
    image = Image.objects.create(
        brand=brand,
        sha256=name,
        name=f"{name}.jpg",
        kind="jpeg",
        width=1,
        height=1,
        bytes=1,
        created_by="user:1",
    )
    ImageUse.objects.create(image=image, sku=sku, position=0)
    for state in ("draft", "submitted", "approved"):
        other = Sku.objects.create(code=f"SKU-{name}-{state}", spu=spu, name=f"Serum {name} {state}")
        Listing.objects.create(shop=shop, sku=other, state=state, state_at=now, state_by="system")
    ListingRequest.objects.create(
        listing=listing,
        shop=shop,
        batch=uuid.uuid4(),
        act="publish",
        state="refused",
        answer="no such item",
        scheduled_at=now,
        not_before=now,
        requested_by="system",
    )
    OuterItem.objects.create(shop=shop, outer_item_id=f"seen-{name}", outer_code=sku.code, source="channel")
    catalogue = Catalogue.objects.create(code=f"C-{name}", name=f"Catalogue {name}", brand=brand)
    ShopCatalogue.objects.create(shop=shop, catalogue=catalogue)
    CataloguePick.objects.create(catalogue=catalogue, sku=sku, is_in=False, picked_by="system")
    OutsideListing.objects.create(listing=listing, catalogue=catalogue, since=now)
    rule = AssortmentRule.objects.create(name=f"Rule {name}", brand=brand)
    rule.shops.set([shop])
    run = AssortmentRun.objects.create(
        state="planned", source="person", judged_at=now, created_by="system", basis={}
    )
    AssortmentShop.objects.create(
        run=run, shop=shop, state="planned", listed=1, withdraws=1, is_too_much=True, planned_at=now
    )
    AssortmentRow.objects.create(
        run=run,
        shop=shop,
        sku=sku,
        listing=listing,
        outcome="withdraw",
        cause="excluded",
        rule=rule,
        rules=[rule.pk],
    )
    order = _make_orders(name, shop, sku, location)
    line = order.lines.get()
    level = StockLevel.objects.create(location=location, sku=sku, on_hand=10, committed=1)
    pool = StockPool.objects.create(group=group, sku=sku, kind="shared", granted=10, reserved=1)
    ShopPool.objects.create(shop=shop, group=group)
    Reservation.objects.create(
        line_key=line.line_key,
        pool=pool,
        sku=sku,
        shop=shop,
        location=location,
        level=level,
        quantity=1,
        state="committed",
    )
    Shortage.objects.create(
        line_key=uuid.uuid4(), sku=sku, shop=shop, group=group, quantity=2, reason="no_stock"
    )
    StockMovement.objects.create(
        kind="receive",
        sku=sku,
        quantity=10,
        from_account=Account.SUPPLIER,
        to_account=Account.LEVEL_FREE,
        document=f"ASN-{name}",
        by="system",
    )
    StockOperation.objects.create(key=f"asn-{name}", kind="receive", fingerprint="x", by="system")
    make_papers(name, location, sku)
    AlertRule.objects.create(group=group, shop=shop, sku=sku, units=20)
    StockAlert.objects.create(sku=sku, group=group, shop=shop, level=20, sellable=9, lowest=9)
    SupplyRule.objects.create(group=group, sku=sku)
    comparison = StockComparison.objects.create(
        location=location,
        source=f"ERP-{name}",
        basis="gross",
        cut_off_at=now,
        compared=1,
        differing=1,
        unknown=[[f"?{name}", "no SKU has this code"]],
        by="system",
    )
    StockDifference.objects.create(
        location=location,
        sku=sku,
        ours=10,
        theirs=9,
        basis="gross",
        cut_off_at=now,
        since=now,
        comparison=comparison,
    )
    hold = StockHold.objects.create(
        key=f"cart-{name}", shop=shop, buyer=f"buyer {name}", expires_at=now, created_by="system"
    )
    StockHoldLine.objects.create(hold=hold, sku=sku, quantity=1, line_key=uuid.uuid4())
    HoldLimit.objects.create(shop=shop, units_per_shop=50)
    PublishedStock.objects.create(listing=listing, shop=shop, desired_quantity=9, desired_version=1)
    for what, ours, theirs in (
        ("title", f"Serum {name}", "x"),
        ("price", "99", "9"),
        ("state", "listed", "gone"),
    ):
        ListingDrift.objects.create(
            listing=listing,
            shop=shop,
            what=what,
            ours=ours,
            theirs=theirs,
            version=1,
            cause="changed",
            since=now,
            held_since=now,
            seen_at=now,
            confirmed_at=now,
        )
    _make_quotas(name, group, shop, sku)
    price = Price.objects.create(
        sku=sku,
        shop=shop,
        amount=Decimal(99),
        currency="CNY",
        starts_at=now,
        state="submitted",
        reason=f"Autumn of {name}",
        requested_by="system",
    )
    PublishedPrice.objects.create(
        listing=listing, shop=shop, price=price, currency="CNY", desired_amount=Decimal(99)
    )
    FloorPrice.objects.create(sku=sku, amount=Decimal(50), currency="CNY", since=now, set_by="system")
    _make_connections(name, shop, location)
    AuditEntry.objects.create(by="system", action="note", object_kind="products.shop", object_id=str(shop.pk))
    OutboxEvent.objects.create(kind="orders.Happened", payload={}, state="dead", last_error="no reason")
    Job.objects.create(
        kind="import", title=f"Import {name}", created_by="system", total=10, done=4, started_at=now
    )
    return World(brand, shop, sku, location, order)


def make_papers(name: str, location: Location, sku: Sku) -> None:
    """A transfer and a count sheet in each of their states, and a rule that moves nobody."""
    now = timezone.now()
    group, _made = LocationGroup.objects.get_or_create(code="stores", defaults={"name": "Stores"})
    store = Location.objects.create(code=f"ST-{name}", name=f"Store {name}", group=group, kind="store")
    PoolingRule.objects.create(name=f"Stores of {name}", group=group, owners=[name], kinds=["store"])
    for state in Transfer.State:
        shipped = 0 if state in ("draft", "cancelled") else 3
        transfer = Transfer.objects.create(
            number=f"TR-{name}-{state}",
            source=location,
            destination=store,
            state=state,
            created_by="system",
            shipped_at=now if shipped else None,
        )
        received = 3 if state == "closed" else 0
        TransferLine.objects.create(
            transfer=transfer, sku=sku, quantity=3, shipped=shipped, received=received
        )
    for counted, sheet_state in enumerate(CountSheet.State, 8):
        sheet = CountSheet.objects.create(
            number=f"CS-{name}-{sheet_state}",
            location=location,
            state=sheet_state,
            counted_at=now,
            created_by="system",
            decided_by="system" if sheet_state in ("confirmed", "rejected") else "",
        )
        booked = None if sheet_state == "open" else 10
        CountLine.objects.create(sheet=sheet, sku=sku, counted=counted, booked=booked)


def _make_quotas(name: str, group: LocationGroup, shop: Shop, sku: Sku) -> None:
    now = timezone.now()
    QuotaRule.objects.create(group=group, shop=shop, mode="lock_share", minimum=5, quota_ratio=Decimal("0.3"))
    QuotaRule.objects.create(group=group, shop=shop, sku=sku, mode="exclusive", is_active=False)
    SafetyRule.objects.create(sku=sku, units=2, note=f"safety of {name}")
    RebalancePolicy.objects.get_or_create(group=group)
    lock = PromotionLock.objects.create(
        code=f"L-{name}",
        name=f"Promotion of {name}",
        group=group,
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(days=1),
        state="active",
        created_by="system",
    )
    lock.shops.set([shop])
    PromotionLockLine.objects.create(lock=lock, sku=sku, quantity=5, granted=2)
    run = AllocationRun.objects.create(
        group=group,
        method="ratio",
        trigger="person",
        state="planned",
        reason=f"Run of {name}",
        created_by="system",
        skus=1,
        lines_planned=2,
        units_planned=3,
    )
    AllocationLine.objects.create(
        run=run, sku=sku, shop=shop, kind="quota", label=shop.code, before=0, after=3, reason="by ratio"
    )
    AllocationLine.objects.create(run=run, sku=sku, kind="shared", before=10, after=7)
    for state in ("telling", "done"):
        Revocation.objects.create(
            group=group,
            sku=sku,
            shop=shop,
            quantity=2,
            from_kind="quota",
            from_label=shop.code,
            to_kind="shared",
            state=state,
            started_at=now - timedelta(hours=2),
            by="system",
        )


def _make_orders(name: str, shop: Shop, sku: Sku, location: Location) -> SalesOrder:
    now = timezone.now()
    ReviewRule.objects.create(name=f"Dear orders of {name}", shop=shop)
    ParkedOrder.objects.create(
        shop=shop,
        outer_id=f"parked-{name}",
        content_hash=b"p",
        reason="unknown_sku",
        detail=f"SKU X-{name} is not listed.",
        draft={"outer_id": f"parked-{name}", "lines": []},
        source="pull",
    )
    ChannelRefund.objects.create(
        shop=shop,
        outer_refund_id=f"refund-{name}",
        outer_id=f"outer-{name}",
        state="open",
        raw_state="WAIT",
        amount=5,
        currency="CNY",
        outer_modified_at=now,
        payload={},
    )
    last = None
    for stage in Stage:
        last = _make_order(f"{name}-{stage}", shop, sku, stage)
    assert last is not None
    order = _make_order(name, shop, sku, Stage.RELEASED)
    line = order.lines.get()
    for state in FulfilmentState:
        fulfilment = FulfilmentOrder.objects.create(
            number=f"FO-{name}-{state}"[:24], location=location, state=state, refusal="no such SKU here"
        )
        part = FulfilmentLine.objects.create(
            fulfilment=fulfilment,
            order_line=line,
            order=order,
            sku=sku,
            line_key=line.line_key,
            part=0,
            quantity=1,
        )
    shipment = Shipment.objects.create(fulfilment=fulfilment, event_key="e1", shipped_at=now, by="system")
    parcel = Parcel.objects.create(shipment=shipment, carrier_code="SF", tracking_no=f"SF-{name}")
    ParcelLine.objects.create(parcel=parcel, fulfilment_line=part, quantity=1)
    DispatchNotice.objects.create(
        order=order, parcel=parcel, shop=shop, lines=[["1", 1]], is_whole_order=True, state="failed"
    )
    SourcingDecision.objects.create(
        order=order,
        candidates=[{"location": location.code, "ranks": {"distance": 1}}],
        reason="nearest",
        by="system",
    )
    Return.objects.create(
        number=f"RT-{name}", shop=shop, order=order, outer_id=f"r-{name}", returned_at=now, source="import"
    )
    return order


def _make_order(name: str, shop: Shop, sku: Sku, stage: str) -> SalesOrder:
    now = timezone.now()
    channel_order = ChannelOrder.objects.create(
        shop=shop,
        outer_id=f"outer-{name}",
        state="to_ship",
        raw_state="WAIT_SELLER_SEND_GOODS",
        outer_modified_at=now,
        content_hash=b"h",
    )
    ChannelOrderVersion.objects.create(
        channel_order=channel_order,
        content_hash=b"h",
        outer_modified_at=now,
        payload={"tid": f"outer-{name}", "receiver_name": "张**"},
        source="pull",
    )
    order = SalesOrder.objects.create(
        number=f"SO-{name}"[:24],
        shop=shop,
        channel_order=channel_order,
        outer_id=f"outer-{name}",
        stage=stage,
        open_holds=1,
        short_lines=1,
        currency="CNY",
        total_amount=Decimal("129.00"),
        receiver={"name": "张三丰", "mobile": "13800000000", "address": "Somewhere 1"},
        receiver_mask="张**, 138****0000",
        placed_at=now - timedelta(hours=2),
        ship_by=now - timedelta(hours=1),
    )
    SalesOrderLine.objects.create(
        order=order,
        line_key=uuid.uuid4(),
        outer_line_id="1",
        sku=sku,
        title="Serum",
        quantity=2,
        short_quantity=2,
        unit_price=Decimal("64.50"),
        amount=Decimal(129),
    )
    OrderHold.objects.create(order=order, kind="review", reason="total above 100", placed_by="rule:1")
    ReviewDecision.objects.create(order=order, is_approved=False, fired=["Dear"], by="system")
    OrderEvent.objects.create(
        order=order, at=now, side="channel", kind="captured", by=f"shop:{shop.pk}", detail={}
    )
    return order


def _make_connections(name: str, shop: Shop, location: Location) -> None:
    channel = Connection.objects.create(
        code=f"top-{name}".lower(),
        kind="channel",
        adapter="top",
        shop=shop,
        base_url="http://127.0.0.1:1/",
        credentials={},
    )
    Connection.objects.create(
        code=f"wms-{name}".lower(),
        kind="warehouse",
        adapter="qimen",
        location=location,
        base_url="http://127.0.0.1:1/",
        credentials={},
    )
    Cursor.objects.create(connection=channel, stream="orders", upto=timezone.now())
    MessageLog.objects.create(
        connection=channel, direction="out", operation="send", is_ok=False, subject=f"SO-{name}"
    )
    InboundMessage.objects.create(
        connection=channel, event_key=f"ev-{name}", kind="trade", payload={}, state="failed", last_error="no"
    )
    ApiKey.objects.create(name=f"key {name}", prefix=f"p{name}"[:16], secret_hash=b"0", created_by="system")
