"""Transfers, count sheets, grades and switches over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from inventory.models import CountSheet, Location, StockLevel, Transfer
from products.models import Brand
from tests.factories.api import Caller
from tests.factories.inventory import LocationFactory, put_stock
from tests.factories.orders import House, make_house
from tests.factories.products import SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def level(house: House, grade: str = "good") -> int:
    rows = StockLevel.objects.filter(sku=house.sku, location=house.location, grade=grade)
    return sum(rows.values_list("on_hand", flat=True))


def transfer_body(house: House, quantity: int = 4, number: str = "ERP-1", **more: object) -> dict[str, Any]:
    store = Location.objects.filter(code="store").first() or LocationFactory.create(code="store")
    lines = [{"sku": house.sku.code, "quantity": quantity}]
    return {
        "external_number": number,
        "from_location": house.location.code,
        "to_location": store.code,
        "lines": lines,
        **more,
    }


@pytest.mark.capability("V17")
def test_a_transfer_goes_from_draft_to_closed(house: House, caller: Caller) -> None:
    made = caller.post("transfers", transfer_body(house))
    path = f"transfers/{made.json()['number']}"
    assert (made.status_code, made.json()["state"], made["Location"]) == (201, "draft", f"/api/v1/{path}")

    shipped = caller.post(f"{path}/ship", {})
    under_way = caller.get(f"stock/in-transit?sku={house.sku.code}").json()["results"]
    part = {"number": "R-1", "lines": [{"sku": house.sku.code, "received": 2, "damaged": 1}]}
    first, again = caller.post(f"{path}/receipts", part), caller.post(f"{path}/receipts", part)
    rest = {"number": "R-2", "lines": [{"sku": house.sku.code, "received": 1, "lost": 1, "reason": "lost"}]}
    last = caller.post(f"{path}/receipts", rest)

    assert (shipped.json()["state"], level(house)) == ("shipped", 6)
    assert [(row["units"], row["to_location"]) for row in under_way] == [(4, "store")]
    assert first.json() == again.json()
    assert first.json()["lines"][0]["in_transit"] == 2
    told = last.json()
    assert (told["state"], told["lines"][0]["received"], told["lines"][0]["lost"]) == ("closed", 3, 1)
    assert caller.get("transfers?state=closed").json()["results"] == [told]


@pytest.mark.capability("V17")
def test_what_cannot_be_moved_is_refused_with_a_reason(house: House, caller: Caller) -> None:
    number = caller.post("transfers", transfer_body(house, 11)).json()["number"]
    same = caller.post("transfers", transfer_body(house, 11))
    other = caller.post("transfers", transfer_body(house, 12))

    too_many = caller.post(f"transfers/{number}/ship", {})
    less = caller.post(f"transfers/{number}/ship", {"lines": [{"sku": house.sku.code, "quantity": 3}]})
    body = {"number": "R", "lines": [{"sku": house.sku.code, "received": 4}]}
    over = caller.post(f"transfers/{number}/receipts", body)
    unknown = caller.post(f"transfers/{number}/receipts", {**body, "lines": [{"sku": "?", "received": 1}]})
    late = caller.post(f"transfers/{number}/cancel", {"reason": "no"})
    closed = caller.post(f"transfers/{number}/close", {"reason": "miscounted"})

    assert (same.json()["number"], other.json()["code"]) == (number, "operation_conflict")
    assert (too_many.status_code, too_many.json()["code"]) == (409, "not_on_hand")
    assert less.json()["lines"][0]["shipped"] == 3
    assert (over.status_code, over.json()["code"], over.json()["in_transit"]) == (409, "more_than_shipped", 3)
    assert unknown.status_code == 400
    assert late.json()["code"] == "wrong_transfer_state"
    assert (closed.json()["state"], closed.json()["lines"][0]["lost"]) == ("closed", 3)


def test_a_document_is_for_whoever_may_see_all_of_it(house: House, caller: Caller) -> None:
    """One of its lines is of another brand, which the key's shop does not sell."""
    brand = Brand.objects.create(code="mine", name="mine")
    house.shop.brand = house.sku.spu.brand = brand
    house.shop.save()
    house.sku.spu.save()
    foreign = SkuFactory.create(spu__brand=Brand.objects.create(code="other", name="other"))
    both = transfer_body(house, lines=[{"sku": sku.code, "quantity": 1} for sku in (house.sku, foreign)])
    number = caller.post("transfers", both).json()["number"]
    mine = Caller(house.shop)
    own = mine.post("transfers", transfer_body(house, number="ERP-2")).json()["number"]

    seen = [row["number"] for row in mine.get("transfers").json()["results"]]
    shipped = mine.post(f"transfers/{number}/ship", {})

    assert seen == [own]
    assert shipped.status_code == 404
    assert mine.post("transfers", both).status_code == 400
    assert Transfer.objects.get(number=number).state == "draft"


