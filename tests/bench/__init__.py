"""The benches of `manage.py bench`: each measures one hot path beside its raw limit (docs/performance.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench import (
    allocate,
    api,
    assortment,
    capture,
    imports,
    master,
    prices,
    publish,
    queues,
    reserve,
    sellable,
)
from tests.bench.measure import Result
from tests.bench.size import Size

BENCHES: Mapping[str, Callable[[Size], list[Result]]] = {
    "capture": capture.run,
    "reserve": reserve.run,
    "api": api.run,
    "publish": publish.run,
    "queues": queues.run,
    "import": imports.run,
    "master": master.run,
    "assortment": assortment.run,
    "prices": prices.run,
    "sellable": sellable.run,
    "allocate": allocate.run,
}
