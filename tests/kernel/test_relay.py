"""Events are written with their change, handed on at least once, and parked when nobody can take them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from omni.kernel.events import Event, record_events
from omni.kernel.forget import forget_done_events
from omni.kernel.models import OutboxEvent
from omni.kernel.relay import ATTEMPTS_MAX, relay_events, revive_events

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class SomethingHappened(Event):
    ids: tuple[int, ...]


class Ear:
    """A reaction that can be told to fail."""

    def __init__(self, name: str, failures: int = 0) -> None:
        self.__name__ = name
        self.__module__ = "tests"
        self.failures = failures
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        self.heard.append(event)


def relay(*ears: Ear, minutes: int = 0) -> int:
    OutboxEvent.objects.filter(state="ready").update(not_before=timezone.now() - timedelta(seconds=1))
    return relay_events(
        reactions={SomethingHappened: ears}, limit=10, at=timezone.now() + timedelta(minutes=minutes)
    )


def test_an_event_reaches_everyone_who_reacts() -> None:
    first, second = Ear("first"), Ear("second")
    record_events(SomethingHappened((1, 2)))

    relay(first, second)

    assert first.heard == second.heard == [SomethingHappened((1, 2))]
    assert OutboxEvent.objects.get().state == OutboxEvent.State.DONE


def test_only_the_reaction_that_failed_is_repeated() -> None:
    good, shaky = Ear("good"), Ear("shaky", failures=1)
    record_events(SomethingHappened((1,)))

    relay(shaky, good)
    after_first = OutboxEvent.objects.get().state
    relay(shaky, good)

    assert after_first == OutboxEvent.State.READY
    assert len(good.heard) == len(shaky.heard) == 1


def test_what_always_fails_becomes_a_dead_letter_that_a_person_can_revive() -> None:
    hopeless = Ear("hopeless", failures=ATTEMPTS_MAX)
    record_events(SomethingHappened((1,)))

    for _ in range(ATTEMPTS_MAX):
        relay(hopeless)
    event = OutboxEvent.objects.get()
    revive_events(event_ids=[event.pk], at=timezone.now())
    relay(hopeless)

    assert event.state == OutboxEvent.State.DEAD
    assert "not now" in event.last_error
    assert len(hopeless.heard) == 1


def test_an_event_that_is_rolled_back_never_happened() -> None:
    ear = Ear("ear")
    with transaction.atomic():
        record_events(SomethingHappened((1,)))
        transaction.set_rollback(True)

    claimed = relay(ear)

    assert (claimed, ear.heard) == (0, [])


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        record_events(SomethingHappened((1,)))


def test_a_newer_field_does_not_stop_an_older_reader() -> None:
    ear = Ear("ear")
    record_events(SomethingHappened((1,)))
    OutboxEvent.objects.update(payload={"ids": [1], "added_later": True})

    relay(ear)

    assert ear.heard == [SomethingHappened((1,))]


def test_old_events_are_forgotten_and_dead_letters_kept() -> None:
    record_events(SomethingHappened((1,)), SomethingHappened((2,)))
    relay(Ear("ear"))
    OutboxEvent.objects.filter(payload={"ids": [2]}).update(state="dead")

    forgotten = forget_done_events(before=timezone.now() + timedelta(days=1))

    assert forgotten == 1
    assert OutboxEvent.objects.get().state == OutboxEvent.State.DEAD
