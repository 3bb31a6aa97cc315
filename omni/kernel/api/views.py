"""What every reading endpoint of the house is built on."""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import ReadOnlyModelViewSet


@method_decorator(conditional_page, name="dispatch")
@method_decorator(cache_control(private=True, no_cache=True), name="dispatch")
class ReadingView(ReadOnlyModelViewSet[Any]):
    """A list by key-set pages and a detail by its code, each with an ETag.

    What may hold personal data is never taken from a cache unasked; the ETag makes asking cheap.
    """

    lookup_value_regex = r"[^/\x00]+"


@method_decorator(cache_control(private=True, no_cache=True), name="dispatch")
class HouseView(APIView):
    """Whatever is neither list nor detail."""


class NoSuchEndpoint(APIView):
    """What lies under /api/ and is no endpoint: a problem like any other, not a page."""

    permission_classes = ()
    authentication_classes = ()
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(_("There is no such endpoint."))
