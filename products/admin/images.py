"""The image library: upload many, see what shows them, and say what else does."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import RowResult, column
from omni.kernel.display import number_text
from omni.kernel.errors import DomainError
from products.admin.scoped import ScopedAdmin
from products.images.keep import Kept, Sent, keep_images, remove_image
from products.images.show import Subject, show_also, show_images
from products.models import Brand, Image, ImageUse, Listing, Sku, Spu
from products.scope import scope_of

FILES_MAX = 50
THUMBNAIL, LARGE = 160, 480


def visible_brands(request: HttpRequest) -> QuerySet[Brand]:
    brands, scope = Brand.objects.filter(is_active=True).order_by("code"), scope_of(request.user)
    return brands if scope.is_everything else brands.filter(pk__in=scope.brand_ids)


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several files in one field."""

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        one = super().clean
        return (
            [one(each, initial) for each in data] if isinstance(data, (list, tuple)) else [one(data, initial)]
        )


class ManyImagesForm(forms.Form):
    """Which pictures."""

    images = ManyFilesField(
        label=_("Images"),
        help_text=_("JPEG, PNG or WebP; each at most 10 MB and 40 million pixels; at most 50 at once."),
        widget=ManyFilesInput(attrs={"multiple": True, "accept": "image/jpeg,image/png,image/webp"}),
    )

    def clean_images(self) -> list[Any]:
        files: list[Any] = self.cleaned_data["images"]
        if len(files) > FILES_MAX:
            raise forms.ValidationError(_("At most %d images at once.") % FILES_MAX)
        return files


class ImageUploadForm(ManyImagesForm):
    """Which pictures, for whose library."""

    brand = forms.ModelChoiceField(Brand.objects.none(), label=_("Brand"))
    field_order = ("brand", "images")

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["brand"] = forms.ModelChoiceField(visible_brands(request), label=_("Brand"))


