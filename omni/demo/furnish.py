"""Fill an empty copy with the demo: master data, stock by its real door, connections to the sandboxes, people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.utils import timezone

from integrations.keys import SCOPES, issue_key
from integrations.management.commands.sandbox import QIMEN_CONNECTION, SANDBOXES
from integrations.models import ApiKey, Connection
from inventory.models import (
    AllocationMethod,
    AllocationRun,
    Location,
    LocationGroup,
    RebalancePolicy,
    ShopPool,
)
from inventory.publish import plan_all_published_stock
from inventory.quota.apply import APPLY, apply_run, start_apply
from inventory.quota.define import QuotaWish, set_quota_rule
from inventory.quota.keep import SafetyWish, keep_safety
from inventory.quota.plan import PLAN, plan_allocation, start_allocation
from inventory.quota.promote import LockWish, plan_lock
from inventory.receive import StockReceipt, receive_stock
from omni.demo.goods import BRANDS, CATEGORIES, DemoSku, DemoSpu, demo_goods
from omni.kernel.jobs import claim_job, run_job
from omni.wiring import BUNDLE_OBJECTIONS
from orders.models import ReviewRule
from products.assortment.conditions import Wish
from products.assortment.define import RuleDraft, define_rule
from products.assortment.select import CatalogueDraft, define_catalogue
from products.compose import BundleDraft, ComponentDraft, define_bundles
from products.models import Barcode, Brand, Category, CategoryAttribute, Listing, Shop, Sku, Spu, StaffScope

BY = "demo"
OWNER_CODE = "OMNI"
OPTION = "option"
KEY_NAME = "Demo"

# name, kind, priority, conditions, shop
ASSORTMENT: tuple[tuple[str, str, int, dict[str, Any], str], ...] = (
    ("美妆上官网 Beauty for the web shop", "include", 100, {"category": "beauty"}, "webshop"),
    ("低价不上官网 Nothing cheap in the web shop", "exclude", 200, {"price_to": Decimal(59)}, "webshop"),
    ("家居给合作伙伴 Home for partners", "include", 100, {"category": "home"}, "partner-api"),
)
# code: name, channel, order policy
SHOPS = {
    "tmall": ("露米天猫旗舰店 Lumi on Tmall", "top", Shop.OrderPolicy.FACT),
    "webshop": ("品牌官网 Web shop", "medusa", Shop.OrderPolicy.FACT),
    "partner-api": ("合作伙伴 Partner API", "api", Shop.OrderPolicy.REQUEST),
}
# Which part of the shared pool each shop is shown: together more than there is, because reservation keeps the promise.
PUBLISH_RATIOS = {"tmall": "0.9", "webshop": "0.5", "partner-api": "1"}
# shop, mode, brand or category (empty: every SKU), what else the rule says
QUOTA_RULES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("tmall", "shared", "", {"publish_ratio": Decimal("0.9")}),
    ("webshop", "shared", "", {"publish_ratio": Decimal("0.5")}),
    ("partner-api", "shared", "", {}),
    ("tmall", "lock_share", "NH", {"quota_ratio": Decimal("0.3"), "minimum": 5, "priority": 10}),
    (
        "webshop",
        "lock_share",
        "NH",
        {"quota_ratio": Decimal("0.2"), "publish_ratio": Decimal("0.5"), "minimum": 3},
    ),
    (
        "partner-api",
        "exclusive",
        "lighting",
        {"quota_ratio": Decimal("0.15"), "maximum": 60, "priority": 200},
    ),
)
QUOTA_BRAND = "NH"
PROMOTED = {"KY-054-01": 20, "KY-055-01": 30, "KY-059-01": 25}
PROMOTION_LASTS = timedelta(days=21)
# As channels write them; the branch serves the south, the central warehouse all others.
SOUTH = ["广东省", "广西壮族自治区", "海南省", "福建省", "湖南省", "江西省", "贵州省", "云南省"]
NORTH = [
    *(
        "北京",
        "天津",
        "河北省",
        "山西省",
        "内蒙古自治区",
        "辽宁省",
        "吉林省",
        "黑龙江省",
        "上海",
        "江苏省",
        "浙江省",
    ),
    *("安徽省", "山东省", "河南省", "湖北省", "重庆", "四川省", "西藏自治区", "陕西省", "甘肃省", "青海省"),
    *("宁夏回族自治区", "新疆维吾尔自治区"),
]
QIMEN_CREDENTIALS = {"app_key": "qimen-app", "secret": "qimen-secret", "customer_id": "omni"}
TOP_CREDENTIALS = {"app_key": "12345678", "secret": "helloworld", "session": "test"}

# login: (group, superuser, rooms whose rows may be changed, rooms whose rows may be seen)
ROOMS = ("products", "inventory", "orders", "integrations", "kernel")
PEOPLE = {
    "admin": ("", True, (), ()),
    "manager": ("Management", False, ROOMS[:-1], ROOMS),
    "ops": ("Operations", False, ("orders",), ROOMS[:-1]),
}
# Whoever manages approves what others ask for; nobody but the superuser approves what they asked for themselves.
DECISIONS = {"Management": ("approve_price", "approve_listing")}

RULES: tuple[tuple[str, str, list[dict[str, Any]]], ...] = (
    (
        "金额大于 5000 Large amount",
        ReviewRule.Action.HOLD,
        [{"field": "total_amount", "operator": "gt", "value": "5000"}],
    ),
    (
        "卖家有备注 Seller's memo",
        ReviewRule.Action.HOLD,
        [{"field": "seller_memo", "operator": "is_not_empty"}],
    ),
    (
        "买家留言要改单 Buyer wants a change",
        ReviewRule.Action.HOLD,
        [{"field": "buyer_message", "operator": "contains", "value": "改"}],
    ),
    (
        "件数异常 Unusual number of units",
        ReviewRule.Action.HOLD,
        [{"field": "unit_count", "operator": "gt", "value": "20"}],
    ),
    ("其余自动通过 Everything else passes", ReviewRule.Action.APPROVE, []),
)


@dataclass(slots=True)
class Furnished:
    """What there is now. `api_key` only when it was made just now: it cannot be shown again."""

    is_new: bool
    counts: dict[str, int] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)
    api_key: str = ""


@transaction.atomic
def furnish_demo(*, port: int, folder: Path, at: datetime) -> Furnished:
    """Make the demo's rows that are missing, point its connections at this copy's ports, write the sandboxes' files.

    Rows that exist stay as they are, also where somebody has changed them; so a second call changes nothing. Stock
    is received once.
    """
    goods = demo_goods()
    is_new = not Sku.objects.filter(code=goods[0].skus[0].code).exists()
    if is_new:
        _make_products(goods)
        _make_bundles(goods, at)
        shops, places = _make_shops(), _make_places()
        _make_listings(goods, shops["tmall"])
        _make_stock(goods, shops, places, at)
        _make_quotas(shops, places["SHA"].group, at)
        _make_rules()
        _make_assortment(shops, at)
    people = _make_people(is_new=is_new)
    _connect(port=port, at=at)
    _write_files(goods, folder)
    found = Furnished(is_new=is_new, logins=people, counts=_count())
    if not ApiKey.objects.filter(name=KEY_NAME).exists():
        found.api_key = issue_key(name=KEY_NAME, scopes=sorted(SCOPES), at=at, by=BY).text
    return found


def _count() -> dict[str, int]:
    return {
        "brands": Brand.objects.count(),
        "products": Spu.objects.count(),
        "skus": Sku.objects.count(),
        "shops": Shop.objects.count(),
        "locations": Location.objects.count(),
        "connections": Connection.objects.count(),
    }


# --- products -----------------------------------------------------------------------------------------------


def _make_products(goods: list[DemoSpu]) -> None:
    Brand.objects.bulk_create(Brand(code=code, name=name) for code, name in BRANDS.items())
    brands = dict(Brand.objects.values_list("code", "pk"))
    categories: dict[str, Category] = {}
    for code, name, above in CATEGORIES:
        parent = categories.get(above)
        path = f"{parent.path if parent else ''}{code}/"
        categories[code] = Category.objects.create(code=code, name=name, parent=parent, path=path)
    _make_templates(goods, categories)
    Spu.objects.bulk_create(
        Spu(code=spu.code, name=spu.name, brand_id=brands[spu.brand], category=categories[spu.category])
        for spu in goods
    )
    spus = dict(Spu.objects.values_list("code", "pk"))
    Sku.objects.bulk_create(
        Sku(
            code=sku.code,
            name=sku.name,
            spu_id=spus[spu.code],
            attributes={OPTION: sku.option_code},
            list_price=sku.price,
            weight_grams=sku.weight_grams,
        )
        for spu in goods
        for sku in spu.skus
    )
    skus = _sku_ids()
    Barcode.objects.bulk_create(
        Barcode(code=sku.barcode, sku_id=skus[sku.code]) for spu in goods for sku in spu.skus
    )


def _make_bundles(goods: list[DemoSpu], at: datetime) -> None:
    skus = _sku_ids()
    drafts = [
        BundleDraft(skus[sku.code], [ComponentDraft(skus[code], units) for code, units in sku.inside])
        for spu in goods
        for sku in spu.skus
        if sku.inside
    ]
    define_bundles(bundles=drafts, objections=BUNDLE_OBJECTIONS, reason="demo", at=at, by=BY)


def _make_templates(goods: list[DemoSpu], categories: dict[str, Category]) -> None:
    """What tells the SKUs of a category apart: everything that its products differ in."""
    options: dict[str, dict[str, str]] = {}
    for spu in goods:
        options.setdefault(spu.category, {}).update({sku.option_code: sku.option for sku in spu.skus})
    CategoryAttribute.objects.bulk_create(
        CategoryAttribute(
            category=categories[category],
            code=OPTION,
            name="规格 Option",
            kind=CategoryAttribute.Kind.CHOICE,
            is_variant=True,
            options=[{"code": code, "name": name} for code, name in named.items()],
        )
        for category, named in options.items()
    )


def _sku_ids() -> dict[str, int]:
    return dict(Sku.objects.values_list("code", "pk"))


def _make_shops() -> dict[str, Shop]:
    return {
        code: Shop.objects.create(code=code, name=name, channel=channel, order_policy=policy)
        for code, (name, channel, policy) in SHOPS.items()
    }


def _make_listings(goods: list[DemoSpu], shop: Shop) -> None:
    skus = _sku_ids()
    Listing.objects.bulk_create(
        Listing(
            shop=shop,
            sku_id=skus[sku.code],
            outer_item_id=sku.outer_item_id,
            outer_sku_id=sku.outer_sku_id,
            price=sku.price,
        )
        for spu in goods
        for sku in spu.skus
    )


def _make_assortment(shops: dict[str, Shop], at: datetime) -> None:
    """What partners may sell, and what shops are meant to sell; nothing of it is worked out or applied yet."""
    categories = dict(Category.objects.values_list("code", "pk"))
    partner = shops["partner-api"].pk
    catalogue = CatalogueDraft(
        code="partner",
        name="合作伙伴目录 Partner catalogue",
        wish=Wish(category_id=categories["home"]),
        shop_ids=[partner],
    )
    define_catalogue(draft=catalogue, at=at, by=BY)
    for name, kind, priority, wish, shop in ASSORTMENT:
        asked = {key: value for key, value in wish.items() if key != "category"}
        if "category" in wish:
            asked["category_id"] = categories[wish["category"]]
        draft = RuleDraft(
            name=name,
            kind=kind,
            priority=priority,
            wish=Wish(**asked),
            shop_ids=[shops[shop].pk],
        )
        define_rule(draft=draft, at=at, by=BY)


# --- stock --------------------------------------------------------------------------------------------------


def _make_places() -> dict[str, Location]:
    online = LocationGroup.objects.create(code="ecom-cn", name="电商仓群 E-commerce")
    stores = LocationGroup.objects.create(code="stores", name="门店 Stores")
    kinds = Location.Kind
    rows: tuple[tuple[str, str, str, LocationGroup, str, str, list[str], int, bool], ...] = (
        ("SHA", "上海中心仓 Shanghai", kinds.CENTRAL, online, "上海", "上海市", NORTH, 10, True),
        ("CAN", "广州分仓 Guangzhou", kinds.BRANCH, online, "广东省", "广州市", SOUTH, 20, True),
        ("CTU-1", "成都太古里店 Chengdu store", kinds.STORE, stores, "四川省", "成都市", [], 50, False),
    )
    return {
        code: Location.objects.create(
            code=code,
            name=name,
            kind=kind,
            group=group,
            province=province,
            city=city,
            serves_provinces=serves,
            priority=priority,
            ships_online=ships_online,
        )
        for code, name, kind, group, province, city, serves, priority, ships_online in rows
    }


def _make_stock(
    goods: list[DemoSpu], shops: dict[str, Shop], places: dict[str, Location], at: datetime
) -> None:
    """Stock enters by the door by which it really comes; safety targets first, so that receipts fill them."""
    skus = _sku_ids()
    online = places["SHA"].group
    every = [sku for spu in goods for sku in spu.skus if not sku.inside]
    central = places["SHA"].pk
    wishes = [SafetyWish(skus[sku.code], sku.safety, location_id=central) for sku in every if sku.safety]
    keep_safety(wishes=wishes, at=at, by=BY, reason="demo")
    shares: dict[str, Callable[[DemoSku], int]] = {
        "SHA": lambda sku: sku.central,
        "CAN": lambda sku: sku.branch,
        "CTU-1": lambda sku: sku.store,
    }
    for code, share in shares.items():
        receipts = [
            StockReceipt(location_id=places[code].pk, sku_id=skus[sku.code], quantity=share(sku))
            for sku in every
        ]
        receive_stock(key=f"demo:opening:{code}", receipts=receipts, reason="demo", at=at, by=BY)
    ShopPool.objects.bulk_create(
        ShopPool(shop=shops[code], group=online, publish_ratio=ratio)
        for code, ratio in PUBLISH_RATIOS.items()
    )
    plan_all_published_stock(at=at)


def _make_quotas(shops: dict[str, Shop], group: LocationGroup, at: datetime) -> None:
    """Every way of sharing at work: ratios for most, quotas and shares for one brand, a category sold by quota alone,
    and a promotion that runs.
    """
    brands = dict(Brand.objects.values_list("code", "pk"))
    categories = dict(Category.objects.values_list("code", "pk"))
    for shop, mode, scope, more in QUOTA_RULES:
        named: dict[str, Any] = {
            "brand_id": brands.get(scope) if scope in brands else None,
            "category_id": categories.get(scope) if scope in categories else None,
        }
        wish = QuotaWish(group_id=group.pk, shop_id=shops[shop].pk, mode=mode, **named, **more)
        set_quota_rule(wish=wish, at=at, by=BY, reason="demo")
    _grant(group, brands[QUOTA_BRAND], at)
    skus = _sku_ids()
    wish_lock = LockWish(
        code="CAMPING-1",
        name="露营季 Camping weeks",
        group_id=group.pk,
        shop_ids=[shops["tmall"].pk],
        starts_at=at,
        ends_at=at + PROMOTION_LASTS,
        units={skus[code]: units for code, units in PROMOTED.items()},
    )
    plan_lock(wish=wish_lock, reason="demo", at=at, by=BY)
    RebalancePolicy.objects.create(group=group)
    plan_all_published_stock(at=at)


def _grant(group: LocationGroup, brand_id: int, at: datetime) -> None:
    """The first allocation by ratio, worked out and applied as a worker would."""
    run = start_allocation(
        group_id=group.pk,
        method=AllocationMethod.RATIO.value,
        scope={"brand": brand_id},
        settings={},
        trigger=AllocationRun.Trigger.PERSON.value,
        reason="demo",
        at=at,
        by=BY,
    )
    works = {PLAN: plan_allocation, APPLY: apply_run}
    for start in (None, start_apply):
        if start is not None:
            run = start(run_id=run.pk, at=at, by=BY)
        job = claim_job(at=timezone.now(), job_id=run.job_id)
        if job is not None:
            run_job(job=job, works=works)


# --- rules and people ---------------------------------------------------------------------------------------


def _make_rules() -> None:
    ReviewRule.objects.bulk_create(
        ReviewRule(name=name, position=position * 10, action=action, conditions=conditions)
        for position, (name, action, conditions) in enumerate(RULES, 1)
    )


def _make_people(*, is_new: bool) -> dict[str, str]:
    """One login per role, its password the same word. Roles see what their rooms' permissions and scopes allow."""
    if is_new:
        for login, (group_name, is_superuser, changes, sees) in PEOPLE.items():
            if User.objects.filter(username=login).exists():
                continue
            user = User(username=login, is_staff=True, is_superuser=is_superuser)
            user.set_password(login)
            user.save()
            if group_name:
                user.groups.add(_make_group(group_name, changes, sees))
                scopes = [StaffScope(user=user, brand=brand) for brand in Brand.objects.order_by("pk")]
                scopes += [StaffScope(user=user, shop=shop) for shop in Shop.objects.order_by("pk")]
                StaffScope.objects.bulk_create(scopes)
    return {login: login for login in PEOPLE if User.objects.filter(username=login).exists()}


