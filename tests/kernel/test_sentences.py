"""A sentence is stored once and read by everybody in their own language."""

from __future__ import annotations

from django.utils import translation

from omni.kernel.sentences import read_sentence, sentence


def test_a_sentence_is_read_in_the_readers_language() -> None:
    stored = sentence("The order has no lines: ask the channel for its details again.")

    with translation.override("zh-hans"):
        chinese = read_sentence(stored)
    with translation.override("en"):
        english = read_sentence(stored)

    assert english == "The order has no lines: ask the channel for its details again."
    assert chinese != english


def test_values_stand_in_their_places() -> None:
    stored = sentence("Line %(line)d orders %(quantity)s units") % {"line": 2, "quantity": "0"}

    assert read_sentence(stored) == "Line 2 orders 0 units"
    assert read_sentence(sentence("No %s of %d") % ("milk", 3)) == "No milk of 3"
    assert read_sentence(sentence("No %s") % "milk") == "No milk"


def test_what_a_person_typed_stays_as_it_is() -> None:
    for text in ("call the buyer", "100 % sure", '{"say": broken', '{"say": "%(x)s", "with": {"y": 1}}'):
        assert read_sentence(text) == text
