"""API keys: who may call, for what, and since when they have not."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from integrations.models import ApiKey
from omni.kernel.admin_base import column
from omni.kernel.display import age_text
from products.admin.scoped import ScopedAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(ScopedAdmin):
    intro = _("A key is shown once, when it is made. Only its hash is stored.")
    is_house_wide = True
    list_display = (
        "name",
        "prefix",
        "show_scopes",
        "show_state",
        "show_last_used",
        "created_by",
        "created_at",
    )
    search_fields = ("prefix__exact", "name__startswith")

    @column(description=_("scopes"))
    def show_scopes(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @column(description=_("state"), label={"live": "success", "revoked": "", "expired": "warning"})
    def show_state(self, key: ApiKey) -> tuple[str, Any]:
        if key.revoked_at:
            return "revoked", _("revoked")
        if key.expires_at and key.expires_at <= timezone.now():
            return "expired", _("expired")
        return "live", _("live")

    @column(description=_("last used"))
    def show_last_used(self, key: ApiKey) -> str:
        return age_text(key.last_used_at)
