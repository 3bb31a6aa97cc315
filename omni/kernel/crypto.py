"""Secrets and personal data at rest: AES-GCM with a key id, so that keys can be rotated."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

from omni.kernel.canonical import dump_json

NONCE_BYTES = 12


class UnknownKey(Exception):
    """The data was encrypted with a key that OMNI_ENCRYPTION_KEYS does not hold any more."""


@lru_cache(maxsize=8)
def _ciphers(keys: tuple[str, ...]) -> dict[int, AESGCM]:
    """`1:base64,2:base64` → ciphers by id."""
    ciphers = {}
    for item in keys:
        ident, _, text = item.partition(":")
        ciphers[int(ident)] = AESGCM(base64.b64decode(text))
    return ciphers


def encrypt(plain: bytes, *, purpose: str) -> bytes:
    """key id (1 byte) ‖ nonce ‖ ciphertext. `purpose` is authenticated.

    A value moved to another column does not decrypt.
    """
    ciphers = _ciphers(tuple(settings.OMNI_ENCRYPTION_KEYS))
    ident = max(ciphers)
    nonce = os.urandom(NONCE_BYTES)
    return bytes([ident]) + nonce + ciphers[ident].encrypt(nonce, plain, purpose.encode())


def decrypt(data: bytes, *, purpose: str) -> bytes:
    """The reverse of `encrypt`. Raises UnknownKey, or InvalidTag if the data was tampered with or moved."""
    cipher = _ciphers(tuple(settings.OMNI_ENCRYPTION_KEYS)).get(data[0])
    if cipher is None:
        raise UnknownKey(f"encryption key {data[0]} is not in OMNI_ENCRYPTION_KEYS")
    return cipher.decrypt(data[1 : 1 + NONCE_BYTES], data[1 + NONCE_BYTES :], purpose.encode())


def encrypt_json(value: Any, *, purpose: str) -> bytes:
    """The stored form of an EncryptedJSONField's value, for set-based inserts."""
    return encrypt(dump_json(value), purpose=purpose)


def blind_index(value: str, *, purpose: str) -> bytes:
    """16 bytes by which equal values can be found without storing them."""
    key = hashlib.sha256(f"blind:{settings.OMNI_ENCRYPTION_KEYS[0]}".encode()).digest()
    return hmac.new(key, f"{purpose}\0{value}".encode(), hashlib.sha256).digest()[:16]


class EncryptedJSONField(models.BinaryField):  # type: ignore[type-arg]
    """A JSON value, encrypted in the database. `purpose` names the column and must never change."""

    def __init__(self, *args: Any, purpose: str, **kwargs: Any) -> None:
        self.purpose = purpose
        kwargs.setdefault("editable", False)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs["purpose"] = self.purpose
        return name, path, args, kwargs

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if value is None:
            return None
        data = bytes(value)
        return json.loads(decrypt(data, purpose=self.purpose)) if data else {}

    def get_prep_value(self, value: Any) -> Any:
        if value is None or isinstance(value, (bytes, memoryview)):
            return value
        return encrypt_json(value, purpose=self.purpose)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: Any) -> str:
        raise TypeError("encrypted values are not serialised")
