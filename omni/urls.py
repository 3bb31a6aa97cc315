"""Every address of the house."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from omni.health import livez, readyz
from omni.home import pulse

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("api/v1/webhooks/", include("integrations.api.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/pulse/", admin.site.admin_view(pulse), name="admin_pulse"),
    path("admin/", admin.site.urls),
]
