"""The schema and its pages, with nothing from another machine."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView


class SchemaView(SpectacularAPIView):
    """OpenAPI 3 as YAML, the same as in `docs/openapi.yaml`."""

    renderer_classes = [OpenApiYamlRenderer]


class SwaggerPage(SpectacularSwaggerSplitView):
    """Try the API in the browser."""


# Redoc writes its styles into the page and searches in a worker made of a blob: allowed here and nowhere else.
@method_decorator(csp_update({"style-src": [UNSAFE_INLINE], "worker-src": [SELF, "blob:"]}), name="dispatch")
class RedocPage(SpectacularRedocView):
    """Read about the API."""