def _make_group(name: str, changes: Iterable[str], sees: Iterable[str]) -> Group:
    group, _made = Group.objects.get_or_create(name=name)
    seen = Permission.objects.filter(content_type__app_label__in=sees, codename__startswith="view_")
    changed = Permission.objects.filter(content_type__app_label__in=changes, codename__startswith="change_")
    decides = Permission.objects.filter(codename__in=DECISIONS.get(name, ()))
    group.permissions.set([*seen, *changed, *decides])
    return group


# --- connections --------------------------------------------------------------------------------------------


def _connect(*, port: int, at: datetime) -> None:
    """The addresses follow the port of this copy; everything else about a connection is set once."""
    top = f"http://127.0.0.1:{port + SANDBOXES['top'].port_offset}/router/rest"
    qimen = f"http://127.0.0.1:{port + SANDBOXES['qimen'].port_offset}/router/qimen/service"
    channel, warehouse = Connection.Kind.CHANNEL, Connection.Kind.WAREHOUSE
    rows: dict[str, tuple[str, dict[str, Any]]] = {
        "tmall": (
            top,
            {
                "kind": channel,
                "adapter": "top",
                "shop_code": "tmall",
                "credentials": TOP_CREDENTIALS,
                # The sandbox shows an order after ten seconds; the real TOP is given a minute.
                "settings": {"pull_lag_seconds": 12, "pull_every_seconds": 5},
            },
        ),
        "webshop": (
            "http://127.0.0.1:9000",
            {
                "kind": channel,
                "adapter": "medusa",
                "shop_code": "webshop",
                "credentials": {},
                "is_active": False,
            },
        ),
        QIMEN_CONNECTION: (qimen, _warehouse(warehouse, "SHA")),
        "qimen-guangzhou": (qimen, _warehouse(warehouse, "CAN")),
    }
    for code, (base_url, values) in rows.items():
        found = Connection.objects.filter(code=code).first()
        if found is None:
            shop_code, location_code = values.pop("shop_code", None), values.pop("location_code", None)
            Connection.objects.create(
                code=code,
                base_url=base_url,
                pulls_since=at,
                shop=Shop.objects.filter(code=shop_code).first() if shop_code else None,
                location=Location.objects.filter(code=location_code).first() if location_code else None,
                **values,
            )
        elif (
            found.base_url != base_url
            and found.base_url.startswith("http://127.0.0.1:")
            and values.get("is_active", True)
        ):
            found.base_url = base_url
            found.save(update_fields=["base_url"])


