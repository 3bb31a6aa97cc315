"""Backtests: the last days replayed against the policy that holds and a proposed one, as a table of both."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from inventory.models import LocationGroup, QuotaRule
from inventory.quota.replay import BACKTEST, DAYS_MAX, start_backtest
from omni.kernel.actors import user_actor
from omni.kernel.admin_base import show_faults
from omni.kernel.errors import DomainError
from omni.kernel.models import Job
from products.admin.scoped import ScopedAdmin
from products.models import Shop
from products.scope import scope_of

POLICY_WORDS = {
    "present": _("the policy that holds"),
    "proposed": _("the proposed policy"),
    "all shared": _("everything shared"),
}


class BacktestForm(forms.Form):
    group = forms.ModelChoiceField(LocationGroup.objects.none(), label=_("Location group"))
    days = forms.IntegerField(label=_("Days to replay"), min_value=1, max_value=DAYS_MAX, initial=28)
    method = forms.ChoiceField(
        label=_("Proposed method"),
        choices=[
            ("demand", _("by demand")),
            ("ratio", _("by ratio")),
            ("refill", _("fill up what is below its minimum")),
            ("none", _("divide nothing")),
        ],
    )
    mode = forms.ChoiceField(
        label=_("How shops share"),
        required=False,
        choices=[("", _("as the rules say")), *QuotaRule.Mode.choices],
    )
    every_days = forms.IntegerField(
        label=_("Divide anew every so many days"),
        min_value=0,
        max_value=365,
        initial=7,
        help_text=_("0: only at the beginning."),
    )
    horizon_days = forms.IntegerField(
        label=_("Days that a quota should last"), min_value=1, max_value=365, initial=7
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups: Any = self.fields["group"]
        groups.queryset = LocationGroup.objects.order_by("code")


class BacktestPages:
    """Views of the admin of allocation runs. What is replayed concerns every shop: only who sees all may ask."""

    def __init__(self, admin: ScopedAdmin) -> None:
        self.admin = admin

    def start_view(self, request: HttpRequest) -> HttpResponse:
        self._must_see_all(request)
        form = BacktestForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            given = dict(form.cleaned_data)
            group, days = given.pop("group"), given.pop("days")
            try:
                job = start_backtest(
                    group_id=group.pk,
                    days=days,
                    proposed=given,
                    at=timezone.now(),
                    by=user_actor(request.user),
                )
            except DomainError as refusal:
                show_faults(form, refusal)
            else:
                return redirect("admin:inventory_backtest_result", job.pk)
        return self._page(request, "backtest_start_page.html", gettext("Backtest"), form=form)

    def result_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._must_see_all(request)
        job = Job.objects.filter(pk=pk, kind=BACKTEST).first()
        if job is None:
            raise Http404
        result = job.result or {}
        codes = result.get("shops", [])
        names = dict(Shop.objects.filter(code__in=codes).values_list("code", "name"))
        rows = [
            {
                **outcome,
                "name": POLICY_WORDS.get(outcome["policy"], outcome["policy"]),
                "shops": outcome["lost_by_shop"],
            }
            for outcome in result.get("outcomes", [])
        ]
        return self._page(
            request,
            "backtest_page.html",
            job.title,
            job=job,
            result=result,
            shops=[names.get(code, code) for code in codes],
            rows=rows,
            is_live=job.state in (Job.State.QUEUED, Job.State.RUNNING),
        )

    def _must_see_all(self, request: HttpRequest) -> None:
        if not self.admin.has_operate_permission(request) or not scope_of(request.user).is_everything:
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, title: Any, **context: Any) -> HttpResponse:
        request.current_app = self.admin.admin_site.name
        known = {**self.admin.admin_site.each_context(request), "opts": self.admin.opts, "title": title}
        return TemplateResponse(request, f"inventory/{template}", known | context)
