"""A platform's raw words about an order, with everything personal blacked out."""

from __future__ import annotations

from typing import Any

# Parts of key names under which platforms keep what names, reaches or finds a person.
PERSONAL = (
    "name",
    "mobile",
    "phone",
    "tel",
    "address",
    "street",
    "zip",
    "postcode",
    "postal",
    "mail",
    "buyer",
    "nick",
    "receiver",
    "oaid",
    "id_card",
    "alipay",
)
# What contains such a part and is no secret.
HARMLESS = ("sku_properties_name", "sku_name", "item_name", "product_name", "shop_name", "seller_nick")
BLACK = "•••"


def mask_payload(value: Any) -> Any:
    """The same structure; texts and numbers under personal keys are replaced, however deep."""
    if isinstance(value, dict):
        return {
            key: _black_out(item) if _is_personal(str(key)) else mask_payload(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [mask_payload(item) for item in value]
    return value


def _is_personal(key: str) -> bool:
    word = key.casefold()
    return word not in HARMLESS and any(part in word for part in PERSONAL)


def _black_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _black_out(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_black_out(item) for item in value]
    return BLACK if value not in (None, "", True, False) else value
