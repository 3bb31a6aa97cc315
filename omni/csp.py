"""Two content policies by path: a strict one everywhere, and the one that the admin's Alpine needs under /admin/."""

from __future__ import annotations

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse


class PolicyByPath(CSPMiddleware):
    """The strict policy is the default, so that a page which nobody thought of gets it."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if not report_only and request.path.startswith(reverse("admin:index")):
            parts.replace = {**settings.OMNI_ADMIN_CSP, **(parts.replace or {})}
        return parts
