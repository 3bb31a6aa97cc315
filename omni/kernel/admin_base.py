"""The furniture of every admin page: lists that never count, rows that nobody edits, results per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters, ShowFacets
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import BinaryField, ForeignKey, Q, QuerySet
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.decorators import display as unfold_display
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from omni.kernel.actors import user_actor
from omni.kernel.errors import DomainError
from omni.kernel.history import history_of
from omni.kernel.names import Names, name_actors

AFTER, BEFORE = "after", "before"
Method = TypeVar("Method", bound=Callable[..., Any])


def column(*, description: Any, label: bool | Mapping[Any, str] | None = None) -> Callable[[Method], Method]:
    """A method as a column of a list. `label`: shown as a pill; a mapping gives the pill's colour by value.

    A method with a mapping returns (value, text): a colour keyed on translated text is lost in Chinese.
    """
    decorate: Callable[[Method], Method] = unfold_display(description=description, label=label)
    return decorate


class UncountedPaginator(InfinitePaginator):  # type: ignore[misc]
    """Never counts. Lists page by key-set; only the look-up windows of form fields use its page numbers."""

    template_name = "admin/keyset_pagination.html"


class KeysetChangeList(ChangeList):  # type: ignore[misc]
    """Page 1,000 costs what page 1 costs: `?after=<key>` and `?before=<key>` instead of an offset and a count.

    The order is the admin's `keyset`: one unique, indexed column, so that a page is a range of its index.
    """

    next_key: str | None = None
    previous_key: str | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        # A link to a filter or a search starts at the first page again: the key is not one of its parameters.
        for name in (AFTER, BEFORE):
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        queryset: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return queryset

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        return [self.model_admin.get_keyset(request)]

    def get_ordering_field_columns(self) -> dict[int, str]:
        return {}

    def get_results(self, request: HttpRequest) -> None:
        keyset: str = self.model_admin.get_keyset(request)
        field, descending = keyset.removeprefix("-"), keyset.startswith("-")
        after, before = request.GET.get(AFTER), request.GET.get(BEFORE)
        size = self.list_per_page
        onward, back = ("lt", "gt") if descending else ("gt", "lt")
        rows: list[Any] = []
        has_previous = has_next = False
        try:
            if before:
                turned = field if descending else f"-{field}"
                found = list(
                    self.queryset.filter(**{f"{field}__{back}": before}).order_by(turned)[: size + 1]
                )
                rows, has_previous, has_next = found[:size][::-1], len(found) > size, True
            if not before or len(rows) < size:
                # Also when fewer rows than a page lie before the key: the first page is then shown in full.
                queryset = self.queryset
                if after and not before:
                    queryset, has_previous = queryset.filter(**{f"{field}__{onward}": after}), True
                found = list(queryset[: size + 1])
                rows, has_next = found[:size], len(found) > size
        except (ValueError, ValidationError) as error:
            raise IncorrectLookupParameters(error) from error
        if rows:
            self.previous_key = str(getattr(rows[0], field)) if has_previous else None
            self.next_key = str(getattr(rows[-1], field)) if has_next else None
        self.model_admin.name_rows(request, rows)
        self.result_list = rows
        self.result_count = self.full_result_count = len(rows)
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, size)

    def next_page(self) -> str:
        return str(self.get_query_string({AFTER: self.next_key}))

    def previous_page(self) -> str:
        return str(self.get_query_string({BEFORE: self.previous_key}))

    def first_page(self) -> str:
        return str(self.get_query_string())


def safe_next(request: HttpRequest, otherwise: str) -> str:
    """The page from which a button was pressed, if it is one of ours."""
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if wanted and is_ours else otherwise


def show_faults(form: forms.Form, refusal: DomainError) -> None:
    """Put an operation's refusal where the person will mend it: at the field that is at fault, else above all."""
    visible = {field.name for field in form.visible_fields()}
    faults = {name: texts for name, texts in refusal.fields.items() if name in visible}
    for name, texts in faults.items():
        form.add_error(name, texts)
    if not faults:
        form.add_error(None, refusal.detail)


