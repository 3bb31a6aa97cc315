"""Which locations sell together: by a person, by rules, and by what a location is used for."""

from __future__ import annotations

from collections import Counter

import pytest
from django.utils import timezone

from inventory.book import UnknownPlace
from inventory.models import (
    Location,
    LocationGroup,
    PoolingRule,
    PublishedStock,
    Reservation,
    Shortage,
    StockMovement,
    StockPool,
)
from inventory.network.group import (
    PoolingChanged,
    Regrouped,
    SwitchedOff,
    apply_pooling_rules,
    join_group,
)
from inventory.network.pooling import plan_pooling
from inventory.network.switch import UnknownUse, switch_location
from inventory.pools import PoolMove, move_between_pools, set_safety_stock
from inventory.publish import plan_published_stock
from omni.kernel.models import AuditEntry
from tests.factories.inventory import (
    LocationFactory,
    LocationGroupFactory,
    Scene,
    parts_of,
    put_stock,
    shop_drawing_on,
)
from tests.factories.products import ListingFactory, SkuFactory

pytestmark = [pytest.mark.django_db, pytest.mark.capability("V2"), pytest.mark.capability("V16")]


def join(location: Location, group: LocationGroup) -> Regrouped | None:
    return join_group(
        location_id=location.pk, group_id=group.pk, reason="one stock", at=timezone.now(), by="user:1"
    )


def switch(location: Location, use: str, is_on: bool) -> Regrouped | None:
    return switch_location(
        location_id=location.pk, use=use, is_on=is_on, reason="", at=timezone.now(), by="user:1"
    )


def group_of(location: Location) -> str:
    return Location.objects.values_list("group__code", flat=True).get(pk=location.pk)


def granted(group: LocationGroup) -> dict[str, tuple[int, int]]:
    rows = StockPool.objects.filter(group=group)
    return {kind: (has, taken) for kind, has, taken in rows.values_list("kind", "granted", "reserved")}


def rule(name: str, group: LocationGroup, **asked: object) -> PoolingRule:
    return PoolingRule.objects.create(name=name, group=group, **asked)


# joining --------------------------------------------------------------------------------------------------------


def test_what_lies_at_a_location_is_sold_by_its_new_group() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    put_stock(LocationFactory.create(group=scene.location.group), scene.sku, 4)
    old = scene.location.group

    moved = join(scene.location, east)

    assert moved
    assert (moved.units, moved.committed, moved.withdrawn) == (10, 0, 0)
    assert (granted(old), granted(east)) == ({"shared": (4, 0)}, {"shared": (10, 0)})
    assert group_of(scene.location) == east.code
    assert set(StockMovement.objects.filter(kind="regroup").values_list("document", flat=True)) == {
        scene.location.code
    }
    act = AuditEntry.objects.get(action="join_group")
    assert (act.by, act.reason, act.detail["units"]) == ("user:1", "one stock", 10)


def test_the_new_groups_safety_stock_is_filled_first_and_its_intake_is_asked() -> None:
    scene = Scene(10)
    held_back = LocationGroupFactory.create(new_stock_goes_to="base")
    targets = {scene.sku.pk: 3}
    set_safety_stock(group_id=held_back.pk, targets=targets, at=timezone.now(), by="t", reason="")

    join(scene.location, held_back)

    assert granted(held_back) == {"safety": (3, 0), "base": (7, 0)}


def test_a_promise_that_is_committed_there_goes_with_its_units_and_is_shipped() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    key = scene.promise(6)
    scene.commit(key, 4)
    old = scene.location.group
    put_stock(LocationFactory.create(group=old), scene.sku, 2)

    moved = join(scene.location, east)

    assert moved
    assert (moved.units, moved.committed, moved.withdrawn) == (10, 4, 0)
    assert granted(east) == {"shared": (10, 4)}
    assert granted(old) == {"shared": (2, 2)}
    parts = Counter(dict(Reservation.objects.filter(line_key=key).values_list("state", "pool__group__code")))
    assert parts == {"committed": east.code, "held": old.code}
    committed = Reservation.objects.get(line_key=key, state="committed")
    scene.ship(key, 4, part=committed.part)
    assert granted(east) == {"shared": (6, 0)}


def test_a_committed_promise_can_be_taken_back_after_the_move() -> None:
    scene, east = Scene(5), LocationGroupFactory.create()
    key = scene.promise(5)
    scene.commit(key, 5)

    join(scene.location, east)
    scene.release(key)

    assert granted(east) == {"shared": (5, 0)}


