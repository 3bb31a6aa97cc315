"""Allocations, promotion locks and units being taken back over the API: worked out, looked at, applied, undone."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.api.serializers import ReasonIn, SaidReasonIn
from inventory.models import (
    AllocationLine,
    AllocationMethod,
    AllocationRun,
    LocationGroup,
    PromotionLock,
    PromotionLockLine,
    Revocation,
)
from inventory.quota.apply import drop_run, start_apply, undo_run
from inventory.quota.plan import start_allocation
from inventory.quota.promote import LockWish, cancel_lock, change_lock, plan_lock
from inventory.quota.revoke import force_revocation
from omni.kernel.api.fields import Code, Moment, StrictSerializer, Text, Whole, many
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from omni.kernel.errors import NotAllowed
from omni.kernel.sentences import read_sentence
from products.api.scope import in_shops, visible_skus
from products.models import Brand, Category, Shop, Sku

SCOPES = {"read": "stock:read", "write": "stock:write"}
SKUS_MAX = 1000
UNITS_MAX = 1_000_000_000
ONE = "[0-9]{1,18}"


class NotAllOfIt(NotAllowed):
    """It concerns shops, or SKUs of theirs, that the caller does not see."""

    code = "not_all_of_it"


class AllocationRunOut(serializers.ModelSerializer[AllocationRun]):
    """`units_planned`: to be moved; `units_moved`: granted so far, with what has arrived from other shops."""

    group = serializers.CharField(source="group.code", read_only=True)
    reason = serializers.SerializerMethodField()

    class Meta:
        model = AllocationRun
        fields = (
            "id",
            "group",
            "method",
            "trigger",
            "state",
            "reason",
            "skus",
            "lines_planned",
            "units_planned",
            "units_moved",
            "created_by",
            "created_at",
            "applied_by",
            "applied_at",
            "undone_by",
            "undone_at",
        )
        read_only_fields = fields

    def get_reason(self, run: AllocationRun) -> str:
        return read_sentence(run.reason)


class AllocationLineOut(serializers.ModelSerializer[AllocationLine]):
    """One pool of one SKU: before, after and why. `shop` is null for pools that are no shop's."""

    sku = serializers.CharField(source="sku.code", read_only=True)
    shop = serializers.CharField(source="shop.code", default=None, read_only=True, allow_null=True)
    inputs = serializers.JSONField(read_only=True)
    reason = serializers.SerializerMethodField()
    outcome = serializers.SerializerMethodField()

    class Meta:
        model = AllocationLine
        fields = ("sku", "shop", "kind", "before", "after", "moved", "state", "inputs", "reason", "outcome")
        read_only_fields = fields

    def get_reason(self, line: AllocationLine) -> str:
        return read_sentence(line.reason)

    def get_outcome(self, line: AllocationLine) -> str:
        return read_sentence(line.outcome)


class TargetIn(StrictSerializer):
    """What the quota of a shop should hold."""

    sku = Code(max_length=64)
    shop = Code(max_length=32)
    units = Whole(min_value=0, max_value=UNITS_MAX)


class AllocationRunIn(StrictSerializer):
    """What is to be worked out. `skus`, `brand` or `category`: of which SKUs; none of them: all that lies in the group.

    `targets`: of the method `hand` alone. `days`: of the method `demand` alone, how long a quota should last.
    """

    group = Code(max_length=32)
    method = serializers.ChoiceField(choices=AllocationMethod.choices)
    skus = serializers.ListField(
        child=Code(max_length=64), required=False, allow_empty=False, max_length=SKUS_MAX
    )
    brand = Code(max_length=32, required=False)
    category = Code(max_length=32, required=False)
    targets = many(TargetIn, at_most=SKUS_MAX, required=False)
    days = Whole(min_value=1, max_value=365, required=False)
    reason = Text(max_length=200, default="", allow_blank=True)


class AllocationRunFilter(StrictFilterSet):
    group = filters.CharFilter("group__code", max_length=32)
    state = filters.ChoiceFilter(choices=AllocationRun.State.choices)
    method = filters.ChoiceFilter(choices=AllocationMethod.choices)
    trigger = filters.ChoiceFilter(choices=AllocationRun.Trigger.choices)


