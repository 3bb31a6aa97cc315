"""Deny by default: an endpoint names the scope that it needs, or nobody gets in."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class HasScope(BasePermission):
    """The view says `scopes = {"read": "orders:read", "write": "orders:write"}`; a view without it is closed.

    A key needs the scope. A signed-in staff member needs the Django permission that stands for it
    (`orders:read` →
    `orders.view_salesorder` is checked by the view's `staff_permission`), superusers pass.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        scopes = getattr(view, "scopes", None)
        if not scopes:
            return False
        if not hasattr(view, str(request.method).lower()):
            return True  # into nothing: DRF answers that there is no such method
        needed = scopes["read" if request.method in READ_METHODS else "write"]
        key: Any = request.auth
        if key is not None:
            return needed in key.scopes
        user = request.user
        if not (user.is_authenticated and user.is_staff):
            return False
        return bool(user.is_superuser or user.has_perm(view.staff_permission))
