"""Addresses that the outside calls by itself."""

from django.urls import path

from integrations.api.views import take_qimen_callback

urlpatterns = [path("qimen/<slug:code>/", take_qimen_callback, name="qimen-callback")]
