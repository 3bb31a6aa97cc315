"""The image library over the API: upload, read, hand out, and say what shows which pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, Q, QuerySet
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.fields import StrictSerializer, Whole
from omni.kernel.api.filters import StrictFilterSet
from omni.kernel.api.idempotency import actor_of
from omni.kernel.api.parsers import BodyTooLarge
from omni.kernel.api.views import ReadingView
from omni.kernel.audit import changes_by
from omni.kernel.errors import BadInput
from products.api.scope import visible_brands
from products.images.decode import FILE_BYTES_MAX
from products.images.keep import Sent, keep_images
from products.images.show import SHOWN_MAX, Subject, brand_id_of, show_images
from products.images.views import hand_out
from products.models import Brand, Image, ImageUse

# The file and the lines around it.
UPLOAD_BYTES_MAX = FILE_BYTES_MAX + 64 * 1024
SCOPES = {"read": "products:read", "write": "products:write"}


class UnusableImage(BadInput):
    """The file is no picture that the library keeps; `detail` says why."""

    code = "unusable_image"


class ImageOut(serializers.ModelSerializer[Image]):
    """`widths`: the renditions that are made by now, in pixels."""

    brand = serializers.CharField(source="brand.code", read_only=True)
    widths = serializers.ListField(child=serializers.IntegerField(), read_only=True)

    class Meta:
        model = Image
        fields = ("id", "brand", "name", "kind", "width", "height", "bytes", "sha256", "widths", "created_at")
        read_only_fields = fields


class ImageIn(serializers.Serializer[Any]):
    brand = serializers.CharField(max_length=32)
    file = serializers.FileField()


class ImagesIn(StrictSerializer):
    images = serializers.ListField(child=Whole(min_value=1), max_length=SHOWN_MAX)


class ImageFilter(StrictFilterSet):
    class Meta:
        model = Image
        fields = {"sha256": ["exact"]}


class ImageView(ReadingView):
    """Pictures of the library, each kept once per brand."""

    scopes = SCOPES
    serializer_class = ImageOut
    filterset_class = ImageFilter
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Image.objects.select_related("brand")

    @property
    def staff_permission(self) -> str:
        return "products.view_image" if self.request.method == "GET" else "products.add_image"

    def get_parsers(self) -> list[BaseParser]:
        return [MultiPartParser()]

    def get_queryset(self) -> QuerySet[Image]:
        brands = visible_brands(self.request)
        return self.queryset.filter(Q() if brands is None else Q(brand__in=brands))

    @extend_schema(
        operation_id="images_upload",
        request={"multipart/form-data": ImageIn},
        responses={201: ImageOut, 200: ImageOut},
    )
    def create(self, request: Request) -> Response:
        """Upload one picture (JPEG, PNG or WebP). The same file again is the picture that is there: 200, not 201."""
        if int(request.META.get("CONTENT_LENGTH") or 0) > UPLOAD_BYTES_MAX:
            raise BodyTooLarge(_("At most %d MB a picture.") % (FILE_BYTES_MAX // 1024 // 1024))
        body = ImageIn(data=request.data)
        body.is_valid(raise_exception=True)
        brands = visible_brands(request)
        brand = Brand.objects.filter(code=body.validated_data["brand"], is_active=True).first()
        if brand is None or (brands is not None and brand.pk not in brands):
            raise ValidationError({"brand": [_("There is no such brand, or it is not yours.")]})
        file = body.validated_data["file"]
        at, by = timezone.now(), actor_of(request)
        [kept] = keep_images(brand=brand, files=[Sent(file.name, file.chunks())], at=at, by=by)
        if kept.image is None:
            raise UnusableImage(kept.refusal, fields={"file": [kept.refusal]})
        return Response(ImageOut(kept.image).data, status=201 if kept.is_new else 200)

    @extend_schema(operation_id="images_file", responses={200: OpenApiTypes.BINARY}, filters=False)
    @action(detail=True, methods=["get"], url_path="files/(?P<size>original|[0-9]{1,5})")
    def file(self, request: Request, pk: str, size: str) -> HttpResponseBase:
        """The picture itself: `original`, or a width in pixels of which there is a rendition."""
        return hand_out(self.get_object(), size)


class ShowingView(ReadingView):
    """Adds PUT `images` to whatever shows pictures."""

    @extend_schema(request=ImagesIn, responses={200: ImagesIn})
    @action(detail=True, methods=["put"])
    def images(self, request: Request, **where: Any) -> Response:
        """Say which pictures it shows, in this order; all others it shows no more. Said again, nothing changes."""
        wanted = READ_IMAGES.run_validation(request.data)["images"]
        subject: Subject = self.get_object()
        brands = visible_brands(request)
        if brands is not None and brand_id_of(subject) not in brands:
            raise PermissionDenied(_("It belongs to another brand."))
        with changes_by(actor_of(request)):
            uses = show_images(subject=subject, image_ids=wanted, at=timezone.now(), by=actor_of(request))
        return Response({"images": [use.image_id for use in uses]})


READ_IMAGES = ImagesIn()
IN_ORDER = Prefetch("image_uses", ImageUse.objects.order_by("position"))


def image_ids(uses: Iterable[ImageUse]) -> list[int]:
    """Of uses that were fetched by IN_ORDER."""
    return [use.image_id for use in uses]
