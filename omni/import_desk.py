"""The pages on which tables come in: upload, map, preview, take, look at what was refused, take back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import BaseAdmin, Queue, RowResult, column
from omni.kernel.display import number_text
from omni.kernel.errors import DomainError
from omni.kernel.imports.commit import dismiss_rows, start_commit, start_retry, was_stopped
from omni.kernel.imports.export import csv_chunks, template_csv, write_template, write_xlsx
from omni.kernel.imports.faults import reason_words
from omni.kernel.imports.map_columns import map_columns, save_mapping
from omni.kernel.imports.options import ENCODINGS, SEPARATORS
from omni.kernel.imports.preview import start_preview
from omni.kernel.imports.rejects import import_rows, outcomes, reasons, rejects_csv, rejects_xlsx
from omni.kernel.imports.target import Target
from omni.kernel.imports.undo import start_undo
from omni.kernel.imports.upload import upload_file
from omni.kernel.jobs import cancel_job
from omni.kernel.models import Import, ImportMapping, ImportRow, Job
from omni.kernel.names import name_actors
from omni.wiring import IMPORT_TARGETS
from products.models import Brand, Shop
from products.scope import scope_of, whole_brand_ids

PAGE_ROWS = 50
LIVE = (Job.State.QUEUED, Job.State.RUNNING)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
STATE_LABELS = {
    "uploaded": "info",
    "previewed": "primary",
    "committing": "primary",
    "done": "success",
    "failed": "danger",
    "undone": "",
    "forgotten": "",
}


def reason_text(target_name: str, code: str) -> str:
    """What a reason means, in the words of the target or of the engine; an unknown one as it is, readable."""
    target = IMPORT_TARGETS.get(target_name)
    words = (target.reasons if target else {}).get(code) or reason_words().get(code)
    return str(words) if words else code.replace("_", " ")


def visible_shops(request: HttpRequest) -> QuerySet[Shop]:
    """The shops for which the viewer may bring in orders."""
    shops, scope = Shop.objects.filter(is_active=True).order_by("code"), scope_of(request.user)
    return shops if scope.is_everything else shops.filter(pk__in=scope.shop_ids)


def limit_imports(request: HttpRequest, prefix: str = "") -> Q:
    """A person sees the imports that they started, and those of the shops of their scope."""
    scope = scope_of(request.user)
    if scope.is_everything:
        return Q()
    codes = list(Shop.objects.filter(pk__in=scope.shop_ids).values_list("code", flat=True))
    own_brands = params_of("brands", request, None)["brands"]
    in_shops = Q(**{f"{prefix}params__shops__contained_by": codes})
    in_brands = Q(**{f"{prefix}params__brands__contained_by": own_brands})
    no_shops = Q(**{f"{prefix}params__shops__isnull": True})
    no_brands = Q(**{f"{prefix}params__brands__isnull": True})
    return (
        Q(**{f"{prefix}created_by": user_actor(request.user)})
        | Q(**{f"{prefix}params__shop__in": codes})
        | in_shops & (in_brands | no_brands)
        | in_brands & no_shops
    )


def usable_targets(request: HttpRequest) -> list[Target]:
    """What the viewer may bring in: the target's own permission counts besides the one to import."""
    return [target for target in IMPORT_TARGETS.values() if may_use(request, target)]


def may_use(request: HttpRequest, target: Target) -> bool:
    return not target.permission or bool(request.user.has_perm(target.permission))


def params_of(belongs_to: str, request: HttpRequest, shop: Shop | None) -> dict[str, Any]:
    """What limits an import or an export to what the viewer may see; nothing for those who may see everything."""
    scope = scope_of(request.user)
    if belongs_to == "shop":
        return {"shop": shop.code} if shop else {}
    if scope.is_everything:
        return {}
    limits: dict[str, Any] = {}
    if belongs_to in ("shops", "offers"):
        limits["shops"] = list(visible_shops(request).values_list("code", flat=True))
    if belongs_to in ("brands", "offers"):
        limits["brands"] = _brand_codes(scope.brand_ids)
    if belongs_to == "offers":
        limits["whole_brands"] = _brand_codes(whole_brand_ids(request.user) or ())
    return limits


def _brand_codes(ids: Collection[int]) -> list[str]:
    return list(Brand.objects.filter(pk__in=ids).order_by("code").values_list("code", flat=True))


