"""Promised units are taken from a location, and given back."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from inventory.commit import Commitment, Committed, commit_stock, uncommit_stock
from inventory.models import Reservation, StockLevel
from tests.factories.inventory import LocationFactory, Scene, parts_of, put_stock

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V10")]


def test_one_that_cannot_be_met_does_not_keep_the_others() -> None:
    scene = Scene(3)
    second = LocationFactory.create(group=scene.location.group)
    put_stock(second, scene.sku, 2)
    first, other = scene.promise(3), scene.promise(2)

    results = commit_stock(
        commitments=[
            Commitment(first, 0, second.pk, 3),
            Commitment(other, 0, second.pk, 2),
            Commitment(uuid4(), 0, second.pk, 1),
        ],
        at=timezone.now(),
        by="test",
    )

    assert [result.ok for result in results] == [False, True, False]
    assert parts_of(first) == [(0, 3, "held")]
    assert StockLevel.objects.get(location=second).committed == 2


def test_two_commitments_cannot_take_the_same_last_unit_of_a_location() -> None:
    scene = Scene(1)
    second = LocationFactory.create(group=scene.location.group)
    put_stock(second, scene.sku, 1)
    keys = [scene.promise(1), scene.promise(1)]
    wanted = [Commitment(key, 0, scene.location.pk, 1) for key in keys]

    results = commit_stock(commitments=wanted, at=timezone.now(), by="test")

    assert [result.ok for result in results] == [True, False]
    assert scene.level.committed == 1


def test_a_part_is_split_over_locations() -> None:
    scene = Scene(2)
    second = LocationFactory.create(group=scene.location.group)
    put_stock(second, scene.sku, 3)
    key = scene.promise(5)
    wanted = [Commitment(key, 0, scene.location.pk, 2), Commitment(key, 0, second.pk, 3)]

    results = commit_stock(commitments=wanted, at=timezone.now(), by="test")

    assert results == [
        Committed(key, 1, scene.location.pk, 2, ok=True),
        Committed(key, 0, second.pk, 3, ok=True),
    ]
    assert parts_of(key) == [(0, 3, "committed"), (1, 2, "committed")]
    places = dict(Reservation.objects.values_list("part", "location_id"))
    assert places == {0: second.pk, 1: scene.location.pk}


def test_no_more_of_a_part_is_committed_than_it_holds() -> None:
    scene = Scene(9)
    key = scene.promise(5)
    wanted = [Commitment(key, 0, scene.location.pk, 3), Commitment(key, 0, scene.location.pk, 3)]

    results = commit_stock(commitments=wanted, at=timezone.now(), by="test")

    assert [result.ok for result in results] == [True, False]
    assert scene.level.committed == 3


def test_asking_again_for_what_is_committed_there_is_a_yes() -> None:
    scene = Scene(5)
    key = scene.promise(5)
    scene.commit(key, 5)

    is_committed = scene.commit(key, 5)

    assert is_committed
    assert scene.level.committed == 5


def test_stock_of_another_group_is_not_taken() -> None:
    """Or the group's pools would have more granted than lies in its locations."""
    scene = Scene(5)
    elsewhere = LocationFactory.create()
    put_stock(elsewhere, scene.sku, 5)
    key = scene.promise(5)

    is_committed = scene.commit(key, 5, location=elsewhere)

    assert not is_committed
    assert parts_of(key) == [(0, 5, "held")]


def test_own_stock_goes_before_that_of_other_owners_and_only_good_units_go() -> None:
    scene = Scene()
    put_stock(scene.location, scene.sku, 2, owner="dealer-7")
    put_stock(scene.location, scene.sku, 2)
    put_stock(scene.location, scene.sku, 9, grade="seconds")
    keys = [scene.promise(1) for _ in range(4)]

    are_committed = [scene.commit(key, 1) for key in keys[:3]]
    left = scene.demand(1)
    scene.reserve(left)

    assert are_committed == [True, True, True]
    committed = dict(StockLevel.objects.values_list("owner", "committed").exclude(grade="seconds"))
    assert committed == {"own": 2, "dealer-7": 1}
    assert parts_of(left.line_key) == []


def test_what_is_given_back_stays_promised() -> None:
    scene = Scene(5)
    key = scene.promise(5)
    scene.commit(key, 5)

    back = uncommit_stock(parts=[(key, 0), (key, 0), (key, 7)], at=timezone.now(), by="test")
    again = uncommit_stock(parts=[(key, 0)], at=timezone.now(), by="test")

    assert (back, again) == (5, 0)
    assert parts_of(key) == [(0, 5, "held")]
    assert (scene.level.committed, scene.pool().reserved) == (0, 5)
    assert Reservation.objects.get().location_id is None
