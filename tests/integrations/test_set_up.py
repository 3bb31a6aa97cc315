"""Whoever sets Omni up connects a channel or a warehouse on a page, tests it, and changes it with a reason."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations import registry
from integrations.contract import ChannelRejected, ChannelUnavailable
from integrations.models import Connection, MessageLog
from integrations.set_up import BadConnection, NewAddressNeedsCredentials, change_connection
from inventory.models import Location, LocationGroup
from omni.kernel.models import AuditEntry
from products.models import Shop, StaffScope
from tests.factories.integrations import make_channel, make_warehouse
from tests.factories.outside import AWAY, EXPIRED, Depot, Market

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I1")]

ADD = "admin:integrations_connection_add"
EDIT = "admin:integrations_connection_edit"
PAGE = "admin:integrations_connection_change"
PROBE = "admin:integrations_connection_probe"
ACT = "admin:integrations_connection_act"
SECRETS = ("12345678", "helloworld", "test-session")
CREDENTIALS = dict(zip(("app_key", "secret", "session"), SECRETS, strict=True))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


@pytest.fixture
def shop() -> Shop:
    return Shop.objects.create(code="s1", name="Shop one", channel="top")


@pytest.fixture
def top() -> Connection:
    return make_channel(credentials=CREDENTIALS, settings={"pull_every_seconds": 5, "odd": {"kept": True}})


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> Market:
    market = Market()
    monkeypatch.setitem(registry.CHANNELS, "fake", market)
    return market


def staff(*codenames: str, shop: Shop | None = None) -> Client:
    user = User.objects.create_user("staff", "staff@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    if shop is not None:
        StaffScope.objects.create(user=user, shop=shop)
    client = Client()
    client.force_login(user)
    return client


def add_url(kind: str, adapter: str) -> str:
    return f"{reverse(ADD)}?kind={kind}&adapter={adapter}"


def new_top(shop: Shop, **values: Any) -> dict[str, Any]:
    secrets = {f"credentials.{name}": value for name, value in CREDENTIALS.items()}
    return {
        "code": "tmall-2",
        "shop": shop.pk,
        "base_url": "http://127.0.0.1:9/router/rest",
        "pulls_since": "2026-03-01",
        "reason": "the new shop opens",
        **secrets,
    } | values


def edit(row: Connection, **values: Any) -> dict[str, Any]:
    """What the browser sends when nothing was touched, and what a person touched."""
    return {
        "base_url": row.base_url,
        "is_active": "on",
        "reason": "tidied up",
        "settings.pull_every_seconds": "5",
    } | values


def change(row: Connection, **values: Any) -> list[str]:
    as_it_is: dict[str, Any] = {
        "base_url": row.base_url,
        "credentials": {},
        "settings": row.settings,
        "is_active": True,
    }
    return change_connection(
        connection_id=row.pk, at=timezone.now(), by="user:1", reason="why", **as_it_is | values
    )


# --- making one ---------------------------------------------------------------------------------------------


def test_a_channel_is_connected_with_what_its_adapter_asks_for(boss: Client, shop: Shop) -> None:
    page = boss.get(add_url("channel", "top")).content.decode()
    for name in CREDENTIALS:
        assert f'name="credentials.{name}"' in page

    boss.post(
        add_url("channel", "top"),
        new_top(shop, **{"settings.carrier_codes": "SF = SHUNFENG\n", "settings.pull_every_seconds": "5"}),
    )

    row = Connection.objects.get()
    assert (row.code, row.kind, row.adapter, row.shop) == ("tmall-2", "channel", "top", shop)
    assert row.credentials == CREDENTIALS
    assert row.settings == {"carrier_codes": {"SF": "SHUNFENG"}, "pull_every_seconds": 5}
    assert timezone.localtime(row.pulls_since).isoformat().startswith("2026-03-01T00:00:00")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.reason) == ("connection.created", "the new shop opens")
    assert entry.by == f"user:{User.objects.get().pk}"


def test_a_warehouse_is_connected_to_its_location(boss: Client) -> None:
    group = LocationGroup.objects.create(code="g", name="G")
    place = Location.objects.create(code="SHA", name="Shanghai", group=group)
    sent = {
        "code": "wms",
        "location": place.pk,
        "base_url": "http://127.0.0.1:9/qimen",
        "credentials.app_key": "a",
        "credentials.secret": "b",
        "credentials.customer_id": "c",
        "settings.owner_code": "OMNI",
        "settings.sender.name": "Omni",
        "settings.sender.city": "上海市",
        "settings.short_method_names": "on",
        "reason": "the warehouse opens",
    }

    boss.post(add_url("warehouse", "qimen"), sent)

    row = Connection.objects.get()
    assert (row.location, row.shop) == (place, None)
    assert row.settings == {
        "owner_code": "OMNI",
        "sender": {"name": "Omni", "city": "上海市"},
        "short_method_names": True,
    }


def test_every_adapter_there_is_can_be_chosen_and_opens_its_form(boss: Client) -> None:
    page = boss.get(reverse(ADD)).content.decode()

    known = registry.known_adapters()
    assert len(known) == len(registry.CHANNELS) + len(registry.WAREHOUSES) > 2
    for kind, name, about in known:
        assert str(about.title) in page
        assert boss.get(add_url(kind, name)).status_code == 200
        needs = {need.name for need in about.credentials}
        assert all(set(names) <= needs for names in about.credential_sets)


def test_medusa_takes_a_key_or_a_mail_address_with_its_password(boss: Client, shop: Shop) -> None:
    sent = {
        "code": "web",
        "shop": shop.pk,
        "base_url": "http://127.0.0.1:9000",
        "pulls_since": "2026-03-01",
        "settings.location_id": "sloc_1",
        "reason": "it opens",
    }

    half = boss.post(add_url("channel", "medusa"), sent | {"credentials.email": "a@example.com"})
    refused = Connection.objects.count()
    boss.post(add_url("channel", "medusa"), sent | {"credentials.api_key": "sk_1"})

    assert refused == 0
    assert half.context["form"].errors.keys() == {"credentials.password"}
    assert Connection.objects.get().credentials == {"api_key": "sk_1"}


@pytest.mark.parametrize(
    ("fault", "field"),
    [
        ({"code": "taken"}, "code"),
        ({"base_url": "ftp://example.com/"}, "base_url"),
        ({"credentials.secret": ""}, "credentials.secret"),
        ({"settings.carrier_codes": "SF"}, "settings.carrier_codes"),
        ({"settings.pull_every_seconds": "-1"}, "settings.pull_every_seconds"),
        ({"reason": ""}, "reason"),
    ],
)
def test_a_faulty_form_says_where_and_connects_nothing(
    boss: Client, shop: Shop, fault: dict[str, Any], field: str
) -> None:
    make_channel(code="taken")

    answer = boss.post(add_url("channel", "top"), new_top(shop, **fault))

    assert answer.context["form"].errors.keys() == {field}
    assert not any(secret in answer.content.decode() for secret in SECRETS)
    assert Connection.objects.count() == 1
    assert not AuditEntry.objects.exists()


def test_a_shop_has_one_connection(boss: Client, top: Connection) -> None:
    assert top.shop

    boss.post(add_url("channel", "top"), new_top(top.shop))

    assert Connection.objects.get() == top


# --- changing one -------------------------------------------------------------------------------------------


def test_stored_credentials_are_on_no_page_and_an_empty_field_keeps_them(
    boss: Client, top: Connection
) -> None:
    form = boss.get(reverse(EDIT, args=[top.pk])).content.decode()
    page = boss.get(reverse(PAGE, args=[top.pk])).content.decode()

    boss.post(reverse(EDIT, args=[top.pk]), edit(top, **{"settings.pull_every_seconds": "30"}))

    top.refresh_from_db()
    assert not any(secret in form + page for secret in SECRETS)
    assert "A value is stored" in form
    assert top.credentials == CREDENTIALS
    assert top.settings == {"pull_every_seconds": 30, "odd": {"kept": True}}


def test_a_new_secret_takes_the_place_of_the_old_one_and_only_its_name_is_recorded(
    boss: Client, top: Connection
) -> None:
    boss.post(reverse(EDIT, args=[top.pk]), edit(top, **{"credentials.session": "brand-new-session"}))

    top.refresh_from_db()
    assert top.credentials == CREDENTIALS | {"session": "brand-new-session"}
    entry = AuditEntry.objects.get(action="connection.changed")
    assert (entry.reason, entry.detail) == ("tidied up", {"changed": ["credentials.session"]})
    assert "brand-new-session" not in str(vars(entry))


def test_a_zero_is_a_value_and_an_empty_field_is_none(boss: Client, top: Connection) -> None:
    sent = {
        "settings.pull_lag_seconds": "0",
        "settings.pull_every_seconds": "",
        "settings.calls_per_second": "2.5",
    }

    boss.post(reverse(EDIT, args=[top.pk]), edit(top, **sent))

    top.refresh_from_db()
    assert top.settings == {"odd": {"kept": True}, "pull_lag_seconds": 0, "calls_per_second": 2.5}


def test_nothing_different_writes_nothing(boss: Client, top: Connection) -> None:
    answer = boss.post(reverse(EDIT, args=[top.pk]), edit(top), follow=True)

    assert "Nothing was different" in answer.content.decode()
    assert not AuditEntry.objects.exists()


def test_stored_credentials_never_go_to_a_new_address(top: Connection) -> None:
    with pytest.raises(NewAddressNeedsCredentials) as refused:
        change(top, base_url="https://collector.example.com/router/rest", credentials={"app_key": "1"})

    top.refresh_from_db()
    assert refused.value.fields.keys() == {"credentials.secret", "credentials.session"}
    assert top.base_url.startswith("http://127.0.0.1:9/")
    assert not AuditEntry.objects.exists()


def test_a_new_path_at_the_same_address_keeps_them(top: Connection) -> None:
    assert change(top, base_url="http://127.0.0.1:9/other") == ["base_url"]

    top.refresh_from_db()
    assert top.credentials == CREDENTIALS


def test_a_connection_that_runs_needs_all_its_credentials(top: Connection) -> None:
    with pytest.raises(BadConnection):
        change(top, forget=["secret"])
    switched_off = change(top, forget=["secret"], is_active=False)

    top.refresh_from_db()
    assert switched_off == ["is_active", "credentials.secret"]
    assert set(top.credentials) == {"app_key", "session"}


def test_who_may_only_look_sees_no_form(top: Connection) -> None:
    client = staff("view_connection", shop=top.shop)

    page = client.get(reverse(PAGE, args=[top.pk])).content.decode()

    assert reverse(EDIT, args=[top.pk]) not in page
    assert reverse(PROBE, args=[top.pk]) not in page
    for address in (reverse(EDIT, args=[top.pk]), reverse(ADD)):
        assert client.get(address).status_code == 403
        assert client.post(address, edit(top)).status_code == 403
    assert client.post(reverse(PROBE, args=[top.pk])).status_code == 403
    assert not AuditEntry.objects.exists()


def test_nobody_connects_or_changes_another_shops_account(top: Connection, shop: Shop) -> None:
    theirs = Shop.objects.create(code="s2", name="Shop two", channel="top")
    client = staff("view_connection", "add_connection", "change_connection", shop=shop)

    page = client.get(add_url("channel", "top")).content.decode()
    client.post(add_url("channel", "top"), new_top(theirs))
    changed = client.post(reverse(EDIT, args=[top.pk]), edit(top))

    assert "Shop one" in page
    assert "Shop two" not in page
    assert changed.status_code == 404
    assert Connection.objects.get() == top


# --- pausing and resuming -----------------------------------------------------------------------------------


def test_a_connection_is_resumed_with_what_was_mended(boss: Client, top: Connection) -> None:
    boss.post(reverse(ACT, args=[top.pk, "pause"]), {"reason": "the session expired"})
    boss.post(reverse(ACT, args=[top.pk, "resume"]), {"reason": ""})
    still = Connection.objects.get().health

    boss.post(reverse(ACT, args=[top.pk, "resume"]), {"reason": "a new session"})

    top.refresh_from_db()
    assert still == Connection.Health.PAUSED
    assert top.health == Connection.Health.NEW
    reasons = dict(AuditEntry.objects.values_list("action", "reason"))
    assert reasons == {"connection.paused": "the session expired", "connection.resumed": "a new session"}


# --- testing it ---------------------------------------------------------------------------------------------


def probe(client: Client, row: Connection) -> str:
    return client.post(reverse(PROBE, args=[row.pk]), follow=True).content.decode()


def test_a_tested_channel_says_who_answered(boss: Client, market: Market) -> None:
    row = make_channel(adapter="fake", credentials={"token": "t"}, settings={"stall": "1"})

    page = probe(boss, row)

    row.refresh_from_db()
    assert "The corner shop" in page
    assert row.health == Connection.Health.OK
    assert MessageLog.objects.get().is_ok
    assert AuditEntry.objects.get().action == "connection.probed"


def test_a_tested_warehouse_says_who_answered(boss: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.WAREHOUSES, "fake", Depot())
    row = make_warehouse(adapter="fake", credentials={"token": "t"}, settings={"stall": "1"})

    assert "Depot one" in probe(boss, row)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (AWAY, "It did not answer"),
        (EXPIRED, "did not take the credentials"),
        (ChannelRejected("no such shop", code="7"), "answered and refused: no such shop"),
        (ChannelUnavailable("slow down", is_throttled=True), "asked too often"),
    ],
)
def test_a_test_that_fails_says_why_in_words_and_counts_for_nothing(
    boss: Client, market: Market, failure: Exception, words: str
) -> None:
    market.fails["greet"] = failure
    row = make_channel(adapter="fake", credentials={"token": "t"}, settings={"stall": "1"})

    page = probe(boss, row)

    row.refresh_from_db()
    assert words in page
    assert (row.health, row.failures) == (Connection.Health.NEW, 0)
    assert not MessageLog.objects.get().is_ok


def test_the_answer_of_a_test_never_shows_the_credentials(boss: Client, market: Market) -> None:
    market.fails["greet"] = ChannelRejected("bad token: hush-hush", is_auth=True)
    row = make_channel(adapter="fake", credentials={"token": "hush-hush"}, settings={"stall": "1"})

    page = probe(boss, row)

    assert "bad token" in page
    assert "hush-hush" not in page
    assert "hush-hush" not in MessageLog.objects.get().detail


def test_a_paused_connection_can_be_tested_and_stays_paused(boss: Client, market: Market) -> None:
    row = make_channel(
        adapter="fake", credentials={"token": "t"}, settings={"stall": "1"}, health=Connection.Health.PAUSED
    )

    assert "The corner shop" in probe(boss, row)

    row.refresh_from_db()
    assert row.health == Connection.Health.PAUSED


def test_without_credentials_nobody_is_asked(boss: Client, market: Market) -> None:
    row = make_channel(adapter="fake", credentials={}, is_active=False)

    assert "there are no credentials yet" in probe(boss, row)

    assert market.calls == []
    assert not MessageLog.objects.exists()


def test_an_adapter_that_this_version_lacks_is_told_and_not_tripped_over(boss: Client) -> None:
    row = make_channel(adapter="gone")

    assert "There is no channel adapter" in probe(boss, row)
    assert (
        "There is no channel adapter" in boss.get(reverse(EDIT, args=[row.pk]), follow=True).content.decode()
    )


def test_the_day_from_which_orders_are_pulled_is_filled_in_for_chinese_readers_too(boss: Client) -> None:
    page = boss.get(add_url("channel", "top"), headers={"Accept-Language": "zh-hans"}).content.decode()

    assert f'value="{timezone.localdate().isoformat()}"' in page