class AllocationRunView(ReadingView):
    """What units should be granted to whom: worked out in the background, looked at, then applied or dropped.

    Whoever may see some shops alone reads the lines of these; runs move units between shops and are for those who see
    all of them.
    """

    scopes = SCOPES
    serializer_class = AllocationRunOut
    filterset_class = AllocationRunFilter
    lookup_value_regex = ONE
    queryset = AllocationRun.objects.select_related("group")
    READING: ClassVar = frozenset({"list", "retrieve", "lines"})

    @property
    def staff_permission(self) -> str:
        is_reading = (self.action or "") in self.READING
        return "inventory.view_allocationrun" if is_reading else "inventory.change_allocationrun"

    def get_queryset(self) -> QuerySet[AllocationRun]:
        mine = in_shops(self.request)
        if not mine:
            return self.queryset
        return self.queryset.filter(Exists(AllocationLine.objects.filter(mine, run=OuterRef("pk"))))

    @extend_schema(
        operation_id="allocation_runs_create",
        request=AllocationRunIn,
        parameters=[PARAMETER],
        responses={201: AllocationRunOut},
    )
    def create(self, request: Request) -> Response:
        """Have it worked out. Nothing is moved; the run's state says when it can be looked at."""
        body = READ_RUN.run_validation(request.data)
        _refuse_limited(request)
        group_id = _find(LocationGroup.objects.all(), [body["group"]], "group")[body["group"]]
        scope, settings = _scope_of(request, body), _settings_of(request, body)

        def start() -> Answer:
            run = start_allocation(
                group_id=group_id,
                method=body["method"],
                scope=scope,
                settings=settings,
                trigger=AllocationRun.Trigger.PERSON.value,
                reason=body["reason"],
                at=timezone.now(),
                by=actor_of(request),
            )
            return Answer(201, self._said(run.pk), {"Location": f"/api/v1/allocation-runs/{run.pk}"})

        return answer_once(request, start)

    @extend_schema(
        operation_id="allocation_runs_apply",
        request=ReasonIn,
        parameters=[PARAMETER],
        responses={200: AllocationRunOut},
    )
    @action(detail=True, methods=["post"])
    def apply(self, request: Request, pk: str) -> Response:
        """Have it done, as far as units are still free. A run is applied once."""
        READ_REASON.run_validation(request.data or {})
        return self._act(request, lambda run_id, by: start_apply(run_id=run_id, at=timezone.now(), by=by))

    @extend_schema(
        operation_id="allocation_runs_drop",
        request=ReasonIn,
        parameters=[PARAMETER],
        responses={200: AllocationRunOut},
    )
    @action(detail=True, methods=["post"])
    def drop(self, request: Request, pk: str) -> Response:
        """Do nothing of it."""
        reason = READ_REASON.run_validation(request.data or {})["reason"]
        return self._act(
            request,
            lambda run_id, by: drop_run(run_id=run_id, reason=reason, at=timezone.now(), by=by),
        )

    @extend_schema(
        operation_id="allocation_runs_undo",
        request=ReasonIn,
        parameters=[PARAMETER],
        responses={200: AllocationRunOut},
    )
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Have the inverse done of what is still free; its lines say what could not be undone."""
        reason = READ_REASON.run_validation(request.data or {})["reason"]
        return self._act(
            request,
            lambda run_id, by: undo_run(run_id=run_id, reason=reason, at=timezone.now(), by=by),
        )

    @extend_schema(
        operation_id="allocation_runs_lines",
        responses={200: AllocationLineOut(many=True)},
        filters=False,
    )
    @action(detail=True, methods=["get"], filterset_class=None)
    def lines(self, request: Request, pk: str) -> Response:
        """Line by line what would change, or did, and why."""
        rows = AllocationLine.objects.filter(in_shops(request), run=self.get_object())
        page = self.paginate_queryset(rows.select_related("sku", "shop"))
        return self.get_paginated_response(AllocationLineOut(page, many=True).data)

    def _act(self, request: Request, act: Any) -> Response:
        run = self.get_object()
        _refuse_limited(request)

        def once() -> Answer:
            act(run.pk, actor_of(request))
            return Answer(200, self._said(run.pk))

        return answer_once(request, once)

    def _said(self, pk: int) -> dict[str, Any]:
        return dict(AllocationRunOut(self.queryset.get(pk=pk)).data)


def _scope_of(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    if "skus" in body:
        found = _find(Sku.objects.filter(visible_skus(request)), body["skus"], "skus")
        scope["skus"] = sorted(found.values())
    if "brand" in body:
        scope["brand"] = _find(Brand.objects.all(), [body["brand"]], "brand")[body["brand"]]
    if "category" in body:
        scope["category"] = _find(Category.objects.all(), [body["category"]], "category")[body["category"]]
    return scope


def _settings_of(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "days" in body:
        settings["days"] = body["days"]
    if "targets" in body:
        targets = body["targets"]
        skus = _find(
            Sku.objects.filter(visible_skus(request)), [target["sku"] for target in targets], "targets"
        )
        shops = _find(Shop.objects.all(), [target["shop"] for target in targets], "targets")
        settings["targets"] = [
            [skus[target["sku"]], shops[target["shop"]], target["units"]] for target in targets
        ]
    return settings


# Promotion locks ----------------------------------------------------------------------------------------------


class LockLineOut(serializers.ModelSerializer[PromotionLockLine]):
    """Units wanted, set aside so far, and given back at the end."""

    sku = serializers.CharField(source="sku.code", read_only=True)

    class Meta:
        model = PromotionLockLine
        fields = ("sku", "quantity", "granted", "returned")
        read_only_fields = fields


class PromotionLockOut(serializers.ModelSerializer[PromotionLock]):
    """`shops`: those that the caller may see."""

    group = serializers.CharField(source="group.code", read_only=True)
    shops = serializers.SerializerMethodField()

    class Meta:
        model = PromotionLock
        fields = (
            "code",
            "name",
            "group",
            "shops",
            "mode",
            "starts_at",
            "ends_at",
            "state",
            "created_by",
            "created_at",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_shops(self, lock: PromotionLock) -> list[str]:
        return [shop.code for shop in lock.shops.all()]


class LockLineIn(StrictSerializer):
    sku = Code(max_length=64)
    quantity = Whole(min_value=1, max_value=UNITS_MAX)


class PromotionLockIn(StrictSerializer):
    """A promotion. The same code again changes the one that is there."""

    code = Code(max_length=32)
    name = Text(max_length=120)
    group = Code(max_length=32)
    shops = serializers.ListField(child=Code(max_length=32), allow_empty=False, max_length=200)
    mode = serializers.ChoiceField(
        choices=PromotionLock.Mode.choices, default=PromotionLock.Mode.LOCK_SHARE.value
    )
    starts_at = Moment()
    ends_at = Moment()
    lines = many(LockLineIn, at_most=SKUS_MAX)
    reason = Text(max_length=200, default="", allow_blank=True)


class PromotionLockFilter(StrictFilterSet):
    group = filters.CharFilter("group__code", max_length=32)
    state = filters.ChoiceFilter(choices=PromotionLock.State.choices)


class PromotionLockView(ReadingView):
    """Units set aside for a promotion, from its start to its end."""

    scopes = SCOPES
    serializer_class = PromotionLockOut
    filterset_class = PromotionLockFilter
    lookup_field = "code"
    queryset = PromotionLock.objects.select_related("group")
    READING: ClassVar = frozenset({"list", "retrieve", "lines"})

    @property
    def staff_permission(self) -> str:
        is_reading = (self.action or "") in self.READING
        return "inventory.view_promotionlock" if is_reading else "inventory.change_promotionlock"

    def get_queryset(self) -> QuerySet[PromotionLock]:
        shown = Prefetch("shops", Shop.objects.filter(in_shops(self.request, "pk")).order_by("code"))
        return self.queryset.filter(_of_shops(self.request)).prefetch_related(shown)

    @extend_schema(
        operation_id="promotion_locks_save",
        request=PromotionLockIn,
        parameters=[PARAMETER],
        responses={201: PromotionLockOut, 200: PromotionLockOut},
    )
    def create(self, request: Request) -> Response:
        """Plan a promotion, or change the one with this code."""
        body = READ_LOCK.run_validation(request.data)
        lines = body["lines"]
        skus = _find(Sku.objects.filter(visible_skus(request)), [line["sku"] for line in lines], "lines")
        if len(skus) < len(lines):
            raise ValidationError({"lines": [_("Name each SKU once.")]})
        shops = _find(Shop.objects.filter(in_shops(request, "pk")), body["shops"], "shops")
        wish = LockWish(
            code=body["code"],
            name=body["name"],
            group_id=_find(LocationGroup.objects.all(), [body["group"]], "group")[body["group"]],
            shop_ids=list(shops.values()),
            mode=body["mode"],
            starts_at=body["starts_at"],
            ends_at=body["ends_at"],
            units={skus[line["sku"]]: line["quantity"] for line in lines},
        )

        def act() -> Answer:
            how: Any = {"wish": wish, "reason": body["reason"], "at": timezone.now(), "by": actor_of(request)}
            found = PromotionLock.objects.filter(code=wish.code).first()
            if found is None:
                plan_lock(**how)
                return Answer(
                    201, self._said(wish.code), {"Location": f"/api/v1/promotion-locks/{wish.code}"}
                )
            _refuse_hidden(request, found)
            change_lock(lock_id=found.pk, **how)
            return Answer(200, self._said(wish.code))

        return answer_once(request, act)

    @extend_schema(
        operation_id="promotion_locks_cancel",
        request=ReasonIn,
        parameters=[PARAMETER],
        responses={200: PromotionLockOut},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, code: str) -> Response:
        """End it now; what is unsold goes back when the channels know."""
        reason = READ_REASON.run_validation(request.data or {})["reason"]
        lock = self.get_object()
        _refuse_hidden(request, lock)

        def act() -> Answer:
            cancel_lock(lock_id=lock.pk, reason=reason, at=timezone.now(), by=actor_of(request))
            return Answer(200, self._said(lock.code))

        return answer_once(request, act)

    @extend_schema(
        operation_id="promotion_locks_lines", responses={200: LockLineOut(many=True)}, filters=False
    )
    @action(detail=True, methods=["get"], filterset_class=None)
    def lines(self, request: Request, code: str) -> Response:
        """Its SKUs: what is wanted, set aside and given back."""
        rows = PromotionLockLine.objects.filter(visible_skus(request, "sku"), lock=self.get_object())
        page = self.paginate_queryset(rows.select_related("sku"))
        return self.get_paginated_response(LockLineOut(page, many=True).data)

    def _said(self, code: str) -> dict[str, Any]:
        return dict(PromotionLockOut(self.get_queryset().get(code=code)).data)


# Units being taken back ---------------------------------------------------------------------------------------


class RevocationOut(serializers.ModelSerializer[Revocation]):
    """Units on their way from a shop: `telling` its channel, `pulling` its orders once more, then done."""

    group = serializers.CharField(source="group.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True)
    shop = serializers.CharField(source="shop.code", read_only=True)
    run = serializers.IntegerField(source="run_id", read_only=True, allow_null=True)
    reason = serializers.SerializerMethodField()

    class Meta:
        model = Revocation
        fields = (
            "id",
            "group",
            "sku",
            "shop",
            "quantity",
            "arrived",
            "from_kind",
            "to_kind",
            "run",
            "state",
            "started_at",
            "acked_at",
            "ended_at",
            "reason",
            "by",
        )
        read_only_fields = fields

    def get_reason(self, revocation: Revocation) -> str:
        return read_sentence(revocation.reason)


class RevocationFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("sku__code", max_length=64)
    state = filters.ChoiceFilter(choices=Revocation.State.choices)


class RevocationView(ReadingView):
    """Units that are being taken back from shops: nobody else has them until the channel cannot sell them any more."""

    scopes = SCOPES
    serializer_class = RevocationOut
    filterset_class = RevocationFilter
    lookup_value_regex = ONE
    queryset = Revocation.objects.select_related("group", "sku", "shop")

    @property
    def staff_permission(self) -> str:
        return "inventory.change_revocation" if self.action == "force" else "inventory.view_revocation"

    def get_queryset(self) -> QuerySet[Revocation]:
        return self.queryset.filter(in_shops(self.request))

    @extend_schema(
        operation_id="revocations_force",
        request=SaidReasonIn,
        parameters=[PARAMETER],
        responses={200: RevocationOut},
    )
    @action(detail=True, methods=["post"])
    def force(self, request: Request, pk: str) -> Response:
        """Let the units go on without the channel. It may sell what it still shows: say why that is right."""
        reason = READ_WHY.run_validation(request.data)["reason"]
        found = self.get_object()

        def act() -> Answer:
            force_revocation(revocation_id=found.pk, reason=reason, at=timezone.now(), by=actor_of(request))
            return Answer(200, dict(RevocationOut(self.queryset.get(pk=found.pk)).data))

        return answer_once(request, act)


def _find(rows: QuerySet[Any], codes: list[str], field: str) -> dict[str, int]:
    """The ids by code. What the caller may not see is as unknown as what is not there."""
    found = dict(rows.filter(code__in=set(codes)).values_list("code", "pk"))
    if missing := sorted(set(codes) - set(found)):
        raise ValidationError({field: [_("There is no “%s”.") % code for code in missing[:20]]})
    return found


def _of_shops(request: Request) -> Q:
    mine = in_shops(request, "shop")
    through = PromotionLock.shops.through.objects
    return Q(Exists(through.filter(mine, promotionlock=OuterRef("pk")))) if mine else Q()


def _refuse_limited(request: Request) -> None:
    if in_shops(request):
        raise NotAllOfIt(_("It moves units between shops, and you do not see all of them."))


def _refuse_hidden(request: Request, lock: PromotionLock) -> None:
    mine = in_shops(request, "pk")
    # Not by `lock.shops`: of that the caller's own were fetched alone.
    its_own = PromotionLock.shops.through.objects.filter(promotionlock=lock).values("shop")
    if mine and Shop.objects.filter(pk__in=its_own).exclude(mine).exists():
        raise NotAllOfIt(_("It concerns shops that you do not see."))


READ_RUN = AllocationRunIn()
READ_LOCK = PromotionLockIn()
READ_REASON = ReasonIn()
READ_WHY = SaidReasonIn()
