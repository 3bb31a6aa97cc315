"""Read and set how shops share, and ask why a shop may sell what it may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.api import filters, serializers
from inventory.availability import ShareFact, StockExplained, explain_stock
from inventory.models import LocationGroup, QuotaRule, ShopExposure
from inventory.quota.define import QuotaWish, end_quota_rule, set_quota_rule
from inventory.quota.matrix import rules_of
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import HouseView, ReadingView
from omni.kernel.errors import NotFound
from products.api.scope import in_shops, shop_of, visible_brands, visible_skus
from products.models import Brand, Category, Shop, Sku

SCOPES = {"read": "stock:read", "write": "quotas:write"}


class UnknownSku(NotFound):
    """There is no such SKU, or not for whoever asks: nobody learns which."""

    code = "unknown_sku"


class QuotaRuleView(ReadingView):
    """How shops share in the stock of a group."""

    scopes = SCOPES
    serializer_class = serializers.QuotaRuleOut
    filterset_class = filters.QuotaRuleFilter
    lookup_value_regex = r"[0-9]{1,18}"
    queryset = QuotaRule.objects.select_related("group", "shop", "sku", "category", "brand")

    @property
    def staff_permission(self) -> str:
        return "inventory.view_quotarule" if self.request.method == "GET" else "inventory.change_quotarule"

    def get_queryset(self) -> QuerySet[QuotaRule]:
        return self.queryset.filter(in_shops(self.request))

    @extend_schema(
        operation_id="quota_rules_set",
        request=serializers.QuotaRuleIn,
        parameters=[PARAMETER],
        responses=serializers.QuotaRuleOut,
    )
    def create(self, request: Request) -> Response:
        """Make it the rule of its scope. What the shop shows changes at once; units move only by an allocation."""
        body = serializers.QuotaRuleIn(data=request.data)
        body.is_valid(raise_exception=True)
        given: dict[str, Any] = body.validated_data
        wish = QuotaWish(
            group_id=_group(given["group"]).pk,
            shop_id=shop_of(request, given["shop"]).pk,
            sku_id=_sku(request, given["sku"]).pk if given["sku"] else None,
            category_id=_category(given["category"]).pk if given["category"] else None,
            brand_id=_brand(request, given["brand"]).pk if given["brand"] else None,
            **{name: given[name] for name in _PLAIN},
        )

        def write() -> Answer:
            rule = set_quota_rule(wish=wish, at=timezone.now(), by=actor_of(request), reason=given["reason"])
            return Answer(200, self.get_serializer(self.queryset.get(pk=rule.pk)).data)

        return answer_once(request, write)

    @extend_schema(
        operation_id="quota_rules_end",
        request=serializers.SaidReasonIn,
        parameters=[PARAMETER],
        responses=serializers.QuotaRuleOut,
    )
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """Let it hold no longer: the next less specific rule does."""
        rule = self.get_object()
        body = serializers.SaidReasonIn(data=request.data)
        body.is_valid(raise_exception=True)

        def write() -> Answer:
            end_quota_rule(
                rule_id=rule.pk, at=timezone.now(), by=actor_of(request), reason=body.validated_data["reason"]
            )
            return Answer(200, self.get_serializer(self.queryset.get(pk=rule.pk)).data)

        return answer_once(request, write)


_PLAIN = (
    "mode",
    "quota_ratio",
    "publish_ratio",
    "minimum",
    "maximum",
    "service_level",
    "priority",
    "note",
)


class ShopExposureView(ReadingView):
    """Which part of a low shared pool each shop shows."""

    scopes = SCOPES
    staff_permission = "inventory.view_shopexposure"
    serializer_class = serializers.ShopExposureOut
    filterset_class = filters.ShopExposureFilter
    queryset = ShopExposure.objects.select_related("group", "shop", "sku")

    def get_queryset(self) -> QuerySet[ShopExposure]:
        return self.queryset.filter(in_shops(self.request))


class WhyStockView(HouseView):
    """Why each shop may sell as much of a SKU as it may: the sum, term by term."""

    scopes = SCOPES
    staff_permission = "inventory.view_skustock"

    @extend_schema(operation_id="stock_why", responses=serializers.WhyStockOut)
    def get(self, request: Request, sku: str) -> Response:
        found = Sku.objects.filter(visible_skus(request), code=sku).first() if "\x00" not in sku else None
        if found is None:
            raise UnknownSku(_("There is no SKU “%s”.") % sku)
        known = explain_stock(sku_id=found.pk)
        shops = dict(Shop.objects.filter(in_shops(request, "pk")).values_list("code", "pk"))
        rules = {shop_id: rule for (_group_id, shop_id, _sku_id), rule in rules_of([found.pk]).items()}
        codes = {share.shop_code for share in known.shares} | {part.shop_code for part in known.components}
        rows = [_why(known, code, rules.get(shops[code])) for code in sorted(codes & shops.keys())]
        return Response(serializers.WhyStockOut({"sku": found.code, "shops": rows}).data)


def _why(known: StockExplained, code: str, rule: Any) -> dict[str, Any]:
    shares = [share for share in known.shares if share.shop_code == code]
    parts = [part for part in known.components if part.shop_code == code]
    buffer = max((share.buffer for share in shares), default=0)
    caps = [share.maximum for share in shares if share.maximum is not None]
    total = max(sum(share.sellable for share in shares) - buffer, 0)
    if parts:
        total = min(part.bundles for part in parts)
    elif caps:
        total = min(total, *caps)
    return {
        "shop": code,
        "sellable": total,
        "buffer": buffer,
        "maximum": min(caps) if caps else None,
        "quota_rule": rule.rule_id if rule else None,
        "mode": rule.mode if rule else None,
        "pools": _pools(known, shares),
        "components": [
            {"sku": part.sku_code, "units": part.units, "sellable": part.sellable, "bundles": part.bundles}
            for part in parts
        ],
    }


def _pools(known: StockExplained, shares: Sequence[ShareFact]) -> list[dict[str, Any]]:
    pools = {pool.pool_id: pool for pool in known.pools}
    return [
        {
            "group": pools[share.pool_id].group_code,
            "kind": pools[share.pool_id].kind,
            "pool_label": pools[share.pool_id].label,
            "free": share.free,
            "owed": share.owed,
            "publish_ratio": share.publish_ratio,
            "is_divided": share.is_divided,
            "low_water": share.low_water,
            "part_from": share.part_from,
            "part_to": share.part_to,
            "shown": share.sellable,
        }
        for share in shares
        if share.pool_id in pools
    ]


def _group(code: str) -> LocationGroup:
    found = LocationGroup.objects.filter(code=code).first()
    if found is None:
        raise ValidationError({"group": [_("There is no location group “%s”.") % code]})
    return found


def _sku(request: Request, code: str) -> Sku:
    found = Sku.objects.filter(visible_skus(request), code=code).first()
    if found is None:
        raise ValidationError({"sku": [_("There is no SKU “%s”.") % code]})
    return found


def _category(code: str) -> Category:
    found = Category.objects.filter(code=code).first()
    if found is None:
        raise ValidationError({"category": [_("There is no category “%s”.") % code]})
    return found


def _brand(request: Request, code: str) -> Brand:
    brands, rows = visible_brands(request), Brand.objects.filter(code=code)
    found = (rows if brands is None else rows.filter(pk__in=brands)).first()
    if found is None:
        raise ValidationError({"brand": [_("There is no brand “%s”.") % code]})
    return found
