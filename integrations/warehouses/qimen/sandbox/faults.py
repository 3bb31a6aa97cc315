"""The faults of real warehouses as named switches, each with a probability and the same dice for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "create_500": "deliveryorder.create takes effect, then the answer is a 500",
    "create_500_before": "deliveryorder.create answers a 500 and nothing happened",
    "create_timeout": "deliveryorder.create takes effect, then the connection is dropped without an answer",
    "create_exists": "deliveryorder.create takes effect, but the answer is failure 'already exists'",
    "create_refused": "deliveryorder.create is refused with a reason (flag failure), nothing is created",
    "confirm_early": "the confirm arrives before the answer to the create",
    "confirm_twice": "the confirm is sent twice with one outBizCode",
    "confirm_unknown": "a confirm for an order that nobody created",
    "confirm_forged": "a confirm with a wrong signature; whoever accepts it has failed",
    "partial_confirms": "the delivery leaves in two parcels with two confirms, only the second is final",
    "two_packages": "the delivery leaves in two parcels with one confirm",
    "short_pick": "a unit is not on its shelf: less leaves than was ordered, a stock change tells the loss",
    "cancel_500": "order.cancel takes effect, then the answer is a 500",
    "cancel_too_late": "order.cancel is answered with success, and the parcel leaves all the same",
    "progress_shuffled": "the steps of orderprocess.report arrive out of order",
    "callback_delayed": "a call-back is held back for some seconds",
    "callback_replayed": "a call-back that was accepted comes again later, byte for byte",
    "stock_differs": "the warehouse believes that a unit more of an item lies there than does, as after a miscount",
    "query_500": "a query answers a 500",
    "truncated_answer": "an answer breaks off in the middle of its XML",
}


class UnknownFault(ValueError):
    """No switch of that name, or a probability that is none."""


class Faults:
    """Which faults are on. `is_hit` is deterministic: the same seed, fault and key always give the same answer."""

    def __init__(self, *, seed: int, probabilities: Mapping[str, float] | None = None) -> None:
        self._seed = seed
        self._probabilities: dict[str, float] = dict.fromkeys(MEANINGS, 0.0)
        self.switch(probabilities or {})

    def switch(self, probabilities: Mapping[str, object]) -> None:
        """Change the named switches; `*` means all. Raises UnknownFault and changes nothing then."""
        wanted: dict[str, float] = {}
        for name, value in probabilities.items():
            if name != "*" and name not in MEANINGS:
                raise UnknownFault(f"no fault is named {name!r}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise UnknownFault(f"{name}: {value!r} is not a probability from 0 to 1")
            wanted |= dict.fromkeys(MEANINGS, float(value)) if name == "*" else {name: float(value)}
        self._probabilities |= wanted

    def is_hit(self, name: str, key: str) -> bool:
        probability = self._probabilities[name]
        return probability > 0 and self.fraction(name, key) < probability

    def fraction(self, name: str, key: str) -> float:
        """A number in [0, 1) that belongs to this seed, name and key."""
        digest = hashlib.sha256(f"{self._seed}|{name}|{key}".encode()).digest()
        return int.from_bytes(digest[:7], "big") / (1 << 56)

    def probabilities(self) -> dict[str, float]:
        return dict(self._probabilities)


def parse_faults(text: str) -> dict[str, float]:
    """`create_500=0.1,confirm_twice` as probabilities; without a number it is 1. Raises UnknownFault."""
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number) if number else 1.0
        except ValueError as error:
            raise UnknownFault(f"{part!r} is not name=probability") from error
    return found