def test_held_promises_are_kept_while_the_old_group_has_other_free_units() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    put_stock(LocationFactory.create(group=scene.location.group), scene.sku, 8)
    key = scene.promise(8)

    moved = join(scene.location, east)

    assert moved
    assert moved.withdrawn == 0
    assert parts_of(key) == [(0, 8, "held")]


def test_held_promises_that_the_old_group_cannot_keep_are_withdrawn_youngest_first() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    put_stock(LocationFactory.create(group=scene.location.group), scene.sku, 5)
    old_line, young = scene.promise(5), scene.promise(4)

    moved = join(scene.location, east)

    assert moved
    assert moved.withdrawn == 4
    assert parts_of(old_line) == [(0, 5, "held")]
    assert parts_of(young) == [(0, 4, "released")]
    assert Shortage.objects.get(line_key=young).quantity == 4


def test_free_units_leave_the_pools_in_the_order_of_a_count() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    old = scene.location.group
    quota = StockPool.objects.create(group=old, sku=scene.sku, kind="quota", label="A")
    moves = [PoolMove(scene.pool().pk, quota.pk, 6)]
    move_between_pools(key="m", moves=moves, at=timezone.now(), by="test", reason="")
    put_stock(LocationFactory.create(group=old), scene.sku, 3)

    join(scene.location, east)

    assert granted(old) == {"shared": (0, 0), "quota": (3, 0)}


def test_several_skus_owners_and_grades_move_at_once() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    other = SkuFactory.create(spu=scene.sku.spu)
    put_stock(scene.location, other, 3, owner="partner")
    put_stock(scene.location, other, 2)
    put_stock(scene.location, other, 7, grade="defective")

    moved = join(scene.location, east)

    assert moved
    assert moved.units == 15
    assert dict(StockPool.objects.filter(group=east).values_list("sku_id", "granted")) == {
        scene.sku.pk: 10,
        other.pk: 5,
    }


def test_what_was_shipped_before_stays_what_it_was() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    key = scene.promise(2)
    scene.commit(key, 2)
    scene.ship(key, 2)

    join(scene.location, east)

    assert parts_of(key) == [(0, 2, "shipped")]


def test_shops_are_told_of_both_groups() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    other_shop = shop_drawing_on(east)
    listings = [ListingFactory.create(shop=shop, sku=scene.sku) for shop in (scene.shop, other_shop)]
    plan_published_stock(limit=100, at=timezone.now())

    join(scene.location, east)
    plan_published_stock(limit=100, at=timezone.now())

    shown = dict(PublishedStock.objects.values_list("listing_id", "desired_quantity"))
    assert [shown[listing.pk] for listing in listings] == [0, 10]


def test_joining_ones_own_group_changes_nothing() -> None:
    scene = Scene(10)

    assert join(scene.location, scene.location.group) is None
    assert not StockMovement.objects.filter(kind="regroup").exists()


def test_nobody_joins_what_is_not_there() -> None:
    location = LocationFactory.create()
    with pytest.raises(UnknownPlace):
        join_group(location_id=0, group_id=location.group_id, reason="", at=timezone.now(), by="t")
    with pytest.raises(UnknownPlace):
        join_group(location_id=location.pk, group_id=0, reason="", at=timezone.now(), by="t")


# switching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["ships_online", "is_active"])
def test_a_location_that_is_switched_off_is_not_sold_and_comes_back(use: str) -> None:
    scene = Scene(10)
    listing = ListingFactory.create(shop=scene.shop, sku=scene.sku)
    home = scene.location.group.code

    switch(scene.location, use, False)
    plan_published_stock(limit=100, at=timezone.now())
    assert (group_of(scene.location), PublishedStock.objects.get(listing=listing).desired_quantity) == (
        "off",
        0,
    )
    assert scene.reserve(scene.demand(1))[0].reserved == 0
    switch(scene.location, use, True)
    plan_published_stock(limit=100, at=timezone.now())

    assert (group_of(scene.location), PublishedStock.objects.get(listing=listing).desired_quantity) == (
        home,
        9,
    )
    assert Location.objects.get(pk=scene.location.pk).group_before_off_id is None


def test_a_location_with_two_switches_off_comes_back_when_both_are_on() -> None:
    scene = Scene(10)
    home = scene.location.group.code
    switch(scene.location, "ships_online", False)
    switch(scene.location, "is_active", False)

    switch(scene.location, "ships_online", True)
    assert group_of(scene.location) == "off"
    switch(scene.location, "is_active", True)

    assert group_of(scene.location) == home


def test_switching_what_is_so_already_changes_nothing() -> None:
    scene = Scene(10)

    assert switch(scene.location, "ships_online", True) is None
    assert not AuditEntry.objects.filter(action="switch_location").exists()


