"""Send products with their SKUs: one, or many, each for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from omni.kernel.api.idempotency import PARAMETER, Answer, actor_of, answer_once
from omni.kernel.api.views import ReadingView
from omni.kernel.audit import changes_by
from omni.kernel.errors import BadInput
from products.api.products_in import (
    DefinedBatchOut,
    DefinedOut,
    SpuBatchIn,
    SpuIn,
    draft_of,
    faults_of,
    look_up,
)
from products.api.scope import visible_brands
from products.define import Defined, define_products

STATUS = {"new": 201, "changed": 200, "unchanged": 200}


class FaultyProduct(BadInput):
    """A product that names what is not there; `fields` says where."""

    code = "faulty_product"


class DefiningView(ReadingView):
    """Adds POST to products."""

    @extend_schema(
        operation_id="spus_define",
        request=SpuIn,
        parameters=[PARAMETER],
        responses={201: DefinedOut, 200: DefinedOut},
    )
    def create(self, request: Request) -> Response:
        """Make or change one product with SKUs of it, known by its code. What is not said stays as it is."""
        body = READ_ONE.run_validation(request.data)

        def define() -> Answer:
            [defined] = _define(request, [body])
            if defined.refusal is not None:
                raise defined.refusal
            headers = {"Location": f"/api/v1/spus/{defined.code}"} if defined.result == "new" else {}
            return Answer(STATUS[defined.result], _said(defined), headers)

        return answer_once(request, define)

    @extend_schema(
        operation_id="spus_define_batch",
        request=SpuBatchIn,
        parameters=[PARAMETER],
        responses={200: DefinedBatchOut},
    )
    @action(detail=False, methods=["post"])
    def batch(self, request: Request) -> Response:
        """Up to 50 products. Each is taken or refused for itself, as a whole; the results keep their order."""
        bodies = READ_BATCH.run_validation(request.data)["products"]

        def define() -> Answer:
            return Answer(200, {"results": [_line(defined) for defined in _define(request, bodies)]})

        return answer_once(request, define)


READ_ONE = SpuIn()
READ_BATCH = SpuBatchIn()


def _define(request: Request, bodies: Sequence[Mapping[str, Any]]) -> list[Defined]:
    """One result for each body, in their order."""
    at, by = timezone.now(), actor_of(request)
    known = look_up(bodies, brand_ids=visible_brands(request))
    faults = [faults_of(body, known) for body in bodies]
    good = [body for body, fault in zip(bodies, faults, strict=True) if not fault]
    with changes_by(by):
        defined = iter(define_products(products=[draft_of(body, known) for body in good], at=at, by=by))
    return [
        _refused(body, fault) if fault else next(defined) for body, fault in zip(bodies, faults, strict=True)
    ]


def _refused(body: Mapping[str, Any], faults: Mapping[str, list[str]]) -> Defined:
    detail = next(iter(faults.values()))[0]
    return Defined(body.get("code", ""), "refused", refusal=FaultyProduct(detail, fields=dict(faults)))


def _said(defined: Defined) -> dict[str, Any]:
    skus = [{"code": code, "result": result} for code, result in defined.skus]
    return {"code": defined.code, "result": defined.result, "skus": skus}


def _line(defined: Defined) -> dict[str, Any]:
    refusal = defined.refusal
    return {
        **_said(defined),
        "status": refusal.status if refusal else STATUS[defined.result],
        "reason": refusal.code if refusal else "",
        "detail": refusal.detail if refusal else "",
        "fields": refusal.fields if refusal else {},
    }
