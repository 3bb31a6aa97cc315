"""The traps of the sandbox: each has a name, a probability, and a die of its own that the seed decides."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass


class UnknownFault(Exception):
    """No trap has this name."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`in_all` is its probability when all traps are on, `in_none` when none is: some are how TOP always is."""

    name: str
    in_all: float
    description: str
    in_none: float = 0.0


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("http_500", 0.01, "HTTP 500 with a text body; nothing has happened"),
        Fault("drop", 0.005, "the connection closes without an answer; nothing has happened"),
        Fault(
            "hang", 0.0005, "no answer for --hang-seconds, then the connection closes; nothing has happened"
        ),
        Fault("http_500_after_write", 0.03, "HTTP 500 although the write took effect"),
        Fault(
            "drop_after_write", 0.02, "the connection closes without an answer although the write took effect"
        ),
        Fault("hang_after_write", 0.001, "no answer for --hang-seconds although the write took effect"),
        Fault("slow", 0.01, "the answer takes half a second"),
        Fault("truncated_answer", 0.005, "the body ends in the middle"),
        Fault("html_answer", 0.005, "a proxy's HTML page with HTTP 200 instead of the answer"),
        Fault("isp_error", 0.01, "code 15 isp.top-remote-service-unavailable; nothing has happened"),
        Fault(
            "throttled", 0.003, "code 7: the method is banned for one or two seconds, and says for how long"
        ),
        Fault(
            "session_expired", 0.0002, "code 27: the session is invalid for --expiry-seconds or until renewed"
        ),
        Fault(
            "shifting_pages",
            0.3,
            "after a page was read, a trade of another page changes and moves to page 1",
        ),
        Fault(
            "same_second",
            0.1,
            "after a page was read, a trade of it changes with the window's last second as its time",
        ),
        Fault("duplicate_rows", 0.05, "a list names one of its trades twice"),
        Fault("shuffled_rows", 0.05, "the rows of a page are not sorted"),
        Fault(
            "stale_detail",
            0.05,
            "the detail comes from a replica: the version before a change of the last 10 s",
        ),
        Fault("visibility_lag", 0.1, "a changed trade is in no list for --lag-seconds"),
        Fault("unknown_status", 0.01, "a paid trade has a status that no documentation names, for 15 s"),
        Fault("paid_forbid_consign", 0.02, "a paid trade is PAID_FORBID_CONSIGN for 10 s"),
        Fault(
            "presale",
            0.03,
            "a random order is a pre-sale: the deposit is paid at once, the rest some seconds later",
        ),
        Fault(
            "price_review",
            0.02,
            "a new price is answered with yes, then the platform's review refuses it: the old one stays",
        ),
        Fault("missing_empty_list", 1.0, "an empty list is left out of the answer altogether", in_none=1.0),
        Fault("masked_receivers", 1.0, "receiver texts are masked; only the oaid names them", in_none=1.0),
    )
}


def choose_faults(text: str) -> dict[str, float]:
    """The probabilities for `all`, `none`, or a list such as `drop,slow=0.5`. Raises UnknownFault."""
    chosen = {name: fault.in_none for name, fault in FAULTS.items()}
    if text == "all":
        return {name: fault.in_all for name, fault in FAULTS.items()}
    if text in ("", "none"):
        return chosen
    for part in text.split(","):
        name, _, probability = part.strip().partition("=")
        if name not in FAULTS:
            raise UnknownFault(name)
        chosen[name] = float(probability) if probability else FAULTS[name].in_all
    return chosen


class Dice:
    """Says whether a trap snaps this time. Each name has its own sequence, so switching one leaves the others alone."""

    def __init__(self, *, seed: int, probabilities: Mapping[str, float]) -> None:
        self._lock = threading.Lock()
        self._sequences = {name: random.Random(f"{seed}:{name}") for name in FAULTS}
        self.probabilities = dict(probabilities)
        self.fallen = dict.fromkeys(FAULTS, 0)

    def change(self, probabilities: Mapping[str, float]) -> None:
        """Raises UnknownFault, and ValueError for a probability outside 0..1; then nothing is changed."""
        for name, probability in probabilities.items():
            if name not in FAULTS:
                raise UnknownFault(name)
            if not 0 <= float(probability) <= 1:
                raise ValueError(f"{name}: {probability} is no probability")
        self.probabilities.update({name: float(value) for name, value in probabilities.items()})

    def falls(self, name: str) -> bool:
        probability = self.probabilities.get(name, 0.0)
        if probability <= 0:
            return False
        with self._lock:
            has_fallen = self._sequences[name].random() < probability
            self.fallen[name] += has_fallen
        return has_fallen

    def choose(self, name: str, count: int) -> int:
        """A number below `count`, from the sequence of that trap."""
        with self._lock:
            return self._sequences[name].randrange(count)
