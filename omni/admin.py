"""People, groups and schedules: other packages' tables, shown with the furniture of this house."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import ManyToManyField
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import PeriodicTaskAdmin as BeatTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from omni import bundle_desk as bundle_desk  # its pages register themselves
from omni import import_desk as import_desk
from omni.kernel.admin_base import BaseAdmin, column

admin.site.unregister(
    [User, Group, PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule]
)


class PermissionsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Django writes the names of permissions into the database in English; the reader gets them in their language."""

    ACTS: ClassVar[Mapping[str, Promise]] = {
        "add": _("add"),
        "change": _("change"),
        "delete": _("delete"),
        "view": _("view"),
    }

    def label_from_instance(self, obj: Any) -> str:
        act, _underscore, _model = obj.codename.partition("_")
        return f"{obj.content_type} · {self.ACTS.get(act, obj.name)}"


class EditableAdmin(BaseAdmin):
    is_editable = True

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.remote_field.model is Permission:
            # The rows of history are written by triggers alone: nobody is allowed or forbidden to.
            ours = Permission.objects.exclude(content_type__model__endswith="history").exclude(
                content_type__app_label="pghistory"
            )
            kwargs |= {"form_class": PermissionsField, "queryset": ours.select_related("content_type")}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        meta = self.opts
        return bool(request.user.has_perm(f"{meta.app_label}.delete_{meta.model_name}"))


@admin.register(User)
class UserAdmin(EditableAdmin, DjangoUserAdmin):  # type: ignore[misc,type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    keyset = "username"
    intro = _("What a person may do comes from their groups; what they may see, from their staff scopes.")
    list_display = ("username", "email", "first_name", "last_name", "is_staff", "is_active")
    list_filter = ()
    search_fields = ("username__startswith", "email__exact")
    ordering = ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Their name stands in ledgers and timelines: people are made inactive, not deleted.
        return False


@admin.register(Group)
class GroupAdmin(EditableAdmin, DjangoGroupAdmin):  # type: ignore[misc]
    keyset = "name"
    list_display = ("name",)
    search_fields = ("name__startswith",)
    ordering = ()


class TaskWidget(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]
    pass


class TaskForm(PeriodicTaskForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(EditableAdmin, BeatTaskAdmin):  # type: ignore[misc]
    form = TaskForm
    keyset = "name"
    intro = _("What runs by the clock. Sweeps are safe to run at any time and as often as you like.")
    list_display = ("name", "show_schedule", "enabled", "last_run_at", "one_off")
    list_filter = ()
    search_fields = ("name__startswith", "task__exact")
    list_select_related = ("interval", "crontab", "solar", "clocked")
    ordering = ()

    @column(description=_("schedule"))
    def show_schedule(self, task: PeriodicTask) -> str:
        return str(task.scheduler)

    @column(description=_("the crontab in words"))
    def crontab_translation(self, task: PeriodicTask) -> str:
        return task.crontab.human_readable if task.crontab else "–"


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(EditableAdmin):
    list_display = ("show_name",)

    @column(description=_("every"))
    def show_name(self, schedule: IntervalSchedule) -> str:
        return str(schedule)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(EditableAdmin):
    list_display = ("show_name",)

    @column(description=_("schedule"))
    def show_name(self, schedule: CrontabSchedule) -> str:
        return str(schedule)