@pytest.mark.capability("V18")
def test_a_machine_brings_a_count_and_a_person_confirms_it(house: House, caller: Caller) -> None:
    body = {
        "external_number": "WMS-7",
        "location": house.location.code,
        "counted_at": timezone.now().isoformat(),
        "lines": [{"sku": house.sku.code, "counted": 8}],
    }
    number = caller.post("count-sheets", body).json()["number"]
    submitted = caller.post(f"count-sheets/{number}/submit", {})
    by_machine = caller.post(f"count-sheets/{number}/confirm", {"reason": "sure"})
    assert (by_machine.status_code, by_machine.json()["code"], level(house)) == (403, "not_a_person", 10)

    person = Client()
    user = User.objects.create_user("counter", "c@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="inventory"))
    user.is_superuser = True
    user.save()
    person.force_login(user)
    confirmed = person.post(
        f"/api/v1/count-sheets/{number}/confirm",
        {"reason": "counted twice"},
        content_type="application/json",
        headers={"Idempotency-Key": "c1"},
    )

    line = submitted.json()["lines"][0]
    assert (line["booked"], line["variance"], line["posted"]) == (10, -2, None)
    told = confirmed.json()
    assert (told["state"], told["lines"][0]["posted"], level(house)) == ("confirmed", -2, 8)
    assert caller.get("count-sheets?state=submitted").json()["results"] == []


@pytest.mark.capability("V18")
def test_a_count_of_tomorrow_is_refused(house: House, caller: Caller) -> None:
    body = {
        "external_number": "WMS-8",
        "location": house.location.code,
        "counted_at": (timezone.now() + timedelta(days=1)).isoformat(),
        "lines": [{"sku": house.sku.code, "counted": 8}],
    }

    assert caller.post("count-sheets", body).json()["code"] == "counted_in_future"
    assert not CountSheet.objects.exists()


@pytest.mark.capability("V27")
def test_a_grade_is_changed_once_by_its_number(house: House, caller: Caller) -> None:
    put_stock(house.location, house.sku, 3, grade="inspection")
    line = {
        "location": house.location.code,
        "sku": house.sku.code,
        "quantity": 2,
        "from_grade": "inspection",
        "to_grade": "good",
    }

    first = caller.post("stock/regrades", {"number": "QC-1", "lines": [line]})
    again = caller.post("stock/regrades", {"number": "QC-1", "lines": [line]})
    other = caller.post("stock/regrades", {"number": "QC-1", "lines": [{**line, "quantity": 1}]})
    sellable = caller.get(f"stock/sellable?sku={house.sku.code}&shop={house.shop.code}")

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert (level(house), level(house, "inspection")) == (12, 1)
    assert sellable.json()["results"][0]["sellable"] == 12


@pytest.mark.capability("V20")
def test_an_adjustment_of_several_lines_is_made_once_whatever_their_order(
    house: House, caller: Caller
) -> None:
    lines = [
        {"location": house.location.code, "sku": house.sku.code, "quantity": -3},
        {"location": house.location.code, "sku": house.sku.code, "quantity": 3, "grade": "seconds"},
    ]

    first = caller.post("stock/adjustments", {"number": "A-9", "lines": lines})
    again = caller.post("stock/adjustments", {"number": "A-9", "lines": lines[::-1]})
    other = caller.post("stock/adjustments", {"number": "A-9", "lines": lines[:1]})

    assert (first.status_code, again.json()["result"]) == (201, "unchanged")
    assert (other.status_code, other.json()["code"]) == (409, "operation_conflict")
    assert (level(house), level(house, "seconds")) == (7, 3)


@pytest.mark.capability("V2")
def test_a_location_is_switched_off_and_on(house: House, caller: Caller) -> None:
    path, home = f"locations/{house.location.code}/switch", house.location.group.code

    off = caller.post(path, {"use": "ships_online", "is_on": False, "reason": "stocktaking"})
    on = caller.post(path, {"use": "ships_online", "is_on": True, "reason": "done"})
    strange = caller.post(path, {"use": "name", "is_on": True, "reason": ""})
    for_one_shop = Caller(house.shop).post(path, {"use": "is_active", "is_on": False, "reason": "x"})

    assert (off.json()["group"], off.json()["ships_online"]) == ("off", False)
    assert (on.json()["group"], on.json()["ships_online"]) == (home, True)
    assert strange.status_code == 400
    assert (for_one_shop.status_code, for_one_shop.json()["code"]) == (403, "not_for_all")
    assert Location.objects.get(pk=house.location.pk).is_active
