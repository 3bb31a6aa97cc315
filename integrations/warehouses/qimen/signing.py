"""The signature of a Qimen call, over the query and the body byte for byte.

Source: Qimen documentation, "signature": HEX(md5(secret + sorted query names and values + body + secret)), upper case.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping


def sign_call(*, query: Mapping[str, str], body: bytes, secret: str) -> str:
    """`query` holds raw values, not their URL encoding; `sign` and empty values are left out."""
    named = sorted((name, value) for name, value in query.items() if value and name != "sign")
    text = "".join(name + value for name, value in named)
    content = secret.encode() + text.encode("utf-8", "surrogatepass") + body + secret.encode()
    # md5 is what the protocol asks for; it is no choice of ours
    return hashlib.md5(content, usedforsecurity=False).hexdigest().upper()


def is_signed(*, query: Mapping[str, str], body: bytes, secret: str) -> bool:
    """Compared in constant time. An empty secret signs nothing."""
    expected = sign_call(query=query, body=body, secret=secret)
    given = query.get("sign", "").upper().encode("utf-8", "replace")
    return bool(secret) and hmac.compare_digest(expected.encode(), given)
