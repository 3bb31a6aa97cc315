"""How a TOP request is signed, written for the platform's side of the counter.

Source: TOP documentation, "API call protocol", as summarised in the specification's section on TOP.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

SIGN_METHODS = frozenset({"md5", "hmac", "hmac-sha256"})


def text_to_sign(parameters: Mapping[str, str]) -> str:
    """Every name and value but `sign`, empty ones left out, in the order of the names' code points, nothing between."""
    kept = sorted((name, value) for name, value in parameters.items() if name and value and name != "sign")
    return "".join(name + value for name, value in kept)


def sign(*, parameters: Mapping[str, str], secret: str, sign_method: str) -> str:
    """The signature in upper-case hexadecimal. Raises KeyError for a method that TOP does not know."""
    text = text_to_sign(parameters).encode()
    key = secret.encode()
    if sign_method == "md5":
        return hashlib.md5(key + text + key, usedforsecurity=False).hexdigest().upper()
    digest = {"hmac": "md5", "hmac-sha256": "sha256"}[sign_method]
    return hmac.new(key, text, digest).hexdigest().upper()


def is_signed(*, parameters: Mapping[str, str], secret: str) -> bool:
    expected = sign(parameters=parameters, secret=secret, sign_method=parameters.get("sign_method", "md5"))
    return hmac.compare_digest(expected.encode(), parameters.get("sign", "").encode())
