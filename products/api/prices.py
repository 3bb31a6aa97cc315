"""Ask what things cost and why; ask for prices, decide on them, take them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.fields import (
    Amount,
    Code,
    Moment,
    StrictSerializer,
    Text,
    Whole,
    YesNo,
    many,
    read_moment,
)
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import HouseView, ReadingView
from products.api.scope import in_shops, shop_of, visible_brands, visible_skus
from products.models import Price, Shop, Sku
from products.prices.ask import draft_prices, submit_prices
from products.prices.decide import approve_prices, reject_prices, withdraw_prices
from products.prices.faults import PriceDraft
from products.prices.outcome import PriceOutcome
from products.prices.states import PriceState
from products.prices.why import Candidate, Lost, Scope, scope_of_price, why_prices
from products.scope import whole_brand_ids

SKUS_MAX = 100
PRICES_MAX = 200
SCOPES = {"read": "prices:read", "write": "prices:write"}
APPROVING = {"read": "prices:read", "write": "prices:approve"}
PERMISSIONS = {"approve": "products.approve_price", "reject": "products.approve_price"}
SCOPE_CHOICES = [str(scope) for scope in Scope]
# What the operations say, as the status that it would have alone.
STATUS = {"not_found": 404, "unknown_sku": 404, "unknown_shop": 404, "own_price": 403, "foreign_shops": 403}


# --- what is said ---------------------------------------------------------------------------------------------


class PriceOut(serializers.ModelSerializer[Price]):
    """One price that somebody asked for. `scope`: the shop, its kind of channel, or everywhere."""

    sku = serializers.CharField(source="sku.code", read_only=True)
    shop = serializers.CharField(source="shop.code", default=None, read_only=True, allow_null=True)
    scope = serializers.SerializerMethodField()

    class Meta:
        model = Price
        fields = (
            "id",
            "sku",
            "scope",
            "shop",
            "channel",
            "kind",
            "amount",
            "currency",
            "starts_at",
            "ends_at",
            "state",
            "reason",
            "requested_by",
            "requested_at",
            "decided_by",
            "decided_at",
            "decision",
        )
        read_only_fields = fields

    def get_scope(self, price: Price) -> str:
        return str(scope_of_price(price))


class CandidateOut(serializers.Serializer[Any]):
    """A price that concerned the shop and the SKU. `price` null: it is the list price. `lost`: why it did not win."""

    amount = serializers.CharField()
    scope = serializers.ChoiceField(choices=SCOPE_CHOICES)
    lost = serializers.ChoiceField(choices=[str(lost) for lost in Lost], allow_null=True)
    price = PriceOut(allow_null=True)


class EffectiveOut(serializers.Serializer[Any]):
    """What a SKU costs in a shop at a moment. `amount` null: it has no price there. `next`: what begins later."""

    shop = serializers.CharField()
    sku = serializers.CharField()
    at = serializers.DateTimeField()
    amount = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    scope = serializers.ChoiceField(choices=SCOPE_CHOICES, allow_null=True)
    price = PriceOut(allow_null=True)
    beaten = CandidateOut(many=True)
    next = PriceOut(many=True)
    floor = serializers.CharField(allow_null=True)


class EffectiveListOut(serializers.Serializer[Any]):
    results = EffectiveOut(many=True)


class PriceLineOut(serializers.Serializer[Any]):
    """What came of one price. `status`: what it would be, alone; `id` null: nothing was written down."""

    id = serializers.IntegerField(allow_null=True)
    status = serializers.IntegerField()
    state = serializers.CharField()
    reason = serializers.CharField()
    detail = serializers.CharField()


class PriceLinesOut(serializers.Serializer[Any]):
    results = PriceLineOut(many=True)


# --- what is sent ---------------------------------------------------------------------------------------------


class PriceIn(StrictSerializer):
    sku = Code(max_length=64)
    shop = Code(max_length=32, required=False)
    channel = Code(max_length=32, required=False)
    kind = serializers.ChoiceField(choices=Price.Kind.choices, required=False)
    amount = Amount()
    currency = Code(max_length=3, required=False)
    starts_at = Moment(required=False)
    ends_at = Moment(required=False)


class PricesIn(StrictSerializer):
    prices = many(PriceIn, at_most=PRICES_MAX)
    reason = Text(max_length=200, required=False, allow_blank=True)
    is_draft = YesNo(required=False)


class IdsIn(StrictSerializer):
    ids = serializers.ListField(
        child=Whole(min_value=1, max_value=2**63 - 1), min_length=1, max_length=PRICES_MAX
    )


class DecisionIn(IdsIn):
    reason = Text(max_length=200, required=False, allow_blank=True)


class ReasonedIn(IdsIn):
    reason = Text(max_length=200)


class PriceFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("sku__code", max_length=64)
    state = filters.ChoiceFilter(choices=PriceState.choices)
    kind = filters.ChoiceFilter(choices=Price.Kind.choices)


# --- reading --------------------------------------------------------------------------------------------------


class EffectiveView(HouseView):
    """What SKUs cost in a shop, and why."""

    scopes = SCOPES
    staff_permission = "products.view_price"

    @extend_schema(
        operation_id="prices_effective",
        parameters=[
            OpenApiParameter("shop", str, required=True, description="The code of the shop."),
            OpenApiParameter("sku", str, required=True, description="SKU codes, separated by commas."),
            OpenApiParameter(
                "at", str, description="A moment with its zone; none: now. The past is told as it was."
            ),
        ],
        responses=EffectiveListOut,
    )
    def get(self, request: Request) -> Response:
        """The price of each SKU in the shop: which one won, who asked for and approved it, over which others."""
        given = _parameters(request)
        shop = shop_of(request, given["shop"])
        at = read_moment(given["at"]) if "at" in given else timezone.now()
        if at is None:
            raise ValidationError({"at": [_("A moment such as “2026-05-04T12:00:00+08:00”, with its zone.")]})
        codes = list(dict.fromkeys(code for code in given["sku"].split(",") if code))
        if not 0 < len(codes) <= SKUS_MAX:
            raise ValidationError({"sku": [_("Name 1 to %d SKUs.") % SKUS_MAX]})
        skus = {sku.code: sku for sku in Sku.objects.filter(visible_skus(request), code__in=codes)}
        missing = [code for code in codes if code not in skus]
        if missing:
            raise ValidationError({"sku": [_("There is no SKU “%s”.") % missing[0][:64]]})
        whys = why_prices(shop=shop, skus=[skus[code] for code in codes], at=at)
        for why in whys:
            for price in _prices_of(why):
                price.sku = why.sku
        rows = [
            {
                "shop": shop.code,
                "sku": why.sku.code,
                "at": at,
                "amount": _text(why.amount),
                "currency": why.currency,
                "scope": str(why.winner.scope) if why.winner else None,
                "price": why.winner.price if why.winner else None,
                "beaten": [_candidate(row) for row in why.beaten],
                "next": why.next,
                "floor": _text(why.floor.amount) if why.floor else None,
            }
            for why in whys
        ]
        return Response(EffectiveListOut({"results": rows}).data)


class PriceRequestView(ReadingView):
    """Prices that somebody asked for: drafts, those that wait for approval, approved, rejected and withdrawn."""

    serializer_class = PriceOut
    filterset_class = PriceFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Price.objects.select_related("sku", "shop")

    @property
    def scopes(self) -> Mapping[str, str]:
        return APPROVING if self.action in PERMISSIONS else SCOPES

    @property
    def staff_permission(self) -> str:
        if self.request.method == "GET":
            return "products.view_price"
        return PERMISSIONS.get(self.action, "products.change_price")

    def get_queryset(self) -> QuerySet[Price]:
        """Those of the caller's shops, and those that concern every shop for products of the caller's brands."""
        own = in_shops(self.request)
        if not own:
            return self.queryset
        brands = visible_brands(self.request)
        for_all = Q(shop=None) if brands is None else Q(shop=None, sku__spu__brand__in=brands)
        return self.queryset.filter(own | for_all)

    @extend_schema(
        operation_id="price_requests_create",
        request=PricesIn,
        parameters=[PARAMETER],
        responses={200: PriceLinesOut},
    )
    def create(self, request: Request) -> Response:
        """Ask for up to 200 prices; `is_draft`: they are only written down. Each is taken or refused for itself."""
        body = READ_PRICES.run_validation(request.data)

        def ask() -> Answer:
            return Answer(200, {"results": _ask(request, body)})

        return answer_once(request, ask)

    @extend_schema(
        operation_id="price_requests_submit",
        request=IdsIn,
        parameters=[PARAMETER],
        responses={200: PriceLinesOut},
    )
    @action(detail=False, methods=["post"])
    def submit(self, request: Request) -> Response:
        """Ask for the approval of drafts."""
        return self._act(request, READ_IDS, lambda ids, how: submit_prices(price_ids=ids, **how))

    @extend_schema(
        operation_id="price_requests_approve",
        request=DecisionIn,
        parameters=[PARAMETER],
        responses={200: PriceLinesOut},
    )
    @action(detail=False, methods=["post"])
    def approve(self, request: Request) -> Response:
        """Bring prices into force from their start on. Whoever asked for one does not approve it."""
        may_own = request.auth is None and request.user.has_perm("products.approve_own_price")
        return self._act(
            request,
            READ_DECISION,
            lambda ids, how: approve_prices(price_ids=ids, may_approve_own=may_own, **how),
        )

    @extend_schema(
        operation_id="price_requests_reject",
        request=ReasonedIn,
        parameters=[PARAMETER],
        responses={200: PriceLinesOut},
    )
    @action(detail=False, methods=["post"])
    def reject(self, request: Request) -> Response:
        """Refuse prices, with the reason that whoever asked will read."""
        return self._act(request, READ_REASONED, lambda ids, how: reject_prices(price_ids=ids, **how))

    @extend_schema(
        operation_id="price_requests_withdraw",
        request=ReasonedIn,
        parameters=[PARAMETER],
        responses={200: PriceLinesOut},
    )
    @action(detail=False, methods=["post"])
    def withdraw(self, request: Request) -> Response:
        """Take prices back. What is in force ends now and stays known as the price that it was."""
        return self._act(request, READ_REASONED, lambda ids, how: withdraw_prices(price_ids=ids, **how))

    def _act(
        self,
        request: Request,
        reads: StrictSerializer,
        act: Callable[[list[int], dict[str, Any]], list[PriceOutcome]],
    ) -> Response:
        """One result per id, in the order given; ids that the caller does not see are not there."""
        body = reads.run_validation(request.data)
        ids: list[int] = list(dict.fromkeys(body["ids"]))

        def decide() -> Answer:
            visible = self.get_queryset().filter(pk__in=ids).select_related("sku__spu", "shop")
            mine = {price.pk: price for price in visible if _concerns_only(request, price)}
            foreign = {price.pk for price in visible} - set(mine)
            how = {"at": timezone.now(), "by": actor_of(request)}
            if "reason" in reads.fields:
                how["reason"] = body.get("reason", "")
            told = {outcome.price_id: outcome for outcome in act(list(mine), how)}
            states = dict(Price.objects.filter(pk__in=mine).values_list("pk", "state"))
            return Answer(
                200, {"results": [_told(ident, told.get(ident), states, ident in foreign) for ident in ids]}
            )

        return answer_once(request, decide)


READ_PRICES, READ_IDS, READ_DECISION, READ_REASONED = PricesIn(), IdsIn(), DecisionIn(), ReasonedIn()


def _parameters(request: Request) -> dict[str, str]:
    """The parameters of the question; every other one is refused, and so is one that stands twice."""
    for name, values in request.query_params.lists():
        if name not in ("shop", "sku", "at", "format"):
            raise ValidationError({name: [_("There is no such parameter; there are: at, shop, sku.")]})
        if len(values) > 1:
            raise ValidationError({name: [_("Send it once, with commas between the codes.")]})
    for name in ("shop", "sku"):
        if not request.query_params.get(name):
            raise ValidationError({name: [_("This field is required.")]})
    return {name: str(value) for name, value in request.query_params.items()}


def _prices_of(why: Any) -> list[Price]:
    candidates = [*([why.winner] if why.winner else []), *why.beaten]
    return [*(row.price for row in candidates if row.price is not None), *why.next]


def _candidate(row: Candidate) -> dict[str, Any]:
    return {
        "amount": _text(row.amount),
        "scope": str(row.scope),
        "lost": str(row.lost) if row.lost else None,
        "price": row.price,
    }


def _text(amount: Any) -> str | None:
    return None if amount is None else f"{amount:f}"


# --- asking and deciding --------------------------------------------------------------------------------------


def _concerns_only(request: Request, price: Price) -> bool:
    """A price for more than one shop concerns shops that a limited caller does not see."""
    return price.shop_id is not None or _may_for_all(request, price.sku)


def _may_for_all(request: Request, sku: Sku) -> bool:
    key: Any = request.auth
    if key is not None:
        return not key.shop_ids
    whole = whole_brand_ids(request.user)
    return whole is None or sku.spu.brand_id in whole


def _ask(request: Request, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    at, by = timezone.now(), actor_of(request)
    named: Sequence[Mapping[str, Any]] = body["prices"]
    skus = Sku.objects.filter(visible_skus(request), code__in={row["sku"] for row in named})
    by_code = {sku.code: sku for sku in skus.select_related("spu")}
    shops = Shop.objects.filter(
        in_shops(request, "pk"), code__in={row.get("shop") for row in named}, is_active=True
    )
    shop_ids = dict(shops.values_list("code", "pk"))
    faults = [_fault(request, row, by_code, shop_ids) for row in named]
    drafts = [
        PriceDraft(
            by_code[row["sku"]].pk,
            row["amount"],
            row.get("starts_at", at),
            ends_at=row.get("ends_at"),
            shop_id=shop_ids.get(row.get("shop", "")),
            channel=row.get("channel", ""),
            kind=row.get("kind", Price.Kind.REGULAR),
            currency=row.get("currency", ""),
        )
        for row, fault in zip(named, faults, strict=True)
        if fault is None
    ]
    outcomes = draft_prices(drafts=drafts, reason=body.get("reason", ""), at=at, by=by)
    if not body.get("is_draft", False):
        ids = [outcome.price_id for outcome in outcomes if outcome.price_id is not None]
        submitted = {outcome.price_id: outcome for outcome in submit_prices(price_ids=ids, at=at, by=by)}
        outcomes = [submitted.get(outcome.price_id, outcome) for outcome in outcomes]
    states = dict(
        Price.objects.filter(pk__in=[outcome.price_id for outcome in outcomes]).values_list("pk", "state")
    )
    told = iter(outcomes)
    results = []
    for fault in faults:
        outcome = next(told) if fault is None else fault
        results.append(_told(outcome.price_id, outcome, states, False, made=201))
    return results


def _fault(
    request: Request, row: Mapping[str, Any], skus: Mapping[str, Sku], shops: Mapping[str, int]
) -> PriceOutcome | None:
    sku = skus.get(row["sku"])
    if sku is None:
        return PriceOutcome(None, False, "unknown_sku", _("There is no SKU “%s”.") % row["sku"])
    if "shop" in row and row["shop"] not in shops:
        return PriceOutcome(None, False, "unknown_shop", _("There is no shop “%s”.") % row["shop"])
    if "shop" not in row and not _may_for_all(request, sku):
        return PriceOutcome(
            None,
            False,
            "foreign_shops",
            _("Name a shop: a price for every shop concerns also those of others."),
        )
    return None


def _told(
    ident: int | None,
    outcome: PriceOutcome | None,
    states: Mapping[int, str],
    is_foreign: bool,
    *,
    made: int = 200,
) -> dict[str, Any]:
    if outcome is None:
        detail = _("It concerns shops that you do not see.") if is_foreign else _("There is no such price.")
        outcome = PriceOutcome(ident, False, "foreign_shops" if is_foreign else "not_found", detail)
    status = made if outcome.ok else STATUS.get(outcome.code, 409)
    return {
        "id": ident,
        "status": status,
        "state": states.get(ident or 0, ""),
        "reason": outcome.code,
        "detail": outcome.detail,
    }
