"""Whoever sets Omni up gives machines their keys on a page, sees each once, and takes them away with a reason."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from integrations.admin.words import SCOPE_WORDS
from integrations.keys import SCOPES, AlreadyIssued, ExpiresAtOnce, issue_key, new_prefix
from integrations.models import ApiKey
from omni.kernel.models import AuditEntry
from products.models import Shop, StaffScope

pytestmark = [pytest.mark.django_db, pytest.mark.capability("I3")]

LIST = "admin:integrations_apikey_changelist"
ADD = "admin:integrations_apikey_add"
PAGE = "admin:integrations_apikey_change"
REVOKE = "admin:integrations_apikey_revoke"
KEY_TEXT = re.compile(r"omk_[A-Za-z0-9]{10}_[A-Za-z0-9]{40}")


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    return client


@pytest.fixture
def shop() -> Shop:
    return Shop.objects.create(code="s1", name="Shop one", channel="api")


def staff(*codenames: str, shop: Shop | None = None) -> Client:
    user = User.objects.create_user("staff", "staff@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    if shop is not None:
        StaffScope.objects.create(user=user, shop=shop)
    client = Client()
    client.force_login(user)
    return client


def form(**values: Any) -> dict[str, Any]:
    return {"key_prefix": new_prefix(), "name": "ERP", "scopes": ["orders:read", "stock:read"]} | values


def issue(name: str = "ERP", **values: Any) -> ApiKey:
    issued = issue_key(name=name, scopes=["orders:read"], at=timezone.now(), by="user:1", **values)
    return ApiKey.objects.get(pk=issued.key_id)


def key_in(page: str) -> str:
    found = KEY_TEXT.findall(page)
    assert len(found) == 1, "the whole key stands on the page exactly once"
    return str(found[0])


def test_the_form_says_in_plain_words_what_every_scope_allows(boss: Client) -> None:
    page = boss.get(reverse(ADD)).content.decode()

    assert set(SCOPE_WORDS) == SCOPES
    for scope, (words, meaning) in SCOPE_WORDS.items():
        assert f'value="{scope}"' in page
        assert str(words) in page
        assert str(meaning) in page


def test_an_issued_key_is_shown_once_with_its_copy_button_and_opens_the_api(boss: Client, shop: Shop) -> None:
    answer = boss.post(reverse(ADD), form(shops=[shop.pk]))

    page = answer.content.decode()
    text = key_in(page)
    assert 'data-copy="key-text"' in page
    assert "curl -H" in page
    assert "no-store" in answer["Cache-Control"]
    assert Client().get(reverse("order-list"), headers={"Authorization": f"Bearer {text}"}).status_code == 200
    key = ApiKey.objects.get()
    assert (key.name, key.scopes, list(key.shops.all())) == ("ERP", ["orders:read", "stock:read"], [shop])
    for later in (reverse(LIST), reverse(PAGE, args=[key.pk]), reverse("admin:kernel_auditentry_changelist")):
        assert text.rsplit("_", 1)[1] not in boss.get(later).content.decode()


def test_the_secret_is_neither_logged_nor_kept_in_a_session_or_an_audit_entry(
    boss: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)

    secret = key_in(boss.post(reverse(ADD), form()).content.decode()).rsplit("_", 1)[1]

    kept = [str(vars(entry)) for entry in AuditEntry.objects.all()]
    kept += [str(session.get_decoded()) for session in Session.objects.all()]
    assert secret not in caplog.text
    assert kept
    assert secret not in "".join(kept)


def test_who_issued_it_and_for_what_is_written_down(boss: Client, shop: Shop) -> None:
    boss.post(reverse(ADD), form(shops=[shop.pk], last_day="2099-12-31"))

    entry = AuditEntry.objects.get(action="api_key.issued")
    assert entry.by == f"user:{User.objects.get().pk}"
    assert entry.detail["scopes"] == ["orders:read", "stock:read"]
    assert entry.detail["shops"] == [shop.pk]
    assert entry.detail["expires_at"].startswith("2100-01-01")


def test_a_key_works_to_the_end_of_its_last_day(boss: Client) -> None:
    today = timezone.localdate()

    boss.post(reverse(ADD), form(last_day=today.isoformat()))

    expires_at = ApiKey.objects.get().expires_at
    assert expires_at == timezone.make_aware(datetime.combine(today, time.min)) + timedelta(days=1)
    assert today.isoformat() in boss.get(reverse(LIST)).content.decode()


def test_the_same_form_sent_twice_issues_one_key_and_shows_nothing_again(boss: Client) -> None:
    sent = form()
    boss.post(reverse(ADD), sent)

    again = boss.post(reverse(ADD), sent).content.decode()

    assert ApiKey.objects.count() == 1
    assert "issued already" in again
    assert not KEY_TEXT.search(again)


@pytest.mark.parametrize(
    "fault",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"name": ""},
        {"last_day": "2001-01-01"},
        {"key_prefix": "a b"},
    ],
)
def test_a_faulty_form_is_shown_again_and_issues_nothing(boss: Client, fault: dict[str, Any]) -> None:
    answer = boss.post(reverse(ADD), form(**fault))

    assert answer.status_code == 200
    assert "omni-error" in answer.content.decode()
    assert not ApiKey.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_prefix_is_used_once() -> None:
    prefix = new_prefix()
    issue(prefix=prefix)

    with pytest.raises(AlreadyIssued):
        issue(prefix=prefix)

    assert ApiKey.objects.count() == 1


def test_a_key_that_expired_before_it_was_issued_is_refused() -> None:
    with pytest.raises(ExpiresAtOnce):
        issue(expires_at=timezone.now() - timedelta(seconds=1))

    assert not ApiKey.objects.exists()


def test_staff_without_the_permission_see_none_of_it(shop: Shop) -> None:
    key = issue()
    client = staff("view_salesorder", shop=shop)

    for address in (reverse(LIST), reverse(ADD), reverse(PAGE, args=[key.pk])):
        assert client.get(address).status_code == 403
    assert client.post(reverse(ADD), form(shops=[shop.pk])).status_code == 403
    assert client.post(reverse(REVOKE, args=[key.pk]), {"reason": "lost"}).status_code == 403
    assert reverse(LIST) not in client.get(reverse("admin:index")).content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
    assert ApiKey.objects.count() == 1


def test_who_may_only_look_is_offered_neither_issuing_nor_revoking(shop: Shop) -> None:
    key = issue()
    client = staff("view_apikey", shop=shop)

    listed = client.get(reverse(LIST)).content.decode()
    page = client.get(reverse(PAGE, args=[key.pk])).content.decode()

    assert reverse(ADD) not in listed
    assert 'value="revoke"' not in listed
    assert reverse(REVOKE, args=[key.pk]) not in page
    assert client.get(reverse(ADD)).status_code == 403


def test_nobody_issues_a_key_that_sees_more_than_they_do(shop: Shop) -> None:
    theirs = Shop.objects.create(code="s2", name="Shop two", channel="api")
    client = staff("view_apikey", "add_apikey", shop=shop)

    page = client.get(reverse(ADD)).content.decode()
    for shops in ([], [theirs.pk], [shop.pk, theirs.pk]):
        client.post(reverse(ADD), form(shops=shops))
    refused = ApiKey.objects.count()
    client.post(reverse(ADD), form(shops=[shop.pk]))

    assert "Shop two" not in page
    assert refused == 0
    assert list(ApiKey.objects.get().shops.all()) == [shop]


def test_a_key_is_revoked_with_a_reason_and_says_so(boss: Client) -> None:
    key = issue()

    boss.post(reverse(REVOKE, args=[key.pk]), {"reason": "the machine is gone"})

    key.refresh_from_db()
    assert key.revoked_at is not None
    assert AuditEntry.objects.get(action="api_key.revoked").reason == "the machine is gone"
    page = boss.get(reverse(PAGE, args=[key.pk])).content.decode()
    assert "revoked" in page
    assert reverse(REVOKE, args=[key.pk]) not in page


def test_a_key_is_not_revoked_without_a_reason_nor_by_a_link(boss: Client) -> None:
    key = issue()

    boss.post(reverse(REVOKE, args=[key.pk]), {"reason": ""})
    assert boss.get(reverse(REVOKE, args=[key.pk])).status_code == 403

    key.refresh_from_db()
    assert key.revoked_at is None


def test_revoking_many_says_what_became_of_each(boss: Client) -> None:
    gone, live = issue("old machine"), issue("new machine")
    boss.post(reverse(REVOKE, args=[gone.pk]), {"reason": "lost"})
    chosen = {"action": "revoke", "_selected_action": [gone.pk, live.pk]}

    asked = boss.post(reverse(LIST), chosen).content.decode()
    answer = boss.post(reverse(LIST), chosen | {"asked": "1", "reason": "all of them"})

    assert 'name="reason"' in asked
    assert [(row.subject, row.text) for row in answer.context["refused"]] == [
        ("old machine", "It was revoked before.")
    ]
    live.refresh_from_db()
    assert live.revoked_at is not None


def test_the_list_says_what_each_key_may_do_where_and_how_long(boss: Client, shop: Shop) -> None:
    issue_key(name="ERP", scopes=["stock:write"], shop_ids=[shop.pk], at=timezone.now(), by="user:1")

    page = boss.get(reverse(LIST)).content.decode()

    for words in ("Book stock", "Shop one", "never", "until it is revoked", "live"):
        assert words in page
