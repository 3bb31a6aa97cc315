"""What is encrypted can be read by its owner, in its own column, and by nobody else."""

from __future__ import annotations

import base64

import pytest
from cryptography.exceptions import InvalidTag

from omni.kernel.crypto import UnknownKey, blind_index, decrypt, encrypt

OLD, NEW = (f"{ident}:{base64.b64encode(bytes([ident]) * 32).decode()}" for ident in (1, 2))


def test_a_value_comes_back() -> None:
    assert decrypt(encrypt("张伟".encode(), purpose="a"), purpose="a").decode() == "张伟"


def test_equal_values_do_not_look_equal() -> None:
    assert encrypt(b"x", purpose="a") != encrypt(b"x", purpose="a")


def test_a_value_moved_to_another_column_cannot_be_read() -> None:
    with pytest.raises(InvalidTag):
        decrypt(encrypt(b"x", purpose="a"), purpose="b")


def test_after_a_rotation_old_values_are_read_and_new_ones_use_the_new_key(settings: object) -> None:
    settings.OMNI_ENCRYPTION_KEYS = [OLD]  # type: ignore[attr-defined]
    before = encrypt(b"x", purpose="a")
    settings.OMNI_ENCRYPTION_KEYS = [OLD, NEW]  # type: ignore[attr-defined]

    after = encrypt(b"x", purpose="a")

    assert decrypt(before, purpose="a") == b"x"
    assert (before[0], after[0]) == (1, 2)


def test_a_lost_key_is_named(settings: object) -> None:
    settings.OMNI_ENCRYPTION_KEYS = [OLD]  # type: ignore[attr-defined]
    data = encrypt(b"x", purpose="a")
    settings.OMNI_ENCRYPTION_KEYS = [NEW]  # type: ignore[attr-defined]

    with pytest.raises(UnknownKey, match="key 1"):
        decrypt(data, purpose="a")


def test_equal_values_have_one_blind_index_per_purpose() -> None:
    assert blind_index("13800138000", purpose="a") == blind_index("13800138000", purpose="a")
    assert blind_index("13800138000", purpose="a") != blind_index("13800138000", purpose="b")
