"""Put barcodes on SKUs, and take them off again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from omni.kernel.audit import record_act
from omni.kernel.errors import DomainError
from omni.kernel.events import record_events
from omni.kernel.sql import fetch_all
from products.barcodes import BadBarcode, read_barcode, resolve_barcodes
from products.events import ProductsChanged
from products.models import Barcode, Sku
from products.models.coding import CodeKind
from products.number import Nameless, give_codes

# In the order of their numbers, so that two batches with the same barcodes wait for each other. Both unique indexes
# are asked: the exact text, and the number without its leading zeros.
ADD_BARCODES = """
    INSERT INTO products_barcode (code, kind, sku_id)
    SELECT code, kind, sku_id FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS n(code, kind, sku_id)
    ORDER BY lpad(code, 64, '0') ON CONFLICT DO NOTHING RETURNING code
"""
OWNERS = "SELECT id, code FROM products_sku WHERE id = ANY(%s)"


class BarcodeTaken(DomainError):
    """The barcode names another SKU already; `extra` says which."""

    code = "barcode_taken"


@dataclass(frozen=True, slots=True)
class Label:
    """A barcode for a SKU. `kind` empty: as its digits say."""

    sku_id: int
    code: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What came of one label: new, unchanged or refused, with the reason."""

    code: str
    result: str
    refusal: DomainError | None = None


@transaction.atomic
def label_skus(*, labels: Sequence[Label], at: datetime, by: str) -> list[Labelled]:
    """Put barcodes on SKUs. Each is taken or refused for itself; saying the same again changes nothing.

    Returns one result for each, in the order given. Of two SKUs that want the same barcode in one batch the first has
    it. The SKUs exist. One event tells of all.
    """
    results, changed = add_barcodes(labels=labels, by=by)
    if changed:
        record_events(ProductsChanged((), tuple(sorted(changed))))
    return results


def add_barcodes(*, labels: Sequence[Label], by: str) -> tuple[list[Labelled], set[int]]:
    """As `label_skus`, within an operation that tells of its changes itself: the results, and the SKUs that changed."""
    results: dict[int, Labelled] = {}
    read: dict[int, tuple[str, str]] = {}
    for place, label in enumerate(labels):
        try:
            read[place] = read_barcode(label.code, label.kind)
        except BadBarcode as refusal:
            results[place] = Labelled(label.code, "refused", refusal)
    firsts: dict[str, int] = {}
    for place, (code, kind) in read.items():
        firsts.setdefault(_number(code, kind), place)
    rows = [(*read[place], labels[place].sku_id) for place in sorted(firsts.values())]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    added = {row[0] for row in fetch_all(ADD_BARCODES, columns)}
    owners = resolve_barcodes([code for code, _kind in read.values()])
    names = dict(fetch_all(OWNERS, [sorted(set(owners.values()))]))
    changed: dict[int, list[str]] = {}
    for place, (code, kind) in read.items():
        sku_id = labels[place].sku_id
        if owners[code] != sku_id:
            results[place] = Labelled(code, "refused", _taken(code, names[owners[code]]))
        elif code in added and firsts[_number(code, kind)] == place:
            results[place] = Labelled(code, "new")
            changed.setdefault(sku_id, []).append(code)
        else:
            results[place] = Labelled(code, "unchanged")
    for sku in Sku.objects.filter(pk__in=changed).order_by("pk"):
        record_act(by=by, action="barcode.added", subject=sku, detail={"codes": changed[sku.pk]})
    return [results[place] for place in range(len(labels))], set(changed)


@transaction.atomic
def label_by_rule(*, sku_ids: Sequence[int], at: datetime, by: str) -> dict[int, str]:
    """An internal barcode by the code rule for each of these SKUs that has none; by SKU. Asking again gives none."""
    bare = list(
        Sku.objects.select_for_update(of=("self",), no_key=True)
        .select_related("spu")
        .filter(pk__in=sku_ids, barcodes__isnull=True)
        .order_by("pk")
    )
    if not bare:
        return {}
    codes = give_codes(kind=CodeKind.BARCODE, things=[Nameless(sku.spu.brand_id) for sku in bare])
    labels = [Label(sku.pk, code, Barcode.Kind.INTERNAL) for sku, code in zip(bare, codes, strict=True)]
    done = label_skus(labels=labels, at=at, by=by)
    return {label.sku_id: told.code for label, told in zip(labels, done, strict=True) if told.result == "new"}


@transaction.atomic
def take_off_barcode(*, barcode_id: int, at: datetime, by: str, reason: str = "") -> bool:
    """A barcode names nothing any more. False: it is gone already."""
    barcode = (
        Barcode.objects.select_for_update(of=("self",)).select_related("sku").filter(pk=barcode_id).first()
    )
    if barcode is None:
        return False
    detail = {"code": barcode.code}
    record_act(by=by, action="barcode.removed", subject=barcode.sku, reason=reason, detail=detail)
    record_events(ProductsChanged((), (barcode.sku_id,)))
    barcode.delete()
    return True


def _number(code: str, kind: str) -> str:
    return code if kind == Barcode.Kind.INTERNAL else code.zfill(14)


def _taken(code: str, owner: str) -> BarcodeTaken:
    fault = _("The barcode %(code)s is on SKU %(sku)s already.") % {"code": code, "sku": owner}
    return BarcodeTaken(fault, fields={"barcode": [fault]}, extra={"sku": owner})
