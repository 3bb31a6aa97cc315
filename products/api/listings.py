"""Listings over the API: read them, lead them through review, and have their channels asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.fields import Code, Moment, StrictSerializer, Text, many
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from omni.kernel.audit import changes_by
from omni.kernel.sentences import read_sentence
from products.api.acts import (
    ROWS_MAX,
    RowsIn,
    RowsOut,
    act_on_rows,
    reason_text,
    results_of,
    row_id,
    row_ids,
)
from products.api.scope import in_shops, visible_skus
from products.draft import (
    approve_listings,
    draft_listings,
    reject_listings,
    submit_listings,
    take_back_listings,
)
from products.models import Listing, ListingRequest, Shop, Sku
from products.request import publish_listings, withdraw_listings
from products.titles import shown_title
from products.update import TITLE_LENGTH, retitle_listings, update_listings

SCOPES = {"read": "products:read", "write": "products:write"}
APPROVING = {"read": "products:read", "write": "listings:approve"}
SHOPS_MAX = 50


class ListingOut(serializers.ModelSerializer[Listing]):
    """`title`: the shop's own; `shown_title`: what its channel should show, which without one is the master's name."""

    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="sku.code", read_only=True)
    currency = serializers.CharField(source="shop.currency", read_only=True)
    shown_title = serializers.SerializerMethodField()

    class Meta:
        model = Listing
        fields = (
            "id",
            "shop",
            "sku",
            "outer_item_id",
            "outer_sku_id",
            "title",
            "shown_title",
            "price",
            "currency",
            "state",
            "state_at",
            "state_reason",
            "created_at",
        )
        read_only_fields = fields

    def get_shown_title(self, listing: Listing) -> str:
        return shown_title(
            own=listing.title,
            has_skus=bool(listing.outer_sku_id),
            sku_name=listing.sku.name,
            product_name=listing.sku.spu.name,
        )


class ListingFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("sku__code", max_length=64)
    spu = filters.CharFilter("sku__spu__code", max_length=64)
    outer_item_id = filters.CharFilter("outer_item_id", max_length=64)
    outer_sku_id = filters.CharFilter("outer_sku_id", max_length=64)
    state = filters.ChoiceFilter(choices=Listing.State.choices)


class DraftIn(StrictSerializer):
    """Every one of these SKUs in every one of these shops."""

    shops = serializers.ListField(child=Code(max_length=32), allow_empty=False, max_length=SHOPS_MAX)
    skus = serializers.ListField(child=Code(max_length=64), allow_empty=False, max_length=ROWS_MAX)
    reason = reason_text()


class DraftedOut(serializers.Serializer[Any]):
    """The listings that were made. A SKU that a shop lists or drafts already, or does not hold, is none of them."""

    ids = serializers.ListField(child=serializers.IntegerField())


class RejectIn(StrictSerializer):
    ids = row_ids()
    reason = reason_text(required=True)


class WindowIn(StrictSerializer):
    """On sale from `starts_at` (none: now) to `ends_at` (none: until it is taken off)."""

    ids = row_ids()
    starts_at = Moment(required=False, allow_null=True, default=None)
    ends_at = Moment(required=False, allow_null=True, default=None)
    reason = reason_text()


class MomentIn(StrictSerializer):
    ids = row_ids()
    starts_at = Moment(required=False, allow_null=True, default=None)
    reason = reason_text()


class TitleIn(StrictSerializer):
    """Empty: the master's name, today's and every later one."""

    id = row_id()
    title = Text(max_length=TITLE_LENGTH, allow_blank=True)


class TitlesIn(StrictSerializer):
    titles = many(TitleIn, at_most=ROWS_MAX)
    reason = reason_text()


def _documented(name: str, reads: type[StrictSerializer], answers: Any = RowsOut) -> Callable[[Any], Any]:
    return extend_schema(
        operation_id=f"listings_{name}", request=reads, parameters=[PARAMETER], responses={200: answers}
    )


class ListingView(ReadingView):
    """What each shop offers, and which SKU it is."""

    serializer_class = ListingOut
    filterset_class = ListingFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Listing.objects.select_related("shop", "sku__spu")
    PERMISSIONS: ClassVar = {
        "list": "products.view_listing",
        "retrieve": "products.view_listing",
        "create": "products.add_listing",
        "approve": "products.approve_listing",
        "reject": "products.approve_listing",
    }

    @property
    def scopes(self) -> Mapping[str, str]:
        """Who asks for a listing need not be who approves it: that takes a scope of its own."""
        return APPROVING if self.action in ("approve", "reject") else SCOPES

    @property
    def staff_permission(self) -> str:
        return self.PERMISSIONS.get(self.action or "", "products.change_listing")

    def get_queryset(self) -> QuerySet[Listing]:
        return self.queryset.filter(in_shops(self.request))

    @_documented("draft", DraftIn, DraftedOut)
    def create(self, request: Request) -> Response:
        """Draft SKUs in shops. Nothing is on a channel before the draft is approved and has an item there."""
        body = READ_DRAFT.run_validation(request.data)
        shops = _found(Shop.objects.filter(in_shops(request, "pk"), is_active=True), body["shops"], "shops")
        skus = _found(Sku.objects.filter(visible_skus(request)), body["skus"], "skus")

        def draft() -> Answer:
            by = actor_of(request)
            with changes_by(by):
                made = draft_listings(
                    shop_ids=shops, sku_ids=skus, reason=body["reason"], at=timezone.now(), by=by
                )
            return Answer(200, {"ids": made})

        return answer_once(request, draft)

    @_documented("submit", RowsIn)
    @action(detail=False, methods=["post"])
    def submit(self, request: Request) -> Response:
        """Ask for approval of drafts and of what was rejected."""
        return self._move(request, READ_ROWS.run_validation(request.data), submit_listings)

    @_documented("approve", RowsIn)
    @action(detail=False, methods=["post"])
    def approve(self, request: Request) -> Response:
        """Say that these may go onto their channels."""
        body = READ_ROWS.run_validation(request.data)
        return self._move(request, body, approve_listings, reason=body["reason"])

    @_documented("reject", RejectIn)
    @action(detail=False, methods=["post"])
    def reject(self, request: Request) -> Response:
        """Say that these may not, and why."""
        body = READ_REJECT.run_validation(request.data)
        return self._move(request, body, reject_listings, reason=body["reason"])

    @_documented("take_back", RowsIn)
    @action(detail=False, methods=["post"], url_path="take-back")
    def take_back(self, request: Request) -> Response:
        """Make drafts again of what was submitted, rejected or approved."""
        return self._move(request, READ_ROWS.run_validation(request.data), take_back_listings)

    @_documented("publish", WindowIn)
    @action(detail=False, methods=["post"])
    def publish(self, request: Request) -> Response:
        """Have the channels put these on sale, now or for a window; what came of each stands in `listing-requests`."""
        body = READ_WINDOW.run_validation(request.data)
        return self._ask(
            request, body, publish_listings, starts_at=body["starts_at"], ends_at=body["ends_at"]
        )

    @_documented("withdraw", MomentIn)
    @action(detail=False, methods=["post"])
    def withdraw(self, request: Request) -> Response:
        """Have the channels take these off sale, now or at a moment."""
        body = READ_MOMENT.run_validation(request.data)
        return self._ask(request, body, withdraw_listings, starts_at=body["starts_at"])

    @_documented("update", RowsIn)
    @action(detail=False, methods=["post"], url_path="update")
    def update_items(self, request: Request) -> Response:
        """Have the channels call the items of these as we do, also where they said that they do."""
        return self._ask(request, READ_ROWS.run_validation(request.data), update_listings)

    @_documented("retitle", TitlesIn)
    @action(detail=False, methods=["post"])
    def retitle(self, request: Request) -> Response:
        """Say what shops call their items: all listings of an item share its title, and its channel is told."""
        body = READ_TITLES.run_validation(request.data)
        titles = {line["id"]: line["title"] for line in body["titles"]}

        def act(ids: list[int], by: str) -> tuple[object, Any]:
            wanted = {ident: titles[ident] for ident in ids}
            came = retitle_listings(titles=wanted, reason=body["reason"], at=timezone.now(), by=by)
            return None, {ident: (row.ok, row.detail) for ident, row in came.items()}

        return act_on_rows(request, ids=list(titles), visible=self.get_queryset(), act=act)

    def _move(self, request: Request, body: dict[str, Any], move: Callable[..., Any], **how: Any) -> Response:
        def act(ids: list[int], by: str) -> tuple[object, Any]:
            moved = move(listing_ids=ids, at=timezone.now(), by=by, **how)
            return None, results_of(moved, "listing_id")

        return act_on_rows(request, ids=body["ids"], visible=self.get_queryset(), act=act)

    def _ask(self, request: Request, body: dict[str, Any], ask: Callable[..., Any], **how: Any) -> Response:
        def act(ids: list[int], by: str) -> tuple[object, Any]:
            batch, asked = ask(listing_ids=ids, reason=body["reason"], at=timezone.now(), by=by, **how)
            return batch, results_of(asked, "listing_id")

        return act_on_rows(request, ids=body["ids"], visible=self.get_queryset(), act=act)


class ListingRequestOut(serializers.ModelSerializer[ListingRequest]):
    """What a channel was asked about one listing, and what it said. `content`: the title that was sent."""

    listing = serializers.IntegerField(source="listing_id", read_only=True)
    shop = serializers.CharField(source="shop.code", read_only=True)
    sku = serializers.CharField(source="listing.sku.code", read_only=True)
    answer = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()

    class Meta:
        model = ListingRequest
        fields = (
            "id",
            "listing",
            "shop",
            "sku",
            "batch",
            "act",
            "state",
            "content",
            "answer",
            "attempts",
            "scheduled_at",
            "reason",
            "requested_by",
            "requested_at",
            "answered_at",
        )
        read_only_fields = fields

    @extend_schema_field(str)
    def get_answer(self, row: ListingRequest) -> str:
        return read_sentence(row.answer)

    @extend_schema_field(str)
    def get_reason(self, row: ListingRequest) -> str:
        return read_sentence(row.reason)


class ListingRequestFilter(StrictFilterSet):
    shop = filters.CharFilter("shop__code", max_length=32)
    sku = filters.CharFilter("listing__sku__code", max_length=64)
    batch = filters.UUIDFilter("batch")
    act = filters.ChoiceFilter(choices=ListingRequest.Act.choices)
    state = filters.ChoiceFilter(choices=ListingRequest.State.choices)


class ListingRequestView(ReadingView):
    """What channels were asked to put on sale, to take off or to call otherwise, line by line."""

    scopes = SCOPES
    staff_permission = "products.view_listingrequest"
    serializer_class = ListingRequestOut
    filterset_class = ListingRequestFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = ListingRequest.objects.select_related("shop", "listing__sku")

    def get_queryset(self) -> QuerySet[ListingRequest]:
        return self.queryset.filter(in_shops(self.request))


# Built once: a serializer copies its fields.
READ_ROWS = RowsIn()
READ_DRAFT = DraftIn()
READ_REJECT = RejectIn()
READ_WINDOW = WindowIn()
READ_MOMENT = MomentIn()
READ_TITLES = TitlesIn()


def _found(rows: QuerySet[Any], codes: list[str], field: str) -> list[int]:
    """The ids of these codes. What the caller may not see is as unknown as what is not there."""
    found = dict(rows.filter(code__in=codes).values_list("code", "pk"))
    if missing := sorted(set(codes) - set(found)):
        raise ValidationError({field: [_("There is no “%s”.") % code for code in missing[:20]]})
    return list(found.values())
