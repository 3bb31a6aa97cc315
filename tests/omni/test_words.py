"""Who did what is said in words and by name, wherever it stands, in both languages."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from integrations.admin.words import INBOUND_KINDS, OPERATIONS, operation_text
from integrations.keys import issue_key
from integrations.models import ApiKey, Connection, MessageLog
from integrations.notices import KINDS
from omni.devstack.home import PROJECT
from omni.devstack.translations import compile_catalogues
from omni.kernel.audit import record_act
from omni.kernel.models import AuditEntry
from omni.kernel.names import Names, name_actors
from omni.words import ACTS
from orders.models import OrderHold
from orders.record import Happening, record_happenings
from products.models import StaffScope
from tests.omni.rows import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    compile_catalogues()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def world() -> World:
    return make_world("MINE")


@pytest.fixture
def boss(client: Client) -> Client:
    user = User.objects.create_superuser("boss", "boss@example.com", "x", first_name="Ada", last_name="Wong")
    client.force_login(user)
    return client


def person() -> str:
    return f"user:{User.objects.get(username='boss').pk}"


def staff(world: World, *codenames: str) -> Any:
    user = User.objects.create_user("staff", "staff@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    StaffScope.objects.create(user=user, shop=world.shop)
    return user


def recorded_acts() -> Iterator[tuple[Path, str]]:
    """Every code that some call of `record_act` in the house writes."""
    for path in PROJECT.rglob("*.py"):
        inside = path.relative_to(PROJECT).parts
        if inside[0] in ("tests", "node_modules") or inside[0].startswith("."):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("record_act", "record_acts"):
                for keyword in node.keywords:
                    if keyword.arg == "action":
                        assert isinstance(keyword.value, ast.Constant), f"{path}: an action is a literal"
                        yield path, str(keyword.value.value)


def test_every_act_that_is_recorded_has_its_words() -> None:
    found = list(recorded_acts())

    assert len(found) > 10
    for path, action in found:
        assert action in ACTS, f"{path}: {action}"


def test_every_kind_of_call_back_has_its_words() -> None:
    assert set(INBOUND_KINDS) == set(KINDS)
    assert {f"take.{kind}" for kind in KINDS} <= set(OPERATIONS)


def test_actors_are_called_by_their_names_with_links_to_their_pages(world: World, boss: Client) -> None:
    key = ApiKey.objects.get(
        pk=issue_key(name="ERP", scopes=["stock:read"], at=timezone.now(), by="system").key_id
    )
    channel = Connection.objects.get(code="top-mine")
    request = RequestFactory().get("/")
    request.user = User.objects.get(username="boss")
    actors = [person(), f"key:{key.pk}", f"connection:{channel.pk}", f"shop:{world.shop.pk}", "system"]

    names = name_actors(actors, request=request)

    assert [names.text(by) for by in actors] == [
        "Ada Wong",
        "API key ERP",
        "connection top-mine",
        world.shop.name,
        "Omni",
    ]
    page = reverse("admin:integrations_apikey_change", args=[key.pk])
    assert names.html(f"key:{key.pk}") == f'<a class="omni-link" href="{page}">API key ERP</a>'
    assert names.html("system") == "Omni"


def test_many_actors_cost_one_statement_a_kind(world: World) -> None:
    users = [User.objects.create_user(f"u{number}") for number in range(20)]
    channel = Connection.objects.get(code="top-mine")

    with CaptureQueriesContext(connection) as statements:
        name_actors([*(f"user:{user.pk}" for user in users), f"connection:{channel.pk}", "system", "demo"])

    assert len(statements) == 2
    assert not any("credentials" in statement["sql"] for statement in statements)


@pytest.mark.parametrize("by", ["user:0", "user:x", "user:99999999999999999999", "user:²", "robot:7", ""])
def test_an_actor_that_nobody_knows_is_said_as_what_it_is(by: str) -> None:
    text = name_actors([by]).text(by)

    assert text
    assert text == Names().text(by)


def test_a_reader_gets_links_only_to_what_they_may_see(world: World) -> None:
    theirs = make_world("THEIRS")
    request = RequestFactory().get("/")
    request.user = staff(world, "view_shop")
    mine, other = f"shop:{world.shop.pk}", f"shop:{theirs.shop.pk}"
    channel = f"connection:{Connection.objects.get(code='top-mine').pk}"

    names = name_actors([mine, other, channel], request=request)

    assert set(names.links) == {mine}


def test_a_name_is_text_and_never_markup() -> None:
    user = User.objects.create_user("x", first_name="<script>")
    by = f"user:{user.pk}"

    assert "<script>" not in Names({by: "<script>"}, {by: "/"}).html(by)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_timeline_names_who_did_it(world: World, boss: Client, language: str) -> None:
    channel = Connection.objects.get(code="top-mine")
    for by in (person(), f"connection:{channel.pk}"):
        happening = Happening(world.order.pk, "note", {"note": "seen"})
        record_happenings(happenings=[happening], at=timezone.now(), by=by)

    url = reverse("admin:orders_salesorder_change", args=[world.order.pk])
    page = boss.get(url, headers={"Accept-Language": language}).content.decode()

    assert ">Ada Wong</a>" in page
    assert reverse("admin:integrations_connection_change", args=[channel.pk]) in page
    assert f">{'接口' if language == 'zh-hans' else 'connection'} top-mine</a>" in page
    assert person() not in page
    assert f"connection:{channel.pk}" not in page


def test_the_audit_says_in_chinese_who_did_what_to_which_thing(world: World, boss: Client) -> None:
    record_act(by=person(), action="connection.paused", subject=Connection.objects.get(code="top-mine"))
    entry = AuditEntry.objects.latest("id")

    for address in (
        reverse("admin:kernel_auditentry_changelist"),
        reverse("admin:kernel_auditentry_change", args=[entry.pk]),
    ):
        page = boss.get(address, headers={"Accept-Language": "zh-hans"}).content.decode()

        assert "接口已暂停" in page
        assert ">top-mine</a>" in page
        assert ">Ada Wong</a>" in page
        assert "connection.paused" not in page
        assert person() not in page


def test_the_audit_names_no_thing_of_another_shop(world: World) -> None:
    theirs = make_world("THEIRS")
    record_act(by="system", action="receiver.read", subject=theirs.order)
    client = Client()
    client.force_login(staff(world, "view_auditentry", "view_salesorder"))

    page = client.get(reverse("admin:kernel_auditentry_changelist")).content.decode()

    assert theirs.order.number not in page


def test_holds_say_who_placed_and_who_resolved_them(world: World, boss: Client) -> None:
    hold = OrderHold.objects.all()[0]
    OrderHold.objects.filter(pk=hold.pk).update(placed_by=person(), resolved_by=person())

    for address in (
        reverse("admin:orders_orderhold_changelist"),
        reverse("admin:orders_orderhold_change", args=[hold.pk]),
    ):
        page = boss.get(address).content.decode()
        assert page.count(">Ada Wong</a>") >= 2
        assert person() not in page


def test_the_message_log_says_what_was_said(world: World, boss: Client) -> None:
    channel = Connection.objects.get(code="top-mine")
    MessageLog.objects.create(connection=channel, direction="out", operation="push_stock", is_ok=True)
    entry = MessageLog.objects.latest("id")

    for address in (
        reverse("admin:integrations_messagelog_changelist"),
        reverse("admin:integrations_messagelog_change", args=[entry.pk]),
        reverse("admin:integrations_connection_change", args=[channel.pk]),
    ):
        page = boss.get(address, headers={"Accept-Language": "zh-hans"}).content.decode()
        assert "推送库存" in page
        assert "push_stock" not in page


def test_a_warehouses_method_keeps_its_name_beside_the_words() -> None:
    with translation.override("en"):
        assert operation_text("deliveryorder.confirm") == "delivery reported (deliveryorder.confirm)"
        assert operation_text("something.new") == "something.new"
