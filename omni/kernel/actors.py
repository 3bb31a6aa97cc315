"""Who did it: one short text in every row that people may ask about."""

from __future__ import annotations

from typing import Any

SYSTEM = "system"


def user_actor(user: Any) -> str:
    """The actor text of a signed-in person: `user:7`."""
    return f"user:{user.pk}"


def actor(kind: str, ident: int | str) -> str:
    """`shop:3`, `rule:12`, `connection:4`, `key:9`, `import:5`."""
    return f"{kind}:{ident}"
