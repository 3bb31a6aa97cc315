"""What acts on many rows have in common: ids in, one result per id out, nothing said of what the caller may not see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.fields import StrictSerializer, Text, Whole
from omni.kernel.api.idempotency import Answer, actor_of, answer_once
from omni.kernel.audit import changes_by

ROWS_MAX = 500
ID_MAX = 2**63 - 1
REASON_LENGTH = 500

Results = Mapping[int, tuple[bool, str]]


def row_id() -> Whole:
    return Whole(min_value=1, max_value=ID_MAX)


def row_ids() -> Any:
    return serializers.ListField(child=row_id(), allow_empty=False, max_length=ROWS_MAX)


def reason_text(*, required: bool = False) -> Text:
    if required:
        return Text(max_length=REASON_LENGTH)
    return Text(max_length=REASON_LENGTH, required=False, default="", allow_blank=True)


class RowsIn(StrictSerializer):
    """Up to 500 rows by their ids, and why."""

    ids = row_ids()
    reason = reason_text()


class RowOut(serializers.Serializer[Any]):
    """What came of one row. `detail`: why nothing was done with it, or what else there is to say."""

    id = serializers.IntegerField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class RowsOut(serializers.Serializer[Any]):
    """`batch`: under which the requests to the channels are found in `listing-requests`; empty where none is made."""

    batch = serializers.CharField()
    results = RowOut(many=True)


def act_on_rows(
    request: Request,
    *,
    ids: Sequence[int],
    visible: QuerySet[Any],
    act: Callable[[list[int], str], tuple[object, Results]],
) -> Response:
    """Run an act once on the rows that the caller may see; every id gets its result, in the order given.

    `act` gets their ids and the actor, and answers with the batch, if it makes one, and with what came of each.
    """

    def once() -> Answer:
        known = set(visible.filter(pk__in=ids).values_list("pk", flat=True))
        by = actor_of(request)
        with changes_by(by):
            batch, came = act([ident for ident in dict.fromkeys(ids) if ident in known], by)
        unknown = (False, _("There is no such row, or not for you."))
        lines = ((ident, *came.get(ident, unknown)) for ident in ids)
        results = [{"id": ident, "ok": ok, "detail": detail} for ident, ok, detail in lines]
        return Answer(200, {"batch": str(batch or ""), "results": results})

    return answer_once(request, once)


def results_of(rows: Iterable[Any], name: str) -> Results:
    """By the attribute that names the row: whether it went, and what there is to say."""
    return {getattr(row, name): (row.ok, row.detail) for row in rows}
