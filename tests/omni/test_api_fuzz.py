"""Whatever the schema allows, and much that it does not: no request makes the house fall over."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error

from omni.wsgi import application
from tests.factories.api import Caller
from tests.factories.orders import make_house

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.capability("I3")]

schema = schemathesis.openapi.from_wsgi("/api/schema/", application)
KEY: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _house(db: None) -> None:
    house = make_house(stock=10)
    house.order()
    KEY["Authorization"] = f"Bearer {Caller().key}"


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_answered_with_a_server_error(case: Any) -> None:
    answer = case.call(headers=KEY)

    case.validate_response(answer, checks=[not_a_server_error])
