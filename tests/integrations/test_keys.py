"""Machines come in by a key that was issued, lives, and is right in every character."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from integrations.keys import UnknownScope, issue_key, revoke_key
from integrations.models import ApiKey
from products.models import Shop

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]


class WhoAmI(APIView):
    """Tells a caller what the house knows of it."""

    scopes = {"read": "orders:read", "write": "orders:write"}

    def get(self, request: Request) -> Response:
        machine: Any = request.user
        key: Any = request.auth
        return Response({"actor": machine.actor, "shops": key.shop_ids})


def issue(*, at: datetime | None = None, shop_ids: tuple[int, ...] = (), lasts: int | None = None) -> str:
    at = at or timezone.now()
    expires_at = at + timedelta(seconds=lasts) if lasts is not None else None
    issued = issue_key(
        name="ERP", scopes=["orders:read"], shop_ids=shop_ids, expires_at=expires_at, at=at, by="user:1"
    )
    return issued.text


def ask(header: str | None) -> Response:
    headers = {"Authorization": header} if header is not None else {}
    response = WhoAmI.as_view()(APIRequestFactory().get("/", headers=headers))
    assert isinstance(response, Response)
    return response


def test_a_key_lets_its_machine_in_with_its_shops() -> None:
    shop = Shop.objects.create(code="s1", name="Shop", channel="api")
    text = issue(shop_ids=(shop.pk,))

    response = ask(f"Bearer {text}")

    key = ApiKey.objects.get()
    assert response.data == {"actor": f"key:{key.pk}", "shops": [shop.pk]}
    assert key.last_used_at is not None


def test_the_secret_is_nowhere_in_the_database_nor_in_a_representation() -> None:
    issued = issue_key(name="ERP", scopes=["orders:read"], at=timezone.now(), by="user:1")

    key = ApiKey.objects.get()

    secret = issued.text.rsplit("_", 1)[1]
    assert secret not in repr(issued)
    assert secret not in "".join(str(value) for value in vars(key).values())
    assert len(bytes(key.secret_hash)) == 32


def test_a_wrong_secret_is_refused_and_the_key_counts_as_unused() -> None:
    text = issue()
    wrong = text[:-1] + ("a" if text[-1] != "a" else "b")

    response = ask(f"Bearer {wrong}")

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer omk_", "Bearer omk_a_b_c", "Bearer omk_\x00_x", "Bearer ０mk_a_b"]
)
def test_what_is_not_a_key_is_refused_like_a_wrong_one(header: str) -> None:
    issue()

    response = ask(header)

    assert response.status_code == 401
    assert response.data["code"] == "authentication_failed"


def test_an_expired_key_is_refused() -> None:
    text = issue(at=timezone.now() - timedelta(hours=1), lasts=60)

    response = ask(f"Bearer {text}")

    assert response.status_code == 401


def test_a_revoked_key_is_refused_and_revoking_again_changes_nothing() -> None:
    text = issue()
    key, at = ApiKey.objects.get(), timezone.now()

    first = revoke_key(key_id=key.pk, at=at, by="user:1", reason="lost")
    second = revoke_key(key_id=key.pk, at=at + timedelta(days=1), by="user:2")

    key.refresh_from_db()
    assert (first, second, key.revoked_at) == (True, False, at)
    assert ask(f"Bearer {text}").status_code == 401


def test_a_key_without_the_scope_is_kept_out() -> None:
    issued = issue_key(name="ERP", scopes=["stock:read"], at=timezone.now(), by="user:1")

    response = ask(f"Bearer {issued.text}")

    assert response.status_code == 403


def test_an_unknown_scope_issues_no_key() -> None:
    with pytest.raises(UnknownScope) as refused:
        issue_key(name="ERP", scopes=["orders:read", "everything"], at=timezone.now(), by="user:1")

    assert "everything" in refused.value.detail
    assert not ApiKey.objects.exists()


def test_use_is_noted_once_a_minute_and_not_per_request() -> None:
    text = issue()
    ask(f"Bearer {text}")
    noted = ApiKey.objects.get().last_used_at

    ask(f"Bearer {text}")

    assert ApiKey.objects.get().last_used_at == noted
