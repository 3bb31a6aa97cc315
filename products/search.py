"""Find SKUs and products by what people know of them: a part of the name, a code, a barcode, a tag."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import LPad

from products.models import Barcode, Sku, Spu

TEXT_MAX = 100
WORDS_MAX = 8


def matching_skus(text: str) -> Q:
    """The SKUs that fit a text: all of its words in the name of the SKU or of its product, in any order and case; the
    beginning of the code of either; a whole barcode however many zeros stand before it; a tag of the product.

    Each way is answered by an index of its own (trigrams for the names, Chinese ones too). Nothing fits an empty text.
    """
    text = _plain(text)
    if not text:
        return Q(pk__in=[])
    ways: list[QuerySet[Any, Any]] = [
        Sku.objects.filter(Q(code__istartswith=text)).values("pk"),
        Sku.objects.filter(_words("name", text)).values("pk"),
        Sku.objects.filter(spu__in=_spus(text)).values("pk"),
        Barcode.objects.filter(code=text).values("sku_id"),
    ]
    if text.isascii() and text.isdigit() and len(text) <= 14:
        numbered = Barcode.objects.annotate(number=LPad("code", 14, Value("0"))).filter(~Q(kind="internal"))
        ways.append(numbered.filter(number=text.zfill(14)).values("sku_id"))
    first, *rest = ways
    return Q(pk__in=first.union(*rest))


def matching_spus(text: str) -> Q:
    """The products that fit a text, by themselves or by one of their SKUs. Nothing fits an empty text."""
    text = _plain(text)
    if not text:
        return Q(pk__in=[])
    by_sku = Sku.objects.filter(matching_skus(text)).values("spu_id")
    return Q(pk__in=_spus(text).union(by_sku))


def _spus(text: str) -> QuerySet[Any, Any]:
    ways: list[QuerySet[Spu]] = [
        Spu.objects.filter(_words("name", text)),
        Spu.objects.filter(code__istartswith=text),
        Spu.objects.filter(tags__contains=[text]),
    ]
    first, *rest = (way.values("pk") for way in ways)
    return first.union(*rest)


def _words(column: str, text: str) -> Q:
    fits = Q()
    for word in text.split()[:WORDS_MAX]:
        fits &= Q(**{f"{column}__icontains": word})
    return fits


def _plain(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())[:TEXT_MAX].strip()
