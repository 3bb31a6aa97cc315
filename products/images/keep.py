"""Keep pictures in the library of a brand: checked, cleaned and once; their renditions are made in the background."""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError
from omni.kernel.imports.upload import clean_file_name
from omni.kernel.jobs import Progress, start_job
from omni.kernel.models import Job
from products.images.decode import FILE_BYTES_MAX, BadImage, find_kind, write_original, write_renditions
from products.models import Brand, Image

WIDTHS = (160, 480, 1200)
RENDITIONS = "products.renditions"


class ImageInUse(DomainError):
    """Something shows the picture: what it is shown on has to let it go first."""

    code = "image_in_use"


@dataclass(frozen=True, slots=True)
class Sent:
    """A file as somebody sent it."""

    name: str
    chunks: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a file: its picture, new or known already, or why it was refused."""

    name: str
    image: Image | None = None
    is_new: bool = False
    refusal: str = ""


def keep_images(*, brand: Brand, files: Sequence[Sent], at: datetime, by: str) -> list[Kept]:
    """Keep each file that is a sound picture, and have the renditions of the new ones made.

    What is wrong with one file costs that file only. The same file again is the picture that is there.
    """
    results = [_keep(brand, sent, at=at, by=by) for sent in files]
    new = [kept.image.pk for kept in results if kept.image is not None and kept.is_new]
    if new:
        start_renditions(image_ids=new, at=at, by=by)
    return results


def start_renditions(*, image_ids: Sequence[int], at: datetime, by: str) -> Job:
    """Have the renditions of pictures made in the background; made again, they are the same."""
    title = ngettext("Renditions of %d image", "Renditions of %d images", len(image_ids)) % len(image_ids)
    return start_job(kind=RENDITIONS, title=title, params={"images": list(image_ids)}, at=at, by=by)


def _keep(brand: Brand, sent: Sent, *, at: datetime, by: str) -> Kept:
    name = clean_file_name(sent.name)
    relative = f"images/{uuid.uuid4().hex}"
    folder = Path(settings.MEDIA_ROOT) / relative
    folder.mkdir(parents=True)
    try:
        received = folder / "received"
        digest = _receive(received, sent.chunks)
        known = Image.objects.filter(brand=brand, sha256=digest).first()
        if known is None:
            find_kind(received, name)
            decoded = write_original(received, folder)
            received.unlink()
            with transaction.atomic():
                image = Image.objects.create(
                    brand=brand,
                    sha256=digest,
                    name=name,
                    kind=decoded.kind,
                    width=decoded.width,
                    height=decoded.height,
                    bytes=decoded.bytes,
                    folder=relative,
                    created_by=by,
                    created_at=at,
                )
                record_act(by=by, action="image.kept", subject=image, detail={"name": name})
            return Kept(name, image, is_new=True)
    except BadImage as refusal:
        shutil.rmtree(folder)
        return Kept(name, refusal=refusal.detail)
    except IntegrityError:
        # Somebody has kept the same file this very moment: theirs it is.
        known = Image.objects.get(brand=brand, sha256=digest)
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
    return Kept(name, known)


def _receive(path: Path, chunks: Iterable[bytes]) -> str:
    """Write down what is sent, no more of it than is allowed. Returns its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > FILE_BYTES_MAX:
                megabytes = FILE_BYTES_MAX // 1024 // 1024
                raise BadImage(_("It has more than %d MB: save it smaller.") % megabytes)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def make_renditions(job: Job) -> Generator[Progress, None, dict[str, Any]]:
    """The work of a job: a WebP for each of the widths, picture by picture. Those that are gone by now are left out."""
    wanted = list(job.params["images"])
    images = Image.objects.filter(pk__in=wanted).exclude(widths=list(WIDTHS)).order_by("pk")
    made = 0
    for image in images:
        folder = Path(settings.MEDIA_ROOT) / image.folder
        widths = write_renditions(folder / f"original.{image.kind}", folder, WIDTHS)
        Image.objects.filter(pk=image.pk).update(widths=widths)
        made += 1
        yield Progress(done=made, total=len(wanted), message=_("making renditions"))
    return {"made": made}


@transaction.atomic
def remove_image(*, image_id: int, at: datetime, by: str) -> None:
    """Take a picture out of the library, with its files. Raises ImageInUse."""
    image = Image.objects.select_for_update().get(pk=image_id)
    if image.uses.exists():
        raise ImageInUse(_("%s is shown somewhere: take it away there first.") % image)
    record_act(by=by, action="image.removed", subject=image, detail={"name": image.name})
    folder = Path(settings.MEDIA_ROOT) / image.folder
    image.delete()
    # After the commit: a rolled-back removal must not have lost the files.
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
