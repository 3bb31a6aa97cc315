"""What happened to a thing stands on its history page: who, when, from what to what; never a secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from integrations.health import pause_connection
from integrations.models import Connection
from integrations.set_up import change_connection
from omni.devstack.translations import compile_catalogues
from omni.kernel.history import AFTER, history_model
from products.models import Brand, Shop, StaffScope
from tests.factories.integrations import make_channel
from tests.omni.rows import World, make_world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def history_url(row: object) -> str:
    meta = row._meta  # type: ignore[attr-defined]
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_history", args=[row.pk])  # type: ignore[attr-defined]


def differences(client: Client, row: object) -> list[list[tuple[str, str | None, str]]]:
    entries = client.get(history_url(row)).context["entries"]
    return [
        [(d.label, d.before, d.after) for d in entry.differences] for entry in entries if entry.differences
    ]


def test_the_first_change_of_a_row_says_what_it_was_before(boss: Client) -> None:
    brand = Brand.objects.create(code="LM", name="Lumi")

    Brand.objects.filter(pk=brand.pk).update(name="Lumi & Co")

    assert differences(boss, brand) == [[("name", "Lumi", "Lumi & Co")]]


def test_every_change_goes_from_the_one_before_it_to_the_one_after_it(boss: Client) -> None:
    brand = Brand.objects.create(code="LM", name="one")

    Brand.objects.filter(pk=brand.pk).update(name="two")
    Brand.objects.filter(pk=brand.pk).update(name="three", is_active=False)

    assert differences(boss, brand) == [
        [("name", "two", "three"), ("active", "yes", "no")],
        [("name", "one", "two")],
    ]


def test_a_change_on_a_page_names_its_person_with_a_link_to_them(boss: Client) -> None:
    brand = Brand.objects.create(code="LM", name="Lumi")
    boss.post(
        reverse("admin:products_brand_change", args=[brand.pk]),
        {"code": "LM", "name": "Lumina", "is_active": "on"},
    )

    page = boss.get(history_url(brand)).content.decode()

    user = User.objects.get()
    assert f'href="{reverse("admin:auth_user_change", args=[user.pk])}">boss</a>' in page
    assert "<del>Lumi</del>" in page
    assert "<ins>Lumina</ins>" in page


@pytest.mark.django_db(transaction=True)
def test_who_made_a_row_stands_at_the_end_of_its_history(boss: Client) -> None:
    boss.post(reverse("admin:products_brand_add"), {"code": "LM", "name": "Lumi", "is_active": "on"})
    brand = Brand.objects.get()
    boss.post(
        reverse("admin:products_brand_change", args=[brand.pk]),
        {"code": "LM", "name": "Lumina", "is_active": "on"},
    )

    entries = boss.get(history_url(brand)).context["entries"]

    assert [entry.text for entry in entries] == ["Changed", "Added."]


def test_another_row_and_a_choice_are_said_by_their_names(boss: Client) -> None:
    brand = Brand.objects.create(code="LM", name="Lumi")
    shop = Shop.objects.create(code="s", name="Shop", channel="api")

    Shop.objects.filter(pk=shop.pk).update(brand=brand, fulfilled_by=Shop.FulfilledBy.OUTSIDE)

    assert differences(boss, shop) == [[("brand", "–", "Lumi"), ("fulfilled by", "Omni", "outside Omni")]]


def test_the_history_of_a_connection_has_its_acts_and_settings_and_no_credentials(boss: Client) -> None:
    row = make_channel(settings={"pull_every_seconds": 5, "stays": 1})
    change_connection(
        connection_id=row.pk,
        base_url=row.base_url,
        credentials={"secret": "brand-new-secret"},
        settings={"pull_every_seconds": 30, "stays": 1},
        is_active=True,
        at=timezone.now(),
        by="user:1",
        reason="the platform asked us to",
    )
    Connection.objects.filter(pk=row.pk).update(last_error="the gateway is away", failures=3)
    pause_connection(connection_id=row.pk, reason="it expired", at=timezone.now(), by="system")

    answer = boss.get(history_url(row))

    page, entries = answer.content.decode(), answer.context["entries"]
    assert [("settings: pull_every_seconds", "5", "30")] in differences(boss, row)
    assert [("paused because", "–", "it expired")] in differences(boss, row)
    texts = [entry.text for entry in entries]
    assert "The credentials were replaced. They are never shown." in texts
    assert {"Connection changed", "Connection paused"} <= set(texts)
    assert "the platform asked us to" in page
    assert not any(secret in page for secret in ("brand-new-secret", "helloworld", "gateway is away"))


def test_credentials_are_in_no_table_of_history() -> None:
    columns = {field.name for field in history_model(Connection)._meta.fields}

    assert "settings" in columns
    assert "credentials" not in columns


def test_changes_that_were_kept_as_they_were_afterwards_are_still_told(boss: Client) -> None:
    """As they were written before the triggers kept the row as it was."""
    brand = Brand.objects.create(code="LM", name="three")
    keep = history_model(Brand).objects.create
    for name in ("one", "two"):
        keep(
            pgh_obj=brand,
            pgh_label=AFTER,
            id=brand.pk,
            code="LM",
            is_active=True,
            name=name,
            pgh_created_at=timezone.now(),
        )
    keep(
        pgh_obj=brand,
        pgh_label="before",
        id=brand.pk,
        code="LM",
        is_active=True,
        name="two",
        pgh_created_at=timezone.now(),
    )

    found = differences(boss, brand)

    assert found[:2] == [[("name", "two", "three")], [("name", "one", "two")]]
    assert ("name", None, "one") in found[2]


def test_every_model_with_a_history_keeps_it_as_it_was_before() -> None:
    kept = [model for model in apps.get_models() if history_model(model) is not None]

    assert len(kept) >= 10
    for model in kept:
        labels = {tracker.label for tracker in history_model(model).pgh_trackers}
        assert "before" in labels, model
        assert AFTER not in labels, model


def test_every_page_has_a_history_that_opens(boss: Client) -> None:
    make_world("MINE")

    for model in admin.site._registry:
        row = model._default_manager.first()
        if row is not None:
            assert boss.get(history_url(row)).status_code == 200, model


def test_the_history_of_another_shops_row_is_not_there() -> None:
    mine, theirs = make_world("MINE"), make_world("THEIRS")
    client = staff(mine, "view_shop")

    assert client.get(history_url(mine.shop)).status_code == 200
    assert client.get(history_url(theirs.shop)).status_code == 404
    assert client.get(history_url(Connection.objects.filter(shop=mine.shop)[0])).status_code == 403


def staff(world: World, *codenames: str) -> Client:
    user = User.objects.create_user("staff", "staff@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    StaffScope.objects.create(user=user, shop=world.shop)
    client = Client()
    client.force_login(user)
    return client


def test_the_history_speaks_the_readers_language(boss: Client) -> None:
    compile_catalogues()
    row = make_channel()
    pause_connection(connection_id=row.pk, reason="expired", at=timezone.now(), by="system")

    with translation.override("zh-hans"):
        page = boss.get(history_url(row), headers={"Accept-Language": "zh-hans"}).content.decode()

    assert "接口已暂停" in page
    assert "Connection paused" not in page
