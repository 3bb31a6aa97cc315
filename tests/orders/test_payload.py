"""A platform's raw words are shown without anything that names, reaches or finds a person."""

from __future__ import annotations

from orders.payload import BLACK, mask_payload


def test_what_names_or_reaches_a_person_is_blacked_out_however_deep() -> None:
    raw = {
        "tid": "1",
        "receiver_name": "张三",
        "orders": [{"sku_properties_name": "红色", "buyer_nick": "小张", "num": 2}],
        "shipping_address": {"address_1": "文三路", "country_code": "cn"},
        "receiver_mobile": 13800000000,
    }

    shown = mask_payload(raw)

    assert shown == {
        "tid": "1",
        "receiver_name": BLACK,
        "orders": [{"sku_properties_name": "红色", "buyer_nick": BLACK, "num": 2}],
        "shipping_address": {"address_1": BLACK, "country_code": BLACK},
        "receiver_mobile": BLACK,
    }


def test_what_is_empty_is_shown_empty_and_the_original_stays() -> None:
    raw = {"receiver_name": "", "buyer_email": None, "receiver_phone": "021"}

    shown = mask_payload(raw)

    assert shown == {"receiver_name": "", "buyer_email": None, "receiver_phone": BLACK}
    assert raw["receiver_phone"] == "021"
