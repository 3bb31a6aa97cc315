"""Lists never show whom a parcel goes to."""

from __future__ import annotations

import pytest

from orders.draft import Receiver
from orders.receiver import mask_receiver


@pytest.mark.parametrize(
    ("receiver", "shown"),
    [
        (Receiver(name="张伟", mobile="13800138000"), "张** *******8000"),
        (Receiver(name="张*", mobile="138****8000", is_masked=True), "张* 138****8000"),
        # A platform that forgets its own mask is not believed.
        (Receiver(name="张伟", mobile="13800138000", is_masked=True), "张** *******8000"),
        (Receiver(), ""),
    ],
)
def test_a_receiver_is_masked_whatever_the_platform_says(receiver: Receiver, shown: str) -> None:
    assert mask_receiver(receiver) == shown
