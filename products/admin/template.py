"""What is said of the products of a category, and how codes are made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from omni.kernel.admin_base import column
from products.admin.operated import OperatedAdmin, OperatedForm, PairsOfOptions
from products.admin.scoped import choice_filter
from products.arrange import AttributeDraft, change_attribute, define_attribute
from products.models import CategoryAttribute, CodeRule
from products.models.coding import CodeKind
from products.number import set_code_rule


class AttributeForm(OperatedForm):
    options = PairsOfOptions(
        required=False, label=_("options"), help_text=_("Of a choice, one a line: code = name.")
    )

    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> CategoryAttribute:
        plain = ("name", "kind", "unit", "is_required", "is_variant", "position")
        draft = AttributeDraft(
            code=answers.get("code") or self.instance.code,
            options=[(option["code"], option["name"]) for option in answers["options"]],
            **{name: answers[name] for name in plain},
        )
        if self.instance.pk is None:
            return define_attribute(category_id=answers["category"].pk, draft=draft, at=at, by=by)
        change_attribute(attribute_id=self.instance.pk, draft=draft, at=at, by=by)
        return CategoryAttribute.objects.get(pk=self.instance.pk)


@admin.register(CategoryAttribute)
class CategoryAttributeAdmin(OperatedAdmin):
    form = AttributeForm
    intro = _("A category and all below it say this of their products. Variant attributes tell SKUs apart.")
    is_house_wide = True
    list_display = ("code", "name", "category", "show_kind", "is_required", "is_variant", "position")
    list_select_related = ("category",)
    list_filter = (choice_filter("kind"),)
    search_fields = ("code__startswith", "name__startswith", "category__path__startswith")
    autocomplete_fields = ("category",)
    fields = ("category", "code", "name", "kind", "unit", "options", "is_required", "is_variant", "position")
    fixed_fields = ("category", "code")

    @column(description=_("kind"))
    def show_kind(self, attribute: CategoryAttribute) -> str:
        return attribute.get_kind_display()


class CodeRuleForm(OperatedForm):
    def run(self, answers: dict[str, Any], *, at: datetime, by: str) -> CodeRule:
        kind = CodeKind(answers.get("kind") or self.instance.kind)
        brand = answers.get("brand", self.instance.brand)
        brand_id = brand.pk if brand else None
        return set_code_rule(kind=kind, brand_id=brand_id, pattern=answers["pattern"], at=at, by=by)


@admin.register(CodeRule)
class CodeRuleAdmin(OperatedAdmin):
    form = CodeRuleForm
    intro = _("How new codes are made: {brand}-{category}-{number:06}. Codes that were given stay.")
    brand_path = "brand_id"
    list_display = ("show_kind", "brand", "pattern")
    list_display_links = ("show_kind", "pattern")
    list_select_related = ("brand",)
    list_filter = (choice_filter("kind"),)
    autocomplete_fields = ("brand",)
    fields = ("kind", "brand", "pattern")
    fixed_fields = ("kind", "brand")

    @column(description=_("kind"))
    def show_kind(self, rule: CodeRule) -> str:
        return rule.get_kind_display()
