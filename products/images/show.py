"""Say which pictures a product, a SKU or a shop's listing shows, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import BadInput
from products.models import Image, ImageUse, Listing, Sku, Spu

SHOWN_MAX = 50
Subject = Spu | Sku | Listing


class ForeignImage(BadInput):
    """The picture is not of the brand's library."""

    code = "foreign_image"


class TooManyImages(BadInput):
    """More pictures than anything shows."""

    code = "too_many_images"


@transaction.atomic
def show_images(*, subject: Subject, image_ids: Sequence[int], at: datetime, by: str) -> list[ImageUse]:
    """These pictures, in this order, are those of the subject; others that it showed it shows no more.

    Naming the same again changes nothing. Raises ForeignImage, TooManyImages.
    """
    return _show(subject, list(dict.fromkeys(image_ids)), at=at, by=by)


@transaction.atomic
def show_also(*, subject: Subject, image_ids: Sequence[int], at: datetime, by: str) -> list[ImageUse]:
    """Show these pictures behind those that the subject shows already. Raises ForeignImage, TooManyImages."""
    _lock(subject)
    shown = list(_uses(subject).order_by("position").values_list("image_id", flat=True))
    return _show(subject, list(dict.fromkeys([*shown, *image_ids])), at=at, by=by)


def _show(subject: Subject, image_ids: list[int], *, at: datetime, by: str) -> list[ImageUse]:
    if len(image_ids) > SHOWN_MAX:
        raise TooManyImages(_("At most %d images can be shown.") % SHOWN_MAX)
    _lock(subject)
    images = Image.objects.filter(pk__in=image_ids, brand_id=brand_id_of(subject)).select_for_update(
        no_key=True
    )
    lacking = set(image_ids) - {image.pk for image in images.order_by("pk")}
    if lacking:
        raise ForeignImage(_("Image %d is not in the library of this brand.") % min(lacking))
    before = list(_uses(subject).order_by("position").values_list("image_id", flat=True))
    if before != image_ids:
        _uses(subject).exclude(image_id__in=image_ids).delete()
        known = {use.image_id: use for use in _uses(subject)}
        for position, image_id in enumerate(image_ids):
            use = known.get(image_id) or ImageUse(image_id=image_id, **_owner(subject))
            if use.pk is None or use.position != position:
                use.position = position
                use.save()
        record_act(
            by=by, action="images.shown", subject=subject, detail={"before": before, "after": image_ids}
        )
    return list(_uses(subject).order_by("position"))


def _lock(subject: Subject) -> None:
    # Whoever arranges the pictures of the same thing waits: both would count the same places.
    type(subject)._default_manager.select_for_update(no_key=True).get(pk=subject.pk)


def _uses(subject: Subject):  # type: ignore[no-untyped-def]
    return ImageUse.objects.filter(**_owner(subject))


def _owner(subject: Subject) -> dict[str, Subject]:
    return {subject._meta.model_name or "": subject}


def brand_id_of(subject: Subject) -> int:
    """Whose library the pictures of the subject come from."""
    if isinstance(subject, Spu):
        return subject.brand_id
    return subject.spu.brand_id if isinstance(subject, Sku) else subject.sku.spu.brand_id
