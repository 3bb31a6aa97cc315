"""A confirmation for a request that, as far as we know, no warehouse has."""

from __future__ import annotations

from typing import Any

import pytest

from inventory.models import StockLevel
from orders.confirm import NotShippable
from orders.models import Shipment
from orders.release import ReleaseAnswer, claim_planned, record_release_answers
from orders.states import FulfilmentState, Stage
from tests.factories.orders import NOON, House, make_house
from tests.factories.path import request, ship, source, stage

pytestmark = pytest.mark.django_db
BY: dict[str, Any] = {"at": NOON, "by": "test"}


@pytest.fixture
def house() -> House:
    return make_house(stock=10)


def test_what_was_never_asked_for_cannot_ship(house: House) -> None:
    fulfilment = source(house.order())

    with pytest.raises(NotShippable):
        ship(fulfilment, house.sku.code, 1)

    assert not Shipment.objects.exists()
    assert StockLevel.objects.get().on_hand == 10


def test_a_request_that_seemed_lost_and_was_shipped_all_the_same_is_not_sent_again(house: House) -> None:
    order = house.order()
    fulfilment = source(order)
    request(fulfilment)
    lost = ReleaseAnswer(fulfilment.pk, "later", detail="not found", retry_seconds=0)
    record_release_answers(answers=[lost], **BY)

    ship(fulfilment, house.sku.code, 1)

    fulfilment.refresh_from_db()
    assert (fulfilment.state, stage(order)) == (FulfilmentState.SHIPPED, Stage.SHIPPED)
    assert claim_planned(location_id=fulfilment.location_id, limit=10, **BY) == []
