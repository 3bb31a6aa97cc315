"""What transfers and count sheets share: whole documents for whoever may see all that is in them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from omni.kernel.actors import user_actor
from omni.kernel.errors import DomainError
from products.admin.scoped import ScopedAdmin
from products.scope import Scope


class DocumentAdmin(ScopedAdmin):
    """Documents with lines of SKUs, made and changed by operations alone."""

    is_editable = True
    line_model: ClassVar[type[Any]]
    parent: ClassVar[str]

    def limit_to_scope(self, queryset: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
        """Those of whose brands all lines are: half a document would be confirmed unseen."""
        lines = self.line_model.objects.filter(**{self.parent: OuterRef("pk")})
        own = lines.filter(sku__spu__brand__in=scope.brand_ids)
        return queryset.filter(Exists(own), ~Exists(lines.exclude(sku__spu__brand__in=scope.brand_ids)))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not object_id.isdigit():
            raise Http404
        return self.document_page(request, self.visible_object(request, int(object_id)), {})

    def document_page(self, request: HttpRequest, row: Any, forms: dict[str, Any]) -> HttpResponse:
        """The page of one; `forms`: those with a fault, as they were sent."""
        raise NotImplementedError

    def attempt(self, request: HttpRequest, act: Callable[[datetime, str], Any]) -> Any:
        """Call an operation; None if it was refused, which is said."""
        try:
            return act(timezone.now(), user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return None

    def refuse_adding(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def show(self, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
        request.current_app = self.admin_site.name
        known = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, f"inventory/{template}", known | context)
