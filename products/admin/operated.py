"""Forms of the admin that write through an operation: what it refuses stands at the field that is at fault."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from omni.kernel.actors import user_actor
from omni.kernel.admin_base import show_faults
from omni.kernel.errors import DomainError
from products.admin.scoped import ScopedAdmin


class OperatedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form whose answers an operation takes or refuses, while they are being checked."""

    by: ClassVar[str] = ""
    by_rule: ClassVar[Sequence[str]] = ()  # fields that a code rule fills in when they are left empty

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():  # as Django does with the names of columns
            field.label = capfirst(field.label)
        for name in self.by_rule:
            if name in self.fields:
                self.fields[name].required = False
                self.fields[name].help_text = gettext("Empty: the code rule gives one.")

    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> Any:
        """Call the operation; returns the row as it is then."""
        raise NotImplementedError

    def _post_clean(self) -> None:
        # What a constraint would say by its name, the operation says in words.
        self.instance.validate_constraints = lambda exclude=None: None
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.instance = self.run(self.cleaned_data, at=timezone.now(), by=self.by)
        except DomainError as refusal:
            show_faults(self, refusal)  # type: ignore[arg-type]

    def save(self, commit: bool = True) -> Any:
        return self.instance

    def save_m2m(self) -> None:
        """Nothing is left to be written."""


class OperatedAdmin(ScopedAdmin):
    """Rows that only operations write; see OperatedForm."""

    is_editable = True
    fixed_fields: ClassVar[Sequence[str]] = ()  # given once, when the row is made

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        form.by = user_actor(request.user)
        return form

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return (*self.readonly_fields, *(self.fixed_fields if obj else ()))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The operation has written it."""


class PairsOfOptions(forms.CharField):
    """`code = name`, one option a line, as the list that a template keeps."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 6})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list):
            return "\n".join(f"{option['code']} = {option['name']}" for option in value)
        return value

    def clean(self, value: Any) -> Any:
        options = []
        for line in str(super().clean(value) or "").splitlines():
            code, sign, name = (part.strip() for part in line.partition("="))
            if code and not sign:
                name = code
            if code or name:
                options.append({"code": code, "name": name})
        return options


class Tags(forms.CharField):
    """Tags between commas, Chinese ones too."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        text = str(super().clean(value) or "").replace("，", ",").replace("、", ",")
        return [tag.strip() for tag in text.split(",") if tag.strip()]


class AttributeValues(forms.CharField):
    """`code = value`, one a line; what a value is, its template says."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 4})
    YES_NO: ClassVar[dict[str, bool]] = {
        "true": True,
        "false": False,
        "yes": True,
        "no": False,
        "是": True,
        "否": False,
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flags: frozenset[str] = frozenset()  # the codes of attributes that are yes or no

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{code} = {_said(said)}" for code, said in value.items())
        return value

    def clean(self, value: Any) -> Any:
        values: dict[str, Any] = {}
        for line in str(super().clean(value) or "").splitlines():
            code, sign, said = (part.strip() for part in line.partition("="))
            if not code and not said:
                continue
            if not (code and sign):
                raise forms.ValidationError(gettext("“%s” is not of the form: code = value") % line.strip())
            if code in values:
                raise forms.ValidationError(gettext("“%s” stands there twice.") % code)
            values[code] = said
        return values


def read_flags(values: dict[str, Any], flags: frozenset[str]) -> dict[str, Any]:
    """What people write for yes and no, as JSON says it; anything else stays, and the template refuses it."""
    words = AttributeValues.YES_NO
    return {
        code: words.get(str(said).lower(), said) if code in flags else said for code, said in values.items()
    }


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
