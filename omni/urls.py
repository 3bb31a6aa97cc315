"""Every address of the house."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from omni.health import livez, readyz
from omni.home import pulse
from omni.kernel.api.docs import RedocPage, SchemaView, SwaggerPage
from omni.kernel.api.views import NoSuchEndpoint
from products.images.views import image_file

api: list[URLPattern | URLResolver] = [
    # First what is asked most: addresses are tried one after the other, and those of products are many.
    path("v1/", include("orders.api.urls")),
    path("v1/", include("products.api.urls")),
    path("v1/", include("inventory.api.urls")),
    path("v1/", include("integrations.api.routes")),
    path("v1/webhooks/", include("integrations.api.urls")),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", SwaggerPage.as_view(), name="docs"),
    path("redoc/", RedocPage.as_view(), name="redoc"),
    re_path("", NoSuchEndpoint.as_view()),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("api/", include(api)),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/pulse/", admin.site.admin_view(pulse), name="admin_pulse"),
    path("images/<int:pk>/<str:size>", image_file, name="image_file"),
    path("admin/", admin.site.urls),
]
