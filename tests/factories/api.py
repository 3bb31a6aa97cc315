"""Callers of the API: machines with keys, and what they send."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.test import Client
from django.utils import timezone

from integrations.keys import SCOPES, issue_key
from products.models import Shop, Sku
from tests.factories.orders import NOON

_numbers = count(1)


class Caller:
    """A machine with a key. Every POST carries a new Idempotency-Key unless one is given."""

    def __init__(self, *shops: Shop, scopes: frozenset[str] = SCOPES) -> None:
        self.key = issue_key(
            name="ERP",
            scopes=sorted(scopes),
            shop_ids=[shop.pk for shop in shops],
            at=timezone.now(),
            by="user:1",
        ).text
        self.client = Client(headers={"Authorization": f"Bearer {self.key}"})

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(f"/api/v1/{path}", headers=headers)

    def post(self, path: str, body: Any, *, key: str | None = None, **headers: str) -> Any:
        """`body`: anything that JSON can say, or bytes as they are."""
        return self.client.post(
            f"/api/v1/{path}",
            data=body,
            content_type="application/json",
            headers={"Idempotency-Key": key or f"act-{next(_numbers)}", **headers},
        )


def order_body(sku: Sku, quantity: Any = 1, **changes: Any) -> dict[str, Any]:
    """A paid order of one line, at 10.00 a unit, without its shop."""
    amount = f"{10 * quantity}.00" if isinstance(quantity, int) else "10.00"
    line = {
        "outer_line_id": "1",
        "sku": sku.code,
        "quantity": quantity,
        "unit_price": "10.00",
        "amount": amount,
    }
    body = {
        "outer_id": f"web-{next(_numbers)}",
        "placed_at": NOON.isoformat(),
        "paid_at": NOON.isoformat(),
        "currency": "CNY",
        "total_amount": amount,
        "receiver": {
            "name": "张伟",
            "mobile": "13800138000",
            "province": "广东省",
            "city": "广州市",
            "address": "体育西路 1 号",
        },
        "lines": [line],
    }
    return {**body, **changes}