class ShowForm(forms.Form):
    """What is to show the chosen pictures: one of the three."""

    spu = forms.CharField(label=_("Product code (SPU)"), max_length=64, required=False)
    sku = forms.CharField(label=_("SKU code"), max_length=64, required=False)
    listing = forms.CharField(
        label=_("Listing"),
        max_length=140,
        required=False,
        help_text=_(
            "The shop's code, a blank, and the outer item id; then a slash and the outer SKU id, if it has one."
        ),
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scope = scope_of(request.user)

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        said = [name for name in ("spu", "sku", "listing") if answers.get(name)]
        if len(said) != 1:
            raise forms.ValidationError(_("Name one product, one SKU or one listing."))
        subject = getattr(self, f"_find_{said[0]}")(answers[said[0]].strip())
        if subject is None:
            self.add_error(said[0], _("There is none, or it is not yours."))
        answers["subject"] = subject
        return answers

    def _find_spu(self, code: str) -> Spu | None:
        return self._limit(Spu.objects.filter(code=code), "brand__in").first()

    def _find_sku(self, code: str) -> Sku | None:
        return self._limit(Sku.objects.filter(code=code), "spu__brand__in").first()

    def _find_listing(self, text: str) -> Listing | None:
        shop, _blank, ids = text.partition(" ")
        item, _slash, sku = ids.strip().partition("/")
        found = Listing.objects.filter(shop__code=shop, outer_item_id=item, outer_sku_id=sku)
        return self._limit(found, "shop__in", self._scope.shop_ids).first()

    def _limit(self, rows: QuerySet[Any], path: str, ids: frozenset[int] | None = None) -> QuerySet[Any]:
        allowed = self._scope.brand_ids if ids is None else ids
        return rows if self._scope.is_everything else rows.filter(**{path: allowed})


@admin.register(Image)
class ImageAdmin(ScopedAdmin):
    intro = _(
        "Every picture is kept once. It can be shown on any number of products, SKUs and listings of its brand."
    )
    brand_path = "brand_id"
    actors = ("created_by",)
    list_display = ("show_thumbnail", "name", "brand", "show_size", "show_uses", "show_by", "created_at")
    list_display_links = ("name",)
    list_select_related = ("brand",)
    search_fields = ("name__startswith", "sha256__exact")
    search_help_text = _("The beginning of a file name")
    actions = ("show_on", "remove")
    fields = (
        "show_large",
        "name",
        "brand",
        "kind",
        "show_size",
        "show_files",
        "show_places",
        "show_by",
        "created_at",
        "sha256",
    )
    readonly_fields = ("show_large", "show_size", "show_files", "show_places", "show_by", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        is_shown = Exists(ImageUse.objects.filter(image=OuterRef("pk")))
        images: QuerySet[Any] = super().get_queryset(request).annotate(is_shown=is_shown)
        return images

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        links = [{"url": reverse("admin:products_image_upload"), "label": _("Upload images")}]
        return {"text": self.intro, "links": links if self.may_upload(request) else []}

    def get_urls(self) -> list[URLPattern]:
        upload = self.admin_site.admin_view(self.upload_view)
        return [path("upload/", upload, name="products_image_upload"), *super().get_urls()]

    def may_upload(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("products.add_image"))

    # --- columns --------------------------------------------------------------------------------------------
    @column(description=_("image"))
    def show_thumbnail(self, image: Image) -> SafeString:
        return _picture(image, THUMBNAIL)

    @column(description=_("image"))
    def show_large(self, image: Image) -> SafeString:
        return _picture(image, LARGE)

    @column(description=_("size"))
    def show_size(self, image: Image) -> str:
        return f"{image.width} × {image.height}, {number_text(-(-image.bytes // 1024))} KB"

    @column(description=_("shown"))
    def show_uses(self, image: Image) -> str:
        return str(_("yes")) if getattr(image, "is_shown", False) else "–"

    @column(description=_("by"))
    def show_by(self, image: Image) -> str:
        return self.who(image, image.created_by)

    @column(description=_("files"))
    def show_files(self, image: Image) -> SafeString:
        sizes = ["original", *map(str, image.widths)]
        links = [(reverse("image_file", args=[image.pk, size]), size) for size in sizes]
        return format_html_join(" ", '<a class="omni-link" href="{}">{}</a>', links)

    @column(description=_("shown on"))
    def show_places(self, image: Image) -> SafeString | str:
        uses = image.uses.select_related("spu", "sku", "listing__shop").order_by("pk")[:100]
        places = [_place(use) for use in uses]
        return format_html_join("", "<div>{}: {}</div>", places) if places else "–"

    # --- upload ---------------------------------------------------------------------------------------------
    def upload_view(self, request: HttpRequest) -> HttpResponse:
        if not self.may_upload(request):
            raise PermissionDenied
        form = ImageUploadForm(request.POST or None, request.FILES or None, request=request)
        results: list[Kept] = []
        if request.method == "POST" and form.is_valid():
            files = [Sent(file.name, file.chunks()) for file in form.cleaned_data["images"]]
            results = keep_images(
                brand=form.cleaned_data["brand"], files=files, at=timezone.now(), by=user_actor(request.user)
            )
            told = [RowResult(kept.name, not kept.refusal, kept.refusal) for kept in results]
            back = reverse("admin:products_image_changelist")
            return self.tell_results(request, _("Upload images"), told, back) or HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Upload images"),
            "form": form,
        }
        return TemplateResponse(request, "products/upload_images.html", context)

    # --- buttons --------------------------------------------------------------------------------------------
    @admin.action(description=_("Show on …"), permissions=["operate"])
    def show_on(self, request: HttpRequest, queryset: QuerySet[Image]) -> HttpResponse | None:
        at, by = timezone.now(), user_actor(request.user)

        def run(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            subject: Subject = answers["subject"]
            try:
                show_also(subject=subject, image_ids=[row.pk for row in rows], at=at, by=by)
            except DomainError as refusal:
                messages.error(request, refusal.detail)
                return None
            return self.tell_results(request, _("Show on …"), [RowResult(str(row), True) for row in rows])

        form = ShowForm(request.POST if "asked" in request.POST else None, request=request)
        return self.ask_first(request, queryset, action="show_on", title=_("Show on …"), form=form, run=run)

    @admin.action(description=_("Remove from the library"), permissions=["operate"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Image]) -> HttpResponse | None:
        at, by = timezone.now(), user_actor(request.user)
        results = []
        for image in queryset:
            name = str(image)
            try:
                remove_image(image_id=image.pk, at=at, by=by)
                results.append(RowResult(name, True))
            except DomainError as refusal:
                results.append(RowResult(name, False, refusal.detail))
        return self.tell_results(request, _("Remove from the library"), results)


@admin.register(ImageUse)
class ImageUseAdmin(ScopedAdmin):
    intro = _("Which pictures products, SKUs and listings show, and in which order.")
    brand_path = "image__brand_id"
    list_display = ("show_thumbnail", "image", "show_what", "show_place", "position")
    list_display_links = ("image",)
    list_select_related = ("image", "spu", "sku", "listing__shop")
    search_fields = ("spu__code__exact", "sku__code__exact", "listing__outer_item_id__exact")
    search_help_text = _("A whole product code, SKU code or outer item id")
    actions = ("put_first", "show_no_more")

    @column(description=_("image"))
    def show_thumbnail(self, use: ImageUse) -> SafeString:
        return _picture(use.image, THUMBNAIL)

    @column(description=_("what"))
    def show_what(self, use: ImageUse) -> str:
        return _place(use)[0]

    @column(description=_("shown on"))
    def show_place(self, use: ImageUse) -> str:
        return _place(use)[1]

    @admin.action(description=_("Put first"), permissions=["operate"])
    def put_first(self, request: HttpRequest, queryset: QuerySet[ImageUse]) -> HttpResponse | None:
        return self._rearrange(
            request, _("Put first"), queryset, lambda ids, chosen: [chosen, *(i for i in ids if i != chosen)]
        )

    @admin.action(description=_("Show no more"), permissions=["operate"])
    def show_no_more(self, request: HttpRequest, queryset: QuerySet[ImageUse]) -> HttpResponse | None:
        return self._rearrange(
            request, _("Show no more"), queryset, lambda ids, chosen: [i for i in ids if i != chosen]
        )

    def _rearrange(
        self, request: HttpRequest, title: Any, queryset: QuerySet[ImageUse], change: Any
    ) -> HttpResponse | None:
        at, by = timezone.now(), user_actor(request.user)
        results = []
        for use in queryset.select_related("image", "spu__brand", "sku__spu", "listing__sku__spu"):
            subject = use.spu or use.sku or use.listing
            if subject is None:
                continue
            ids = list(subject.image_uses.order_by("position").values_list("image_id", flat=True))
            show_images(subject=subject, image_ids=change(ids, use.image_id), at=at, by=by)
            results.append(RowResult(str(use), True))
        return self.tell_results(request, title, results)


def _picture(image: Image, width: int) -> SafeString:
    if width not in image.widths:
        return format_html("<span>{}</span>", _("is being made"))
    return format_html(
        '<img src="{}" alt="{}" width="{}" loading="lazy">',
        reverse("image_file", args=[image.pk, width]),
        image.name,
        min(width, image.width) if width > THUMBNAIL else 80,
    )


def _place(use: ImageUse) -> tuple[str, str]:
    """What kind of thing shows the picture, and which."""
    if use.spu is not None:
        return str(_("product")), use.spu.code
    if use.sku is not None:
        return str(_("SKU")), use.sku.code
    assert use.listing is not None  # noqa: S101 - a constraint of the table
    return str(_("listing")), f"{use.listing.shop.code} {use.listing}"
