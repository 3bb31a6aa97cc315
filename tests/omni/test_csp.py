"""Two content policies: strict by default, and what the admin needs only under the admin's own path."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from omni.csp import PolicyByPath

HEADER = "Content-Security-Policy"


def policy_of(path: str) -> str:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse("")

    answer = PolicyByPath(page)(RequestFactory().get(path))
    assert isinstance(answer, HttpResponse)
    return answer[HEADER]


@pytest.mark.parametrize("path", ["/", "/livez", "/api/v1/orders/", "/administrators/", "/portal/admin/"])
def test_a_page_that_nobody_thought_of_gets_the_strict_policy(path: str) -> None:
    policy = policy_of(path)

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_admin_may_evaluate_its_own_scripts_and_nothing_from_outside() -> None:
    policy = policy_of(reverse("admin:login"))

    assert "script-src 'self' 'unsafe-eval';" in policy + ";"
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy


@pytest.mark.django_db
def test_the_login_page_is_served_with_the_admins_policy() -> None:
    answer = Client().get(reverse("admin:login"))

    assert "'unsafe-eval'" in answer[HEADER]
