"""Quotas over HTTP: rules are listed, set and ended; why a shop may sell what it may."""

from __future__ import annotations

from decimal import Decimal

import pytest

from integrations.keys import SCOPES
from inventory.models import QuotaRule, ShopExposure
from products.models import Shop
from tests.factories.api import Caller
from tests.factories.bundles import make_bundle
from tests.factories.inventory import shop_drawing_on
from tests.factories.orders import House, make_house
from tests.factories.quotas import quota_rule, set_quota

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V4", "I3")]


@pytest.fixture
def house() -> House:
    return make_house(stock=100)


def rule_body(house: House, **more: object) -> dict[str, object]:
    return {"group": house.location.group.code, "shop": house.shop.code, "mode": "shared", **more}


def test_a_rule_is_set_listed_and_ended(house: House) -> None:
    caller = Caller()

    told = caller.post("quota-rules", rule_body(house, publish_ratio="0.4", sku=house.sku.code))
    listed = caller.get(f"quota-rules?shop={house.shop.code}&is_active=true").json()["results"]
    ended = caller.post(f"quota-rules/{told.json()['id']}/end", {"reason": "over"})

    assert told.status_code == 200
    assert (told.json()["sku"], told.json()["publish_ratio"], told.json()["is_active"]) == (
        house.sku.code,
        "0.4000",
        True,
    )
    assert listed == [told.json()]
    assert ended.json()["is_active"] is False
    assert not QuotaRule.objects.get().is_active


def test_the_same_key_sets_a_rule_once(house: House) -> None:
    caller = Caller()

    first = caller.post("quota-rules", rule_body(house), key="k")
    again = caller.post("quota-rules", rule_body(house), key="k")
    other = caller.post("quota-rules", rule_body(house, minimum=3), key="k")

    assert (first.json(), other.status_code) == (again.json(), 422)


def test_what_is_refused_names_its_field(house: House) -> None:
    caller = Caller()

    for body, field in (
        (rule_body(house, mode="exclusive", quota_ratio="1.5"), "quota_ratio"),
        (rule_body(house, minimum=5, maximum=3), "maximum"),
        (rule_body(house, sku="nothing"), "sku"),
        (rule_body(house, group="nowhere"), "group"),
        (rule_body(house, brand="nobody"), "brand"),
        (rule_body(house, category="nothing"), "category"),
    ):
        answer = caller.post("quota-rules", body)
        assert answer.status_code == 400, body
        assert list(answer.json()["fields"]) == [field]
    assert not QuotaRule.objects.exists()


def test_a_key_sets_and_sees_the_rules_of_its_shops_alone(house: House) -> None:
    other = shop_drawing_on(house.location.group)
    foreign = quota_rule(house.location.group, other)
    caller = Caller(house.shop)

    refused = caller.post("quota-rules", {**rule_body(house), "shop": other.code})
    ended = caller.post(f"quota-rules/{foreign.pk}/end", {"reason": "x"})
    reader = Caller(scopes=SCOPES - {"quotas:write"})

    assert (refused.status_code, ended.status_code) == (404, 404)
    assert caller.get("quota-rules").json()["results"] == []
    assert reader.post("quota-rules", rule_body(house)).status_code == 403


def test_why_adds_up_to_what_is_sold(house: House) -> None:
    group = house.location.group
    rule = quota_rule(group, house.shop, publish_ratio=Decimal("0.5"), maximum=50)
    set_quota(group, house.sku, house.shop, 20)
    caller = Caller(house.shop)

    [told] = caller.get(f"stock/{house.sku.code}/why").json()["shops"]

    assert (told["sellable"], told["maximum"], told["quota_rule"], told["mode"]) == (
        50,
        50,
        rule.pk,
        "lock_share",
    )
    assert {pool["kind"]: pool["shown"] for pool in told["pools"]} == {"quota": 20, "shared": 40}
    sold = caller.get(f"stock/sellable?sku={house.sku.code}&shop={house.shop.code}").json()["results"]
    assert sold[0]["sellable"] == told["sellable"]


def test_why_of_a_bundle_is_its_scarcest_component(house: House) -> None:
    bundle = make_bundle({house.sku: 3})

    told = Caller().get(f"stock/{bundle.code}/why").json()["shops"][0]

    assert (told["sellable"], told["components"][0]["bundles"]) == (33, 33)


def test_what_is_not_there_or_not_ones_own_is_not_found(house: House) -> None:
    other: Shop = make_house(stock=1).shop

    assert Caller().get("stock/nothing/why").status_code == 404
    assert Caller().get("stock/%00/why").status_code == 404
    told = Caller(other).get(f"stock/{house.sku.code}/why")
    assert told.status_code == 404 or told.json()["shops"] == []


def test_the_part_of_a_divided_pool_is_told(house: House) -> None:
    other = shop_drawing_on(house.location.group)
    for shop, start, end in ((house.shop, "0", "0.25"), (other, "0.25", "1")):
        ShopExposure.objects.create(
            group=house.location.group,
            sku=house.sku,
            shop=shop,
            units_per_hour=2,
            low_water=200,
            part_from=Decimal(start),
            part_to=Decimal(end),
        )

    exposure = Caller(house.shop).get(f"stock/exposures?sku={house.sku.code}").json()["results"][0]
    told = Caller(house.shop).get(f"stock/{house.sku.code}/why").json()["shops"][0]

    assert (exposure["low_water"], exposure["part_to"]) == (200, "0.25000000")
    assert (told["sellable"], told["pools"][0]["is_divided"]) == (25, True)
