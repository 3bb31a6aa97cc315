"""Hand out the files of pictures to whoever may see them; nothing else in the house does."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from products.models import Image
from products.scope import visible_brand_ids

# A picture's files never change under their address: a browser need not ask again. But only that person's browser.
CACHE = "private, max-age=31536000, immutable"
NO_ACTIVE_CONTENT = "default-src 'none'; sandbox"


@require_safe
@login_required
def image_file(request: HttpRequest, pk: int, size: str) -> HttpResponseBase:
    """The original, or a rendition of a width in pixels. 404 also for whoever may not see it."""
    images = Image.objects.all()
    brands = visible_brand_ids(request.user)
    if brands is not None:
        images = images.filter(brand__in=brands)
    image = images.filter(pk=pk).first()
    if image is None or not request.user.has_perm("products.view_image"):
        raise Http404
    return hand_out(image, size)


def hand_out(image: Image, size: str) -> FileResponse:
    """A file of a picture: `original`, or one of its widths. Raises Http404."""
    is_original = size == "original"
    if not is_original and size not in map(str, image.widths):
        raise Http404
    name = f"original.{image.kind}" if is_original else f"{size}.webp"
    try:
        file = (Path(settings.MEDIA_ROOT) / image.folder / name).open("rb")
    except FileNotFoundError as missing:
        raise Http404 from missing
    answer = FileResponse(file, content_type=f"image/{image.kind if is_original else 'webp'}")
    answer.headers["Cache-Control"] = CACHE
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.headers["Content-Security-Policy"] = NO_ACTIVE_CONTENT
    return answer
