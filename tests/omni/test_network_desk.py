"""Transfers, counts, locations and grades at the desk: who may press what, and what is said when it cannot be done."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inventory.models import CountSheet, Location, PoolingRule, StockLevel, Transfer
from inventory.network.tally import CountedLine, open_count_sheet, submit_count_sheet
from products.models import Brand, StaffScope
from tests.factories.inventory import LocationFactory, LocationGroupFactory, Scene, put_stock

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def scene() -> Scene:
    scene = Scene(10)
    scene.sku.spu.brand = Brand.objects.create(code="mine", name="mine")
    scene.sku.spu.save()
    return scene


def staff(brand: Brand, *codenames: str) -> Client:
    user = User.objects.create_user(f"staff-{uuid4()}", "s@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    StaffScope.objects.create(user=user, brand=brand)
    client = Client()
    client.force_login(user)
    return client


def clerk(scene: Scene) -> Client:
    names = [f"{verb}_{model}" for verb in ("view", "add", "change") for model in ("transfer", "countsheet")]
    names += ["view_location", "change_location", "view_poolingrule", "change_poolingrule", "view_sku"]
    return staff(scene.sku.spu.brand, *names, "view_skustock", "change_skustock")


def plan(client: Client, scene: Scene, lines: str) -> Transfer | None:
    place = {"source": scene.location.pk, "destination": LocationFactory.create().pk}
    client.post(reverse("admin:inventory_transfer_add"), {**place, "lines": lines})
    return Transfer.objects.order_by("-pk").first()


def act(client: Client, name: str, pk: int, code: str, **said: object) -> int:
    return client.post(reverse(f"admin:inventory_{name}_act", args=[pk, code]), said).status_code


@pytest.mark.capability("V17")
def test_a_clerk_plans_ships_and_receives(scene: Scene) -> None:
    client = clerk(scene)
    transfer = plan(client, scene, f"{scene.sku.code}\t4")
    assert transfer
    line = transfer.lines.get()

    act(client, "transfer", transfer.pk, "ship", **{f"units-{line.pk}": 3})
    came = {f"received-{line.pk}": 2, f"lost-{line.pk}": 1, f"reason-{line.pk}": "lost", "key": "k"}
    act(client, "transfer", transfer.pk, "receive", **came)

    line.refresh_from_db()
    transfer.refresh_from_db()
    assert (line.shipped, line.received, line.lost, transfer.state) == (3, 2, 1, "closed")
    for name in ("change", "history"):
        page = client.get(reverse(f"admin:inventory_transfer_{name}", args=[transfer.pk]))
        assert page.status_code == 200
        assert transfer.number in page.content.decode()


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("NO-SUCH\t1", "there is no SKU"),
        ("{code}", "it needs a code and a number of units"),
        ("{code}\t0", "is no number of units"),
        ("{code}\tmany", "is no number of units"),
        ("{code}\t1\tgolden", "is no grade"),
        ("{code}\t1\n{code}\t2", "it stands there twice"),
    ],
)
def test_pasted_lines_say_what_is_wrong_with_them(scene: Scene, lines: str, fault: str) -> None:
    place = {"source": scene.location.pk, "destination": LocationFactory.create().pk}
    text = lines.replace("{code}", scene.sku.code)

    page = clerk(scene).post(reverse("admin:inventory_transfer_add"), {**place, "lines": text})

    assert fault in page.content.decode()
    assert not Transfer.objects.exists()


def test_lines_are_pasted_with_tabs_commas_blanks_and_grades(scene: Scene) -> None:
    put_stock(scene.location, scene.sku, 3, grade="seconds")

    transfer = plan(clerk(scene), scene, f"{scene.sku.code}, 2\n\n{scene.sku.code}\t1\tseconds\n")

    assert transfer
    assert sorted(transfer.lines.values_list("quantity", "grade")) == [(1, "seconds"), (2, "good")]


def test_what_is_promised_is_not_sent_and_the_page_says_so(scene: Scene) -> None:
    scene.promise(9)
    client = clerk(scene)
    transfer = plan(client, scene, f"{scene.sku.code}\t4")
    assert transfer

    page = client.post(
        reverse("admin:inventory_transfer_act", args=[transfer.pk, "ship"]),
        {f"units-{transfer.lines.get().pk}": 4},
    )

    assert "Only 1 units are free of promises, 4 would leave" in page.content.decode()
    assert Transfer.objects.get().state == "draft"


def test_who_may_only_look_presses_nothing_and_strangers_see_nothing(scene: Scene) -> None:
    transfer = plan(clerk(scene), scene, f"{scene.sku.code}\t4")
    assert transfer
    looker = staff(scene.sku.spu.brand, "view_transfer")
    stranger = staff(Brand.objects.create(code="other", name="other"), "view_transfer", "change_transfer")
    page = reverse("admin:inventory_transfer_change", args=[transfer.pk])

    assert looker.get(page).status_code == 200
    assert act(looker, "transfer", transfer.pk, "cancel", reason="no") == 403
    assert looker.get(reverse("admin:inventory_transfer_add")).status_code == 403
    assert stranger.get(page).status_code == 404
    assert act(stranger, "transfer", transfer.pk, "cancel", reason="no") == 404
    assert Transfer.objects.get().state == "draft"


@pytest.mark.capability("V18")
def test_a_clerk_counts_and_confirms_and_is_told_what_was_left(scene: Scene) -> None:
    client = clerk(scene)
    scene.commit(scene.promise(6), 6)
    moment = timezone.localtime().strftime("%Y-%m-%dT%H:%M:%S")
    said = {"location": scene.location.pk, "counted_at": moment, "lines": f"{scene.sku.code}\t5"}
    client.post(reverse("admin:inventory_countsheet_add"), said)
    sheet = CountSheet.objects.get()
    act(client, "countsheet", sheet.pk, "recount", lines=f"{scene.sku.code}\t4")
    CountSheet.objects.update(counted_at=timezone.now())
    act(client, "countsheet", sheet.pk, "submit")

    answer = client.post(
        reverse("admin:inventory_countsheet_act", args=[sheet.pk, "confirm"]), {"reason": "sure"}
    )

    texts = [str(message) for message in get_messages(answer.wsgi_request)]
    assert any("1 line was left" in text for text in texts)
    page = client.get(reverse("admin:inventory_countsheet_change", args=[sheet.pk])).content.decode()
    assert "6 fewer: 10 lie there, 6 of them committed to orders" in page
    act(client, "countsheet", sheet.pk, "reject", reason="they are packed")
    sheet.refresh_from_db()
    assert (sheet.state, sheet.reason, scene.level.on_hand) == ("rejected", "they are packed", 10)


def test_nobody_confirms_without_saying_why(scene: Scene) -> None:
    sheet = open_count_sheet(
        location_id=scene.location.pk,
        lines=[CountedLine(scene.sku.pk, 1)],
        counted_at=timezone.now(),
        at=timezone.now(),
        by="user:1",
    )
    submit_count_sheet(sheet_id=sheet.pk, at=timezone.now(), by="user:1")

    act(clerk(scene), "countsheet", sheet.pk, "confirm", reason="")

    sheet.refresh_from_db()
    assert (sheet.state, scene.level.on_hand) == ("submitted", 10)


@pytest.mark.capability("V2")
def test_a_location_is_switched_and_moved_by_buttons_alone(scene: Scene) -> None:
    client, east = clerk(scene), LocationGroupFactory.create()
    place = scene.location
    client.post(
        reverse("admin:inventory_location_join", args=[place.pk]), {"group": east.pk, "reason": "one stock"}
    )
    assert Location.objects.get(pk=place.pk).group == east

    switch = reverse("admin:inventory_location_switch", args=[place.pk, "ships_online"])
    client.post(switch, {"is_on": "0", "reason": "stocktaking"})
    edit = reverse("admin:inventory_location_edit", args=[place.pk])
    plain = {"code": place.code, "name": "Another name", "kind": "store", "owner": "own", "priority": 5}
    client.post(edit, {**plain, "serves_provinces": "[]", "group": east.pk, "ships_online": "on"})

    place = Location.objects.get(pk=place.pk)
    assert (place.name, place.priority) == ("Another name", 5)
    assert (place.group.code, place.ships_online) == ("off", False)
    page = client.get(reverse("admin:inventory_location_change", args=[place.pk])).content.decode()
    assert "stocktaking" in page
    assert "not sold online" in page
    looker = staff(scene.sku.spu.brand, "view_location")
    assert looker.post(switch, {"is_on": "1", "reason": "x"}).status_code == 403


@pytest.mark.capability("V16")
def test_the_rules_move_what_was_shown(scene: Scene) -> None:
    client, east = clerk(scene), LocationGroupFactory.create()
    PoolingRule.objects.create(name="all", group=east, kinds=["central"])
    preview = reverse("admin:inventory_poolingrule_preview")
    seen = client.get(preview).context["form"].initial["seen"]
    late = LocationFactory.create()

    refused = client.post(preview, {"seen": seen, "reason": "rules"})
    assert refused.status_code == 200
    assert Location.objects.get(pk=scene.location.pk).group != east
    again = client.get(preview).context["form"].initial["seen"]
    client.post(preview, {"seen": again, "reason": "rules"})

    assert set(Location.objects.filter(group=east)) == {scene.location, late}
    looker = staff(scene.sku.spu.brand, "view_poolingrule")
    assert looker.post(preview, {"seen": again, "reason": "x"}).status_code == 403


@pytest.mark.capability("V27")
def test_a_grade_is_changed_on_the_page_of_the_sku(scene: Scene) -> None:
    put_stock(scene.location, scene.sku, 2, grade="inspection")
    answers = {"key": "k", "location": scene.location.pk, "quantity": 2, "reason": "inspected"}
    answers |= {"grade": "inspection", "to_grade": "good"}

    for _ in range(2):
        act(clerk(scene), "skustock", scene.sku.pk, "regrade", **answers)

    assert dict(StockLevel.objects.filter(on_hand__gt=0).values_list("grade", "on_hand")) == {"good": 12}