def _warehouse(kind: str, location_code: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "adapter": "qimen",
        "location_code": location_code,
        "credentials": QIMEN_CREDENTIALS,
        "settings": {
            "warehouse_code": location_code,
            "owner_code": OWNER_CODE,
            "order_carrier_default": "SF",
            "sender": {
                "name": "Omni Demo",
                "mobile": "13800000000",
                "province": "上海",
                "city": "上海市",
                "address": "演示路 1 号",
            },
        },
    }


def _write_files(goods: list[DemoSpu], folder: Path) -> None:
    """What the sandboxes begin with. The shop shows 0 of everything until Omni tells it otherwise; the warehouse
    holds what Omni has received.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A copy of yesterday does not know what has come into the demo since; its shop must not sell that.
    known = _sku_ids()
    goods = [spu for spu in goods if all(sku.code in known for sku in spu.skus)]
    catalogue = [
        {
            "num_iid": int(sku.outer_item_id),
            "sku_id": int(sku.outer_sku_id),
            "outer_iid": spu.code,
            "outer_sku_id": sku.code,
            "title": spu.name,
            "price": str(sku.price),
            "quantity": 0,
            "sku_properties_name": f"规格:{sku.option}",
        }
        for spu in goods
        for sku in spu.skus
    ]
    stock = [
        {"warehouseCode": code, "ownerCode": OWNER_CODE, "itemCode": sku.code, "quantity": quantity}
        for spu in goods
        for sku in spu.skus
        for code, quantity in (("SHA", sku.central), ("CAN", sku.branch))
        if not sku.inside
    ]
    for name, value in (("top", catalogue), ("qimen", stock)):
        text = json.dumps(value, ensure_ascii=False, indent=1)
        (folder / SANDBOXES[name].file_name).write_text(text, encoding="utf-8")
