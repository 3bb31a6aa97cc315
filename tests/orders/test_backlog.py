"""What waits in which queue is counted from small indexes, and is what the queue's page shows."""

from __future__ import annotations

import pytest

from orders.backlog import QUEUES, count_queues
from orders.draft import ChannelState
from tests.factories.orders import House, make_house
from tests.statements import StatementCounter


@pytest.mark.parametrize("name", QUEUES)
def test_every_queue_has_an_index_that_holds_only_what_waits_in_it(name: str) -> None:
    model, condition = QUEUES[name]

    assert condition in [index.condition for index in model._meta.indexes]


@pytest.fixture
def house() -> House:
    return make_house(stock=2)


@pytest.mark.django_db
def test_all_queues_are_counted_up_to_the_limit_in_one_statement(house: House) -> None:
    oldest = house.order()
    for _ in range(3):
        house.order()
    house.order(state=ChannelState.PENDING_PAYMENT, paid_at=None)

    with StatementCounter() as counter:
        queues = count_queues(limit=3)

    assert counter.statements == 1
    assert (queues["captured"].count, queues["captured"].oldest_id) == (3, oldest.pk)
    assert (queues["short"].count, queues["pending_payment"].count, queues["parked"].count) == (2, 1, 0)
    assert queues["parked"].oldest_id is None
