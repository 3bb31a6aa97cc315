"""Every list of the admin opens, counts nothing, costs a bounded number of statements, shows only what is yours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from integrations.models import Connection
from omni.kernel.admin_base import BaseAdmin
from products.admin.scoped import ScopedAdmin
from products.models import Brand, Listing, StaffScope
from tests.omni.rows import World, make_world

pytestmark = pytest.mark.django_db

PAGES: list[tuple[type[Any], Any]] = sorted(
    admin.site._registry.items(), key=lambda pair: pair[0]._meta.label
)
STATEMENTS_MAX = 45
SCOPED = [(model, page) for model, page in PAGES if isinstance(page, ScopedAdmin) and not page.is_house_wide]


def addresses() -> Iterator[str]:
    for model, page in PAGES:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        for code in getattr(page, "queues", {}):
            yield reverse(f"{name}_queue", args=[code])
    yield reverse("admin:index")
    yield reverse("admin_pulse")


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    cache.clear()
    # Drawing the traceback of each 403 for the console takes half a second.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def worlds() -> tuple[World, World]:
    return make_world("MINE"), make_world("THEIRS")


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


def staff_client(name: str, world: World | None) -> Client:
    """Somebody with every permission there is, whose scope is one shop: only the scope can keep rows from them."""
    user = User.objects.create_user(name, f"{name}@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    if world is not None:
        StaffScope.objects.create(user=user, shop=world.shop)
    client = Client()
    client.force_login(user)
    return client


def test_a_superuser_opens_every_list_and_nothing_is_counted(
    worlds: tuple[World, World], boss: Client
) -> None:
    for address in addresses():
        with CaptureQueriesContext(connection) as statements:
            answer = boss.get(address)

        assert answer.status_code == 200, address
        assert [s["sql"] for s in statements if "COUNT(*)" in s["sql"].upper()] == [], address
        assert len(statements) <= STATEMENTS_MAX, address


def test_nobody_opens_a_list_without_signing_in() -> None:
    for address in addresses():
        answer = Client().get(address)

        assert answer.status_code == 302, address
        assert answer["Location"].startswith(reverse("admin:login")), address


def test_staff_without_permission_open_no_list(client: Client) -> None:
    client.force_login(User.objects.create_user("nobody", "n@example.com", "x", is_staff=True))

    for address in addresses():
        expected = 200 if address in (reverse("admin:index"), reverse("admin_pulse")) else 403
        assert client.get(address).status_code == expected, address


def test_every_admin_says_whose_its_rows_are() -> None:
    for model, page in PAGES:
        assert isinstance(page, BaseAdmin), model
        if isinstance(page, ScopedAdmin):
            has_own_rule = type(page).limit_to_scope is not ScopedAdmin.limit_to_scope
            assert page.shop_path or page.brand_path or page.is_house_wide or has_own_rule, model


def lists_of(model: type[Any], page: Any) -> list[str]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    return [reverse(f"{name}_changelist"), *(reverse(f"{name}_queue", args=[code]) for code in page.queues)]


def shown_keys(client: Client, addresses: list[str]) -> set[Any]:
    return {row.pk for address in addresses for row in client.get(address).context["cl"].result_list}


def test_staff_see_the_rows_of_their_shop_and_never_those_of_another(
    worlds: tuple[World, World], boss: Client
) -> None:
    mine = staff_client("mine", worlds[0])
    theirs = staff_client("theirs", worlds[1])
    for model, page in SCOPED:
        lists = lists_of(model, page)

        all_keys, my_keys, their_keys = (shown_keys(who, lists) for who in (boss, mine, theirs))

        shared = my_keys & their_keys
        if model is Connection:
            shared -= set(Connection.objects.filter(kind="warehouse").values_list("pk", flat=True))
        assert my_keys, f"{model.__name__}: nothing is shown to its owner"
        assert their_keys, f"{model.__name__}: nothing is shown to its owner"
        assert shared == set(), f"{model.__name__}: both see {shared}"
        assert my_keys < all_keys


@pytest.mark.capability("P5")
def test_every_list_is_filtered_by_brand(worlds: tuple[World, World], boss: Client) -> None:
    """Filtered by a brand, everybody's list is that of somebody who was given the brand alone."""
    mine = staff_client("mine", worlds[0])
    for model, page in SCOPED:
        if model is Brand:
            continue
        lists = lists_of(model, page)

        filtered = shown_keys(boss, [f"{address}?brand={worlds[0].brand.pk}" for address in lists])

        assert filtered == shown_keys(mine, lists), model.__name__
        assert filtered < shown_keys(boss, lists), model.__name__


def test_staff_without_a_scope_see_nothing(worlds: tuple[World, World]) -> None:
    client = staff_client("nobody", None)

    for model, page in SCOPED:
        keys = shown_keys(client, lists_of(model, page))

        if model is Connection:
            keys -= set(Connection.objects.filter(kind="warehouse").values_list("pk", flat=True))
        assert keys == set(), model.__name__


def test_the_page_of_another_shops_row_is_not_there(worlds: tuple[World, World], boss: Client) -> None:
    client = staff_client("mine", worlds[0])
    for model, page in SCOPED:
        lists = lists_of(model, page)
        hidden = shown_keys(boss, lists) - shown_keys(client, lists)
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"

        answer = client.get(reverse(f"{name}_change", args=[hidden.pop()]))

        assert answer.status_code in (302, 404), model.__name__
        assert "/login/" not in answer.get("Location", "")


def test_every_page_of_a_row_opens(worlds: tuple[World, World], boss: Client) -> None:
    for model, page in PAGES:
        row = model._default_manager.first()
        if row is None:
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"

        with CaptureQueriesContext(connection) as statements:
            answer = boss.get(reverse(f"{name}_change", args=[row.pk]))

        assert answer.status_code == 200, name
        assert len(statements) <= STATEMENTS_MAX, name
        if page.has_add_permission(answer.wsgi_request):
            assert boss.get(reverse(f"{name}_add")).status_code == 200, name


def test_rows_that_do_not_say_since_when_they_wait_break_no_page(
    worlds: tuple[World, World], boss: Client
) -> None:
    Listing.objects.filter(state="approved").update(state_at=None)

    page = boss.get(reverse("admin:index"))

    assert page.status_code == 200
