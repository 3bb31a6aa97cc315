"""The page on which a product, a SKU or a listing gets its pictures: uploaded here, or taken from the library."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import BaseAdmin, RowResult, show_faults
from omni.kernel.errors import DomainError
from products.admin.images import ManyImagesForm
from products.images.keep import Sent, keep_images
from products.images.show import Subject, brand_id_of, show_also, show_images
from products.models import Brand, Image, Listing, Sku

LIBRARY_PAGE = 48


class PicturesPage(BaseAdmin):
    """Adds `<row>/pictures/` to the pages of what shows pictures."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.pictures_view)
        name = f"products_{self.opts.model_name}_pictures"
        return [path("<int:pk>/pictures/", view, name=name), *super().get_urls()]

    def pictures_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What it shows, in order, with buttons; below it what can be added."""
        if not request.user.has_perm("products.view_image"):
            raise PermissionDenied
        subject: Subject = self.visible_object(request, pk)
        upload = ManyImagesForm()
        if request.method == "POST":
            if not self.has_operate_permission(request):
                raise PermissionDenied
            upload = ManyImagesForm(request.POST, request.FILES) if "upload" in request.POST else upload
            answer = self._act(request, subject, upload)
            if answer is not None:
                return answer
        text = request.GET.get("q", "").strip()
        shown = [use.image for use in subject.image_uses.select_related("image").order_by("position")]
        library = Image.objects.filter(brand_id=brand_id_of(subject)).exclude(
            pk__in=[image.pk for image in shown]
        )
        if text:
            library = library.filter(name__istartswith=text)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Pictures"),
            "subject": subject,
            "back": reverse(f"admin:products_{self.opts.model_name}_change", args=[subject.pk]),
            "shown": shown,
            "inherited": [] if shown else _inherited(subject),
            "library": library.order_by("-pk")[:LIBRARY_PAGE],
            "text": text,
            "form": upload,
            "may_operate": self.has_operate_permission(request),
            "may_upload": request.user.has_perm("products.add_image"),
        }
        return TemplateResponse(request, "products/pictures_page.html", context)

    def _act(self, request: HttpRequest, subject: Subject, upload: ManyImagesForm) -> HttpResponse | None:
        """What was pressed; None: the form is shown again with its faults."""
        back = HttpResponseRedirect(request.get_full_path())
        by, at = user_actor(request.user), timezone.now()
        if upload.is_bound:
            if not request.user.has_perm("products.add_image"):
                raise PermissionDenied
            return self._upload(request, subject, upload) if upload.is_valid() else None
        ids = list(subject.image_uses.order_by("position").values_list("image_id", flat=True))
        try:
            if "add" in request.POST:
                wanted = _numbers(request.POST.getlist("image"))
                if not wanted:
                    messages.info(request, gettext("Choose at least one picture."))
                else:
                    show_also(subject=subject, image_ids=wanted, at=at, by=by)
            for chosen in _numbers([request.POST.get("first", "")]):
                ids = [chosen, *(ident for ident in ids if ident != chosen)] if chosen in ids else ids
                show_images(subject=subject, image_ids=ids, at=at, by=by)
            for chosen in _numbers([request.POST.get("drop", "")]):
                ids = [ident for ident in ids if ident != chosen]
                show_images(subject=subject, image_ids=ids, at=at, by=by)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        return back

    def _upload(self, request: HttpRequest, subject: Subject, form: ManyImagesForm) -> HttpResponse | None:
        by, at = user_actor(request.user), timezone.now()
        files = [Sent(file.name, file.chunks()) for file in form.cleaned_data["images"]]
        brand = Brand.objects.get(pk=brand_id_of(subject))
        kept = keep_images(brand=brand, files=files, at=at, by=by)
        try:
            show_also(subject=subject, image_ids=[each.image.pk for each in kept if each.image], at=at, by=by)
        except DomainError as refusal:
            show_faults(form, refusal)
            return None
        back = request.get_full_path()
        told = [RowResult(each.name, not each.refusal, each.refusal) for each in kept]
        return self.tell_results(request, _("Upload images"), told, back) or HttpResponseRedirect(back)


def _inherited(subject: Subject) -> list[Image]:
    """What is shown as long as the subject has no pictures of its own."""
    sku = subject.sku if isinstance(subject, Listing) else subject if isinstance(subject, Sku) else None
    if sku is None:
        return []
    owners: Sequence[Subject] = [sku, sku.spu] if isinstance(subject, Listing) else [sku.spu]
    for owner in owners:
        uses = list(owner.image_uses.select_related("image").order_by("position"))
        if uses:
            return [use.image for use in uses]
    return []


def _numbers(texts: Sequence[str]) -> list[int]:
    return [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19]
