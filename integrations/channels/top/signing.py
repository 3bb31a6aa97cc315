"""The signature that TOP wants on every request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Literal

SignMethod = Literal["md5", "hmac", "hmac-sha256"]


def sign_parameters(
    *, parameters: Mapping[str, str], secret: str, sign_method: SignMethod = "md5", body: bytes = b""
) -> str:
    """The value of `sign` for these system and business parameters, in upper case hexadecimal.

    Source: the TOP protocol page (channels.md section 3): every parameter but `sign` and the empty ones,
    sorted by name, name and value joined without separators, UTF-8, before URL encoding. `body` is the raw
    body of the few calls that send one; md5 puts the secret on both sides, the two HMACs use it as the key.
    """
    text = "".join(
        f"{name}{parameters[name]}"
        for name in sorted(parameters)
        if name and name != "sign" and parameters[name]
    )
    message = text.encode() + body
    key = secret.encode()
    if sign_method == "md5":
        return hashlib.md5(key + message + key, usedforsecurity=False).hexdigest().upper()
    digest = {"hmac": "md5", "hmac-sha256": "sha256"}[sign_method]
    return hmac.new(key, message, digest).hexdigest().upper()
