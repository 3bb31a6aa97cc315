"""Decode one picture in a process of its own, with little memory and time: a hostile one ends this process only.

Run as a script with the source, the folder for what is made, and a command: `master` writes the picture anew without
anything but its pixels, `renditions` writes one WebP for each width. Writes one JSON line: {"fault": word} or what was
made.
"""

import json
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

MEMORY_BYTES = 1536 * 1024 * 1024
CPU_SECONDS = 30
PIXELS_MAX = 40_000_000
SIDE_MAX = 16_000
KINDS = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp"}
SAVING: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 92, "subsampling": 0, "optimize": True},
    "png": {"optimize": False},
    "webp": {"quality": 92, "method": 4},
}


class Faulty(Exception):
    """The picture is not taken; the word says why."""


def main(source: str, folder: str, command: str, widths: list[int]) -> dict[str, object]:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        with Image.open(source, formats=list(KINDS)) as picture:
            if picture.width * picture.height > PIXELS_MAX or max(picture.size) > SIDE_MAX:
                raise Faulty("too_many_pixels")
            # Telephones put a second, deeper picture behind their JPEG: that is no motion, and it is left out.
            kind = KINDS.get(str(picture.format), "jpeg")
            if kind != "jpeg" and getattr(picture, "n_frames", 1) > 1:
                raise Faulty("moving")
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            flat = to_srgb(upright)
    except Faulty:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise Faulty("too_many_pixels") from error
    except Exception as error:  # Pillow's decoders raise whatever a broken file makes them
        raise Faulty("unreadable") from error
    if command == "master":
        path = Path(folder) / f"original.{kind}"
        # A new picture from the pixels: nothing that came along with them goes along.
        clean = Image.frombytes(flat.mode, flat.size, flat.tobytes())
        clean.save(path, **SAVING[kind])
        return {"kind": kind, "width": clean.width, "height": clean.height, "bytes": path.stat().st_size}
    made = []
    for width in sorted(widths):
        small = flat.copy()
        small.thumbnail((width, width), Image.Resampling.LANCZOS)
        small.save(Path(folder) / f"{width}.webp", quality=82, method=4)
        made.append(width)
    return {"made": made}


def to_srgb(picture: Any) -> Any:
    """The colours as screens show them, without the profile that says how to get there; transparency stays."""
    import io

    from PIL import ImageCms

    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    profile = picture.info.get("icc_profile")
    if profile and picture.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            picture = ImageCms.profileToProfile(
                picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile costs its hint only
    return picture.convert("RGBA" if has_alpha else "RGB")


if __name__ == "__main__":
    try:
        answer = main(sys.argv[1], sys.argv[2], sys.argv[3], [int(width) for width in sys.argv[4:]])
    except Faulty as fault:
        answer = {"fault": str(fault)}
    sys.stdout.write(json.dumps(answer) + "\n")
