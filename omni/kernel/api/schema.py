"""How the OpenAPI schema tells of what all endpoints have in common: their problems."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent

from omni.kernel.api.problems import MEDIA_TYPE

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `code` is a stable word; `fields` says per field what is wrong with it.",
    "required": ["type", "status", "code", "detail", "fields"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
    "additionalProperties": True,
}
ALWAYS = {
    "400": "What was sent cannot be understood.",
    "401": "No key, or none that is valid.",
    "403": "The key has not the scope.",
    "404": "There is no such thing, or not for this key.",
    "406": "Only JSON is spoken.",
    "429": "More requests than one caller may make: ask again after `Retry-After` seconds.",
    "503": "Busy: ask again after `Retry-After` seconds.",
}
WITH_WAIT = frozenset({"429", "503"})
WAIT = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
OF_WRITES = {
    "409": "It cannot be done as things are; or a request with the same key is still being worked on.",
    "413": "The body is too large.",
    "415": "Only JSON is read.",
    "422": "The Idempotency-Key was used for another request.",
}


class HouseSchema(AutoSchema):
    """The schema of an endpoint, with the problems that it may answer."""

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        texts = ALWAYS if self.method == "GET" else {**ALWAYS, **OF_WRITES}
        for status, text in texts.items():
            body = {"description": text, "content": {MEDIA_TYPE: {"schema": self._problem().ref}}}
            bodies.setdefault(status, body | ({"headers": WAIT} if status in WITH_WAIT else {}))
        return dict(sorted(bodies.items()))

    def _problem(self) -> ResolvedComponent:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name="Problem", type=ResolvedComponent.SCHEMA, object="Problem", schema=PROBLEM
        )
        self.registry.register_on_missing(component)
        return component