@pytest.mark.parametrize("use", ["ships_dealers", "offers_pickup", "takes_returns"])
def test_the_other_uses_do_not_move_what_is_sold_online(use: str) -> None:
    scene = Scene(10)
    home = scene.location.group.code

    is_on = not getattr(scene.location, use)
    assert switch(scene.location, use, is_on) is None

    assert getattr(Location.objects.get(pk=scene.location.pk), use) is is_on
    assert group_of(scene.location) == home
    assert AuditEntry.objects.get(action="switch_location").detail == {"use": use, "is_on": is_on}


def test_only_known_uses_are_switched() -> None:
    location = LocationFactory.create()

    with pytest.raises(UnknownUse):
        switch(location, "name", True)


def test_orders_that_were_given_to_a_location_still_leave_when_it_is_switched_off() -> None:
    scene = Scene(10)
    key = scene.promise(4)
    scene.commit(key, 4)

    switch(scene.location, "ships_online", False)
    scene.ship(key, 4)

    assert parts_of(key) == [(0, 4, "shipped")]
    assert granted(LocationGroup.objects.get(code="off")) == {"base": (6, 0)}


def test_what_is_switched_off_joins_no_group_that_may_be_sold() -> None:
    scene, east = Scene(10), LocationGroupFactory.create()
    switch(scene.location, "ships_online", False)

    with pytest.raises(SwitchedOff):
        join(scene.location, east)

    assert group_of(scene.location) == "off"


# rules ----------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_fits_says_where_a_location_belongs() -> None:
    stores, west, rest = (LocationGroupFactory.create() for _ in range(3))
    rule("stores of the west", west, kinds=["store"], provinces=["四川省"], position=1)
    rule("stores", stores, kinds=["store"], position=2)
    rule("partners", rest, owners=["partner"], position=3)
    here = LocationFactory.create(kind="store", province="四川省")
    there = LocationFactory.create(kind="store", province="广东省")
    partner = LocationFactory.create(kind="3pl", owner="partner")
    own = LocationFactory.create(kind="central")
    home = own.group.code

    moved = apply_pooling_rules(reason="rules", at=timezone.now(), by="user:1")

    assert len(moved) == 3
    groups = [group_of(location) for location in (here, there, partner, own)]
    assert groups == [west.code, stores.code, rest.code, home]
    assert apply_pooling_rules(reason="again", at=timezone.now(), by="user:1") == []


def test_a_rule_that_is_switched_off_moves_nobody() -> None:
    rule("all", LocationGroupFactory.create(), is_active=False)
    location = LocationFactory.create()

    assert plan_pooling([location.pk]) == []


def test_the_preview_says_who_would_move_where_with_how_many_units_and_at_what_cost() -> None:
    east = LocationGroupFactory.create()
    scene = Scene(10)
    put_stock(LocationFactory.create(group=scene.location.group, kind="branch"), scene.sku, 2)
    scene.commit(scene.promise(3), 3)
    scene.promise(4)
    chosen = rule("all central", east, kinds=["central"])

    (move,) = plan_pooling()

    assert (move.location, move.to_group_id, move.rule) == (scene.location, east.pk, chosen)
    assert (move.skus, move.units, move.committed, move.withdrawn) == (1, 10, 3, 2)
    assert group_of(scene.location) == scene.location.group.code
    (done,) = apply_pooling_rules(reason="", at=timezone.now(), by="user:1")
    assert (done.units, done.committed, done.withdrawn) == (10, 3, 2)


def test_what_was_looked_at_is_what_is_done() -> None:
    east = LocationGroupFactory.create()
    first = Scene(10)
    rule("all", east)
    seen = [(move.location.pk, move.to_group_id) for move in plan_pooling()]
    LocationFactory.create()

    with pytest.raises(PoolingChanged):
        apply_pooling_rules(expected=seen, reason="", at=timezone.now(), by="user:1")

    assert group_of(first.location) == first.location.group.code


def test_a_rule_for_locations_that_do_not_ship_online_takes_the_place_of_off() -> None:
    scene, dealers = Scene(10), LocationGroupFactory.create()
    home = scene.location.group.code
    rule("dealers", dealers, ships_online=False)

    switch(scene.location, "ships_online", False)
    assert group_of(scene.location) == dealers.code
    switch(scene.location, "is_active", False)
    assert group_of(scene.location) == "off"
    switch(scene.location, "is_active", True)
    assert group_of(scene.location) == dealers.code
    switch(scene.location, "ships_online", True)

    assert group_of(scene.location) == home


def test_a_rule_for_either_does_not_keep_what_is_off_on_sale() -> None:
    scene = Scene(10)
    rule("everything", scene.location.group)

    switch(scene.location, "ships_online", False)

    assert group_of(scene.location) == "off"