@dataclass(frozen=True, slots=True)
class Queue:
    """A list of rows that wait for somebody: a condition that a partial index answers, with its own columns.

    `since`: the column that says since when a row has waited. `actions`: the buttons that make sense here.
    `filters` take the place of the admin's own.
    """

    code: str
    title: Any
    sentence: Any
    condition: Q
    columns: Sequence[str]
    icon: str
    since: str = "created_at"
    actions: Sequence[str] = ()
    filters: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True)
class RowResult:
    """What an action did to one row. `text`: the reason of a refusal, or what happened."""

    subject: str
    is_ok: bool
    text: str = ""
    url: str = ""


class BaseAdmin(ModelAdmin):  # type: ignore[misc]
    """Look, search, and press buttons that call operations. Nothing is edited unless a subclass says so.

    `keyset`: the one column by which the list is ordered and paged. `search_fields` name a look-up that an
    index answers (`number__startswith`, `outer_id__exact`). `actors`: the columns that say who did something.
    `history_ignores`: columns that change by themselves, and are no news.
    `shown_as`: columns that the page of a row shows through a method of the admin, because they hold a code.
    """

    actors: ClassVar[Sequence[str]] = ()
    history_ignores: ClassVar[Sequence[str]] = ()
    shown_as: ClassVar[Mapping[str, str]] = {}
    keyset: ClassVar[str] = "-id"
    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    list_disable_select_all = True
    list_filter_sheet = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = UncountedPaginator
    sortable_by: Sequence[str] = ()
    actions: Sequence[Any] = ()
    is_editable: ClassVar[bool] = False
    list_before_template = "admin/list_intro.html"
    intro: ClassVar[Any] = ""
    queues: ClassVar[Mapping[str, Queue]] = {}

    # --- lists ----------------------------------------------------------------------------------------------
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_urls(self) -> list[URLPattern]:
        meta = self.opts
        view = self.admin_site.admin_view(self.queue_view)
        name = f"{meta.app_label}_{meta.model_name}_queue"
        return [path("queue/<slug:queue>/", view, name=name), *super().get_urls()]

    def queue_view(self, request: HttpRequest, queue: str) -> Any:
        if queue not in self.queues:
            raise Http404
        return self.changelist_view(request)

    def queue_of(self, request: HttpRequest) -> Queue | None:
        """The queue whose list is being shown; None: all rows."""
        match = request.resolver_match
        return self.queues.get(match.kwargs.get("queue", "")) if match else None

    def get_keyset(self, request: HttpRequest) -> str:
        """Whoever has waited longest comes first; without a queue the newest."""
        return "id" if self.queue_of(request) else self.keyset

    def get_list_display(self, request: HttpRequest) -> Any:
        queue = self.queue_of(request)
        return tuple(queue.columns) if queue else super().get_list_display(request)

    def get_list_filter(self, request: HttpRequest) -> Any:
        queue = self.queue_of(request)
        return queue.filters if queue and queue.filters is not None else super().get_list_filter(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """In a queue only what makes sense there; never Django's own deletion."""
        offered: dict[str, Any] = super().get_actions(request)
        offered.pop("delete_selected", None)
        queue = self.queue_of(request)
        if queue is None:
            return offered
        return {name: action for name, action in offered.items() if name in queue.actions}

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        """The heading and the sentence above the list; None: none."""
        queue = self.queue_of(request)
        if queue:
            return {"title": queue.title, "text": queue.sentence}
        return {"text": self.intro} if self.intro else None

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        return (self.get_keyset(request),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows that the viewer may see, without the encrypted columns: a list must not decrypt 50 receivers."""
        queryset = super().get_queryset(request).defer(*self._heavy_fields)
        queue = self.queue_of(request)
        if queue:
            queryset = queryset.filter(queue.condition)
        return self.limit_to_viewer(request, queryset)

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows that this person may see. The kernel knows no brands and shops: the rooms say."""
        return queryset

    @cached_property
    def _heavy_fields(self) -> list[str]:
        return [f.name for f in self.model._meta.concrete_fields if isinstance(f, BinaryField)]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        context = {"intro": self.get_intro(request), **(extra_context or {})}
        return super().changelist_view(request, context)

    # --- who did it ----------------------------------------------------------------------------------------
    def name_rows(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Look up once for all rows who stands in their columns of actors."""
        if self.actors:
            names = name_actors((getattr(row, name) for row in rows for name in self.actors), request=request)
            for row in rows:
                row.actor_names = names

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.name_rows(request, [row])
        return row

    def who(self, row: Any, by: str) -> str:
        """An actor of a row by name, with the link to their page."""
        names: Names = getattr(row, "actor_names", Names())
        return names.html(by) if by else "–"

    # --- editing --------------------------------------------------------------------------------------------
    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.is_editable and super().has_add_permission(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # What the database fills in cannot be shown before there is a row.
        fields = super().get_fields(request, obj)
        if obj:
            return [self.shown_as.get(name, name) if isinstance(name, str) else name for name in fields]
        return [name for name in fields if name not in self.readonly_fields]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.is_editable and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the viewer may press the buttons: Django's permission to change this kind of row."""
        meta = self.opts
        return bool(request.user.has_perm(f"{meta.app_label}.change_{meta.model_name}"))

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        """Offer only what the viewer may see of the other table too."""
        related: Any = self.admin_site._registry.get(db_field.related_model)
        if related is not None and "queryset" not in kwargs:
            kwargs["queryset"] = related.get_queryset(request)
        field: ModelChoiceField[Any] | None = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return field

    # --- history --------------------------------------------------------------------------------------------
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Who changed what, from what to what, for whoever may see the row."""
        row = self.visible_object(request, int(object_id) if object_id.isdigit() else 0)
        request.current_app = self.admin_site.name
        meta = self.opts
        context = {
            **self.admin_site.each_context(request),
            "opts": meta,
            "original": row,
            "title": str(row),
            "name": str(row),
            "entries": history_of(row, request=request, ignored=self.history_ignores),
            "back": reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk]),
        }
        return TemplateResponse(request, "admin/history_page.html", context)

    # --- buttons --------------------------------------------------------------------------------------------
    def visible_object(self, request: HttpRequest, pk: Any) -> Any:
        """The row, or 404 when it is not there for this viewer. 403 without the permission to look at all."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def operable_object(self, request: HttpRequest, pk: Any) -> Any:
        """The row for a button: POST only, with the permission to operate."""
        if request.method != "POST" or not self.has_operate_permission(request):
            raise PermissionDenied
        return self.visible_object(request, pk)

    def operate(
        self, request: HttpRequest, title: Any, operation: Callable[[datetime, str], Sequence[RowResult]]
    ) -> HttpResponse | None:
        """Call an operation with the time and the actor, and tell what came of each row; refusals are no faults."""
        try:
            results = operation(timezone.now(), user_actor(request.user))
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            return None
        return self.tell_results(request, title, results)

    def tell_results(
        self, request: HttpRequest, title: Any, results: Sequence[RowResult], back: str = ""
    ) -> HttpResponse | None:
        """Say what happened to each row: a message when all went well, else a page that names every refusal."""
        done = [row for row in results if row.is_ok]
        refused = [row for row in results if not row.is_ok]
        if done:
            text = ngettext("%(title)s: %(count)d done.", "%(title)s: %(count)d done.", len(done))
            messages.success(request, text % {"title": title, "count": len(done)})
        if not refused:
            return None
        if len(results) == 1:
            messages.error(request, f"{refused[0].subject}: {refused[0].text}")
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "refused": refused,
            "done": done,
            "back": back or request.get_full_path(),
        }
        return TemplateResponse(request, "admin/action_results.html", context)

    def title_of_row(self, row: Any) -> str:
        """What a row is called where a person is asked about it."""
        return str(row)

    def ask_first(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        action: str,
        title: Any,
        form: forms.Form,
        run: Callable[[dict[str, Any], list[Any]], HttpResponse | None],
    ) -> HttpResponse | None:
        """A bulk action that needs a word from the person first: a form page, then the action with its answers.

        `run` gets the cleaned answers and the chosen rows.
        """
        rows = list(queryset)
        if "asked" in request.POST and form.is_valid():
            return run(form.cleaned_data, rows) or HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "form": form,
            "rows": rows,
            "row_titles": [self.title_of_row(row) for row in rows],
            "back": request.get_full_path(),
            "action": action,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/ask_first.html", context)
