"""Whatever the schema allows, and much that it does not: no request makes the house fall over."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error

from omni.devstack.schema import COMMITTED
from tests.factories.api import Caller
from tests.factories.orders import make_house
from tests.factories.server import web_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.capability("I3")]

EXAMPLES = 12


def test_no_request_is_answered_with_a_server_error() -> None:
    house = make_house(stock=10)
    house.order()
    headers = {"Authorization": f"Bearer {Caller().key}"}
    schema = schemathesis.openapi.from_path(str(COMMITTED))
    statuses: dict[int, int] = {}

    with web_server() as port:
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]

            @seed(7)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                answer = case.call(base_url=f"http://127.0.0.1:{port}", headers=headers)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                case.validate_response(answer, checks=[not_a_server_error])

            ask()

    assert sum(statuses.values()) >= 31 * EXAMPLES / 2
    assert not any(status >= 500 for status in statuses)
    assert statuses[200] > 0