class UploadForm(forms.Form):
    """What is brought in, for which shop, understood how."""

    target = forms.ChoiceField(label=_("What is in the file?"))
    shop = forms.ModelChoiceField(Shop.objects.none(), label=_("Shop"), required=False, to_field_name="code")
    mapping = forms.ModelChoiceField(
        ImportMapping.objects.order_by("target", "name"),
        label=_("Saved mapping"),
        required=False,
        empty_label=_("find the columns by their headings"),
    )
    file = forms.FileField(
        label=_("File"), help_text=_("CSV or XLSX, at most 10 MB and 100 columns. Macros are refused.")
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._targets = {target.name: target for target in usable_targets(request)}
        choices = [(target.name, str(target.label)) for target in self._targets.values()]
        self.fields["target"] = forms.ChoiceField(label=_("What is in the file?"), choices=choices)
        shops = visible_shops(request)
        self._is_shop_optional = scope_of(request.user).is_everything
        self.fields["shop"] = forms.ModelChoiceField(
            shops,
            label=_("Shop"),
            required=False,
            to_field_name="code",
            empty_label=_("the one that the file names"),
            help_text=_(
                "Orders belong to one shop; products and listings say in the file where they belong."
            ),
        )
        self.order_fields(["target", "shop", "mapping", "file"])

    def clean(self) -> dict[str, Any]:
        answers = super().clean() or {}
        mapping: ImportMapping | None = answers.get("mapping")
        target = self._targets.get(mapping.target if mapping else answers.get("target", ""))
        if target is None:
            self.add_error("mapping" if mapping else "target", _("You may not bring in this kind of file."))
        elif target.belongs_to == "shop" and not answers.get("shop") and not self._is_shop_optional:
            self.add_error("shop", _("Say to which shop the rows of this file belong."))
        answers["chosen"] = target
        return answers


class OptionsForm(forms.Form):
    """How the file is written, where looking at it has guessed wrong."""

    encoding = forms.ChoiceField(label=_("Encoding"), choices=[(name, name) for name in ENCODINGS])
    separator = forms.ChoiceField(
        label=_("Separator"),
        choices=[(mark, {"\t": _("tab")}.get(mark, mark)) for mark in SEPARATORS],
        required=False,
    )
    decimal = forms.ChoiceField(
        label=_("Decimal mark"), choices=[(".", _("point: 1,234.50")), (",", _("comma: 1.234,50"))]
    )
    time_zone = forms.CharField(label=_("Time zone of the file"), max_length=60)
    sheet = forms.CharField(label=_("Sheet (empty: the first)"), max_length=60, required=False)


@admin.register(Import)
class ImportAdmin(BaseAdmin):
    """Every file that came in. Its own page is where it is mapped, previewed, taken and taken back."""

    actors = ("created_by",)
    list_display = (
        "file_name",
        "show_target",
        "show_state",
        "show_lines",
        "show_new",
        "show_unchanged",
        "show_error",
        "show_done",
        "show_by",
        "created_at",
    )

    # --- lists ----------------------------------------------------------------------------------------------
    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(limit_imports(request))

    def get_intro(self, request: HttpRequest) -> dict[str, Any] | None:
        text = _("A file is read and compared first; nothing changes before somebody has seen the preview.")
        links = [{"url": reverse("admin:kernel_import_upload"), "label": _("Import a file")}]
        return {"text": text, "links": links if self.may_upload(request) else []}

    @column(description=_("what"))
    def show_target(self, run: Import) -> str:
        return target_label(run)

    @column(description=_("state"), label=STATE_LABELS)
    def show_state(self, run: Import) -> tuple[str, str]:
        return run.state, run.get_state_display()

    @column(description=_("rows"))
    def show_lines(self, run: Import) -> str:
        return number_text(run.lines)

    @column(description=_("to take"))
    def show_new(self, run: Import) -> str:
        return number_text(run.new + run.changed)

    @column(description=_("unchanged"))
    def show_unchanged(self, run: Import) -> str:
        return number_text(run.unchanged)

    @column(description=_("refused"))
    def show_error(self, run: Import) -> str:
        return number_text(run.error)

    @column(description=_("taken"))
    def show_done(self, run: Import) -> str:
        return number_text(run.done)

    @column(description=_("by"))
    def show_by(self, run: Import) -> str:
        return self.who(run, run.created_by)

    # --- addresses ------------------------------------------------------------------------------------------
    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site.admin_view
        return [
            path("upload/", site(self.upload_view), name="kernel_import_upload"),
            path("template/<str:target>.<str:kind>", site(self.template_view), name="kernel_import_template"),
            path("export/<str:target>.<str:kind>", site(self.export_view), name="kernel_import_export"),
            path("<int:pk>/progress/", site(self.progress_view), name="kernel_import_progress"),
            path("<int:pk>/rejected.<str:kind>", site(self.rejected_view), name="kernel_import_rejected"),
            path("<int:pk>/map/", site(self.map_view), name="kernel_import_map"),
            path("<int:pk>/step/<slug:step>/", site(self.step_view), name="kernel_import_step"),
            *super().get_urls(),
        ]

    def may_upload(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("kernel.add_import"))

    # --- upload ---------------------------------------------------------------------------------------------
    def upload_view(self, request: HttpRequest) -> HttpResponse:
        if not self.may_upload(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None, request=request)
        if request.method == "POST" and form.is_valid():
            try:
                run = self._upload(request, form.cleaned_data)
            except DomainError as refusal:
                form.add_error("file", refusal.detail)
            else:
                return HttpResponseRedirect(reverse("admin:kernel_import_change", args=[run.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import a file"),
            "form": form,
            "targets": usable_targets(request),
            "exported": [target for target in usable_targets(request) if target.is_exported],
        }
        return TemplateResponse(request, "admin/imports/upload.html", context)

    def _upload(self, request: HttpRequest, answers: dict[str, Any]) -> Import:
        mapping: ImportMapping | None = answers["mapping"]
        target: Target = answers["chosen"]
        given = dict(mapping.options) if mapping else dict(getattr(target, "options", {}))
        run = upload_file(
            target=target,
            name=answers["file"].name,
            chunks=answers["file"].chunks(),
            params=params_of(target.belongs_to, request, answers["shop"]),
            options=given,
            at=timezone.now(),
            by=user_actor(request.user),
        )
        if mapping:
            run = map_columns(run_id=run.pk, target=target, columns=mapping.columns, mapping=mapping)
        return run

    def template_view(self, request: HttpRequest, target: str, kind: str) -> HttpResponse:
        chosen = IMPORT_TARGETS.get(target)
        if chosen is None or kind not in ("csv", "xlsx") or not may_use(request, chosen):
            raise Http404
        if not self.may_upload(request):
            raise Http404
        if kind == "csv":
            return _download(template_csv(chosen.fields), f"{target}.csv", "text/csv; charset=utf-8")
        buffer = BytesIO()
        offered = chosen.offered(params_of(chosen.belongs_to, request, None))
        write_template(buffer, chosen.fields, title=str(chosen.label), offered=offered)
        return _download(buffer.getvalue(), f"{target}.xlsx", XLSX)

    def export_view(self, request: HttpRequest, target: str, kind: str) -> HttpResponseBase:
        """What there is, in the columns of the import, of whatever the viewer may see."""
        chosen = IMPORT_TARGETS.get(target)
        if chosen is None or kind not in ("csv", "xlsx") or not may_use(request, chosen):
            raise Http404
        rows = chosen.export(params_of(chosen.belongs_to, request, None))
        if rows is None or not self.may_upload(request):
            raise Http404
        header = [str(field.label) for field in chosen.fields]
        if kind == "csv":
            answer: HttpResponseBase = StreamingHttpResponse(
                csv_chunks(header, rows), content_type="text/csv; charset=utf-8"
            )
        else:
            # On disk, not in memory: a hundred thousand rows are some megabytes, and several may ask at once.
            file = TemporaryFile()  # noqa: SIM115 - closed with the answer
            write_xlsx(file, header, rows, title=str(chosen.label))
            file.seek(0)
            answer = FileResponse(file, content_type=XLSX)
        answer.headers["Content-Disposition"] = f'attachment; filename="{target}.{kind}"'
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    # --- one import -----------------------------------------------------------------------------------------
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run: Import = self.visible_object(request, object_id)
        return TemplateResponse(request, "admin/imports/import.html", self._page(request, run))

    def _page(self, request: HttpRequest, run: Import) -> dict[str, Any]:
        status = request.GET.get("status", "")
        after = request.GET.get("after", "0")
        rows = import_rows(
            run,
            status=status if status in ImportRow.Status.values else "",
            after_line=int(after) if after.isdigit() and len(after) < 10 else 0,
            limit=PAGE_ROWS + 1,
        )
        target = IMPORT_TARGETS.get(run.target)
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": run.file_name,
            "run": run,
            "what": target_label(run),
            "by": name_actors([run.created_by], request=request).html(run.created_by),
            "job": run.job if run.job and run.job.state in LIVE else None,
            "may_operate": self.has_operate_permission(request) and bool(target and may_use(request, target)),
            "counts": _counts(run),
            "reasons": [(reason_text(run.target, code), code, count) for code, count in reasons(run.pk)],
            "outcomes": outcomes(run.pk),
            "status": status,
            "rows": [
                (row, reason_text(run.target, row.reason) if row.reason else "") for row in rows[:PAGE_ROWS]
            ],
            "next_line": rows[PAGE_ROWS - 1].line_no if len(rows) > PAGE_ROWS else None,
            "can_map": run.state in (Import.State.UPLOADED, Import.State.PREVIEWED, Import.State.FAILED)
            and not run.done,
            "can_take": run.state == Import.State.PREVIEWED or was_stopped(run),
            "can_undo": run.state == Import.State.DONE and bool(target and target.can_undo) and run.done > 0,
            "can_retry": run.state == Import.State.DONE and run.error > 0,
            "columns": _columns(run, target) if target else [],
            "options_form": OptionsForm(initial=run.options),
        }

    def progress_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A fragment, asked for each second while the work goes on; the whole page again when it is over."""
        run: Import = self.visible_object(request, pk)
        job = run.job
        if job is None or job.state not in LIVE:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return TemplateResponse(request, "admin/imports/progress.html", {"run": run, "job": job})

    def rejected_view(self, request: HttpRequest, pk: int, kind: str) -> HttpResponseBase:
        run: Import = self.visible_object(request, pk)
        name = f"rejected-{run.pk}.{kind}"
        if kind == "csv":
            headers = {
                "Content-Disposition": f'attachment; filename="{name}"',
                "X-Content-Type-Options": "nosniff",
            }
            return StreamingHttpResponse(
                rejects_csv(run), content_type="text/csv; charset=utf-8", headers=headers
            )
        if kind != "xlsx":
            raise Http404
        buffer = BytesIO()
        rejects_xlsx(run, buffer)
        return _download(buffer.getvalue(), name, XLSX)

    # --- buttons --------------------------------------------------------------------------------------------
    def map_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say which column is what, keep it under a name if one is given, and start the preview."""
        run = self._usable_run(request, pk)
        target = IMPORT_TARGETS[run.target]
        form = OptionsForm(request.POST)
        if not form.is_valid():
            for name, errors in form.errors.items():
                messages.error(request, f"{form.fields[name].label}: {' '.join(map(str, errors))}")
            return self._back(run)

        def work() -> None:
            columns = {
                field.name: request.POST.get(f"column-{field.name}", "")[:120] for field in target.fields
            }
            mapped = map_columns(run_id=run.pk, target=target, columns=columns, options=form.cleaned_data)
            name = request.POST.get("mapping_name", "").strip()
            at, by = timezone.now(), user_actor(request.user)
            if name:
                save_mapping(
                    target=target, name=name, columns=mapped.columns, options=mapped.options, at=at, by=by
                )
            start_preview(run_id=run.pk, target=target, at=at, by=by)

        return self._try(request, run, work)

    def step_view(self, request: HttpRequest, pk: int, step: str) -> HttpResponse:
        """One button of the page: take, retry, undo or stop."""
        run = self._usable_run(request, pk)
        at, by, target = timezone.now(), user_actor(request.user), IMPORT_TARGETS[run.target]
        steps: dict[str, Callable[[], Any]] = {
            "take": lambda: start_commit(run_id=run.pk, at=at, by=by),
            "retry": lambda: start_retry(run_id=run.pk, at=at, by=by),
            "undo": lambda: start_undo(run_id=run.pk, target=target, at=at, by=by),
            "stop": lambda: cancel_job(job_id=run.job_id, at=at, by=by) if run.job_id else None,
        }
        if step not in steps:
            raise Http404
        return self._try(request, run, steps[step])

    def _usable_run(self, request: HttpRequest, pk: int) -> Import:
        """The import for a button: what it brings in must be the viewer's business too."""
        run: Import = self.operable_object(request, pk)
        target = IMPORT_TARGETS.get(run.target)
        if target is None or not may_use(request, target):
            raise PermissionDenied
        return run

    def _try(self, request: HttpRequest, run: Import, act: Callable[[], Any]) -> HttpResponse:
        try:
            act()
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        return self._back(run)

    def _back(self, run: Import) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:kernel_import_change", args=[run.pk]))


@admin.register(ImportRow)
class ImportRowAdmin(BaseAdmin):
    """Rows that were refused and wait, whatever file they came in."""

    queues = {
        "open": Queue(
            "open",
            _("Refused rows"),
            _(
                "Rows of taken files that could not be taken. Mend the cause and retry, or dismiss what is no loss."
            ),
            Q(status=ImportRow.Status.ERROR, run__state=Import.State.DONE),
            ("show_file", "line_no", "show_reason", "column", "detail", "show_cells"),
            "rule",
            "run__created_at",
            ("retry", "dismiss"),
        )
    }
    list_display = ("show_file", "line_no", "show_status", "show_reason", "column", "detail", "show_cells")
    list_select_related = ("run",)
    actions = ("retry", "dismiss")

    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(limit_imports(request, "run__"))

    @column(description=_("file"))
    def show_file(self, row: ImportRow) -> str:
        return row.run.file_name

    @column(description=_("status"))
    def show_status(self, row: ImportRow) -> str:
        return str(row.get_status_display())

    @column(description=_("reason"))
    def show_reason(self, row: ImportRow) -> str:
        return reason_text(row.run.target, row.reason) if row.reason else ""

    @column(description=_("cells"))
    def show_cells(self, row: ImportRow) -> str:
        return " | ".join(str(cell) for cell in row.raw)[:120]

    @admin.action(description=_("Retry"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[ImportRow]) -> HttpResponse | None:
        at, by = timezone.now(), user_actor(request.user)

        def act(run_id: int, row_ids: list[int]) -> None:
            start_retry(run_id=run_id, row_ids=row_ids, at=at, by=by)

        return self.tell_results(request, _("Retry"), _by_run(request, list(queryset), act))

    @admin.action(description=_("Dismiss"), permissions=["operate"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[ImportRow]) -> HttpResponse | None:
        at, by = timezone.now(), user_actor(request.user)

        def run(answers: dict[str, Any], rows: list[Any]) -> HttpResponse | None:
            def act(run_id: int, row_ids: list[int]) -> None:
                dismiss_rows(run_id=run_id, row_ids=row_ids, note=answers["note"], at=at, by=by)

            return self.tell_results(request, _("Dismiss"), _by_run(request, rows, act))

        form = NoteForm(request.POST if "asked" in request.POST else None)
        return self.ask_first(request, queryset, action="dismiss", title=_("Dismiss"), form=form, run=run)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("kernel.view_import"))

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("kernel.change_import"))


class NoteForm(forms.Form):
    note = forms.CharField(label=_("Why is it no loss?"), max_length=500, widget=forms.Textarea({"rows": 3}))


@admin.register(ImportMapping)
class ImportMappingAdmin(BaseAdmin):
    """Saved mappings. They are made on the page of an import."""

    list_display = ("name", "target", "saved_by", "saved_at")


def target_label(run: Import) -> str:
    target = IMPORT_TARGETS.get(run.target)
    return str(target.label) if target else run.target


def _by_run(
    request: HttpRequest, rows: Sequence[Any], act: Callable[[int, list[int]], None]
) -> list[RowResult]:
    """Call an operation for each import of which rows were chosen; one result per row."""
    by_run: dict[int, list[Any]] = {}
    for row in rows:
        by_run.setdefault(row.run_id, []).append(row)
    results = []
    for run_id, chosen in by_run.items():
        target = IMPORT_TARGETS.get(chosen[0].run.target)
        if target is None or not may_use(request, target):
            text = str(_("You may not bring in this kind of file."))
            results += [RowResult(str(row), False, text) for row in chosen]
            continue
        try:
            act(run_id, [row.pk for row in chosen])
            results += [RowResult(str(row), True) for row in chosen]
        except DomainError as refusal:
            results += [RowResult(str(row), False, refusal.detail) for row in chosen]
    return results


def _counts(run: Import) -> list[tuple[Any, str, str]]:
    """(title, status, number): the tiles that are also the filters of the rows."""
    if run.state == Import.State.UPLOADED:
        return []
    tiles = [
        (_("new"), "new", run.new),
        (_("changed"), "changed", run.changed),
        (_("unchanged"), "unchanged", run.unchanged),
        (_("refused"), "error", run.error),
        (_("taken"), "done", run.done),
    ]
    return [(_("all rows"), "", number_text(run.lines)), *[(t, s, number_text(n)) for t, s, n in tiles]]


def _columns(run: Import, target: Target) -> list[dict[str, Any]]:
    return [
        {
            "field": field,
            "id": f"column-{field.name}",
            "options": [(heading, run.columns.get(field.name) == heading) for heading in run.header],
        }
        for field in target.fields
    ]


def _download(data: bytes, name: str, content_type: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return HttpResponse(data, content_type=content_type, headers=headers)
