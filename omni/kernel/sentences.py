"""Sentences that are written down once and read later, by each reader in their own language."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext

# How a stored sentence begins; whatever else stands in such a column is shown as it is.
MARK = '{"say": '


class Sentence(str):
    """The stored form of a sentence: its English text and, after `%`, its values, as JSON."""

    msgid: str

    def __mod__(self, values: Any) -> str:
        return _store(self.msgid, list(values) if isinstance(values, tuple) else values)


def sentence(msgid: str) -> Sentence:
    """Mark a text for translation, and write it down so that `read_sentence` can say it in any language.

    Used like gettext: `sentence("%(units)d units are missing") % {"units": 3}`. Values are texts and whole numbers.
    """
    stored = Sentence(_store(msgid, None))
    stored.msgid = msgid
    return stored


def _store(msgid: str, values: Any) -> str:
    return json.dumps({"say": msgid, "with": values}, ensure_ascii=False, default=str)


def read_sentence(stored: str) -> str:
    """The sentence in the reader's language; a text that was not stored as a sentence stays as it is."""
    if not stored.startswith(MARK):
        return stored
    try:
        parts = json.loads(stored)
        msgid, values = parts["say"], parts["with"]
        said = gettext(msgid)
        return str(said if values is None else said % (tuple(values) if isinstance(values, list) else values))
    except (ValueError, KeyError, TypeError):
        return stored
