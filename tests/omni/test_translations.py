"""Who reads Chinese finds no English in the sidebar, the headings, the columns, the filters and the buttons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.template.defaultfilters import floatformat
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.formats import date_format

from omni.devstack.translations import compile_catalogues, translation_faults
from tests.omni.rows import make_world

# Where texts of ours stand; what stands elsewhere is data.
LABELS = {"thead", "aside", "nav", "h1", "h2", "button", "label", "legend", "dt", "summary"}
SILENT = {"script", "style", "svg", "template"}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
ICON = "material-symbols-outlined"
# What Chinese people write in Latin letters too, the name of the product, keys of the keyboard, the language switch.
LATIN = re.compile(r"\b(Omni|SKU|SPU|API|ID|JSON|URL|Ctrl|esc|English|en|zh-hans|CSV|XLSX|MINE\w*)\b")


class LabelsOf(HTMLParser):
    """The texts of a page that are labels, as people see them: without icons and scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.labels: set[str] = set()
        self._open: list[tuple[str, bool]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            is_silent = tag in SILENT or ICON in (dict(attributes).get("class") or "")
            self._open.append((tag, is_silent))

    def handle_endtag(self, tag: str) -> None:
        if any(name == tag for name, _silent in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, text: str) -> None:
        is_label = any(tag in LABELS for tag, _silent in self._open)
        if text.strip() and is_label and not any(silent for _tag, silent in self._open):
            self.labels.add(" ".join(text.split()))


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    compile_catalogues()


@pytest.fixture
def reader() -> Client:
    client = Client(headers={"accept-language": "zh-CN"})
    client.force_login(User.objects.create_superuser("店长", "", "x"))
    return client


def list_addresses() -> Iterator[str]:
    yield reverse("admin:index")
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        for code in getattr(page, "queues", {}):
            yield reverse(f"{name}_queue", args=[code])


def english_of(page: str) -> set[str]:
    return {label for label in LabelsOf(page).labels if re.search("[A-Za-z]{2,}", LATIN.sub("", label))}


def test_every_text_has_its_translation_and_keeps_its_placeholders() -> None:
    assert translation_faults() == []


def test_a_page_in_english_is_found_out() -> None:
    page = "<nav><a><span class='material-symbols-outlined'>home</span>Orders</a><a>SKU</a></nav><p>data</p>"

    assert english_of(page) == {"Orders"}


@pytest.mark.django_db
def test_no_list_of_the_admin_has_an_english_label_in_chinese(reader: Client) -> None:
    make_world("MINE")

    pages = {address: reader.get(address).content.decode() for address in list_addresses()}

    assert {(address, label) for address, page in pages.items() for label in english_of(page)} == set()
    assert {"系统单", "平台单号", "店铺"} <= LabelsOf(
        pages[reverse("admin:orders_salesorder_changelist")]
    ).labels


@pytest.mark.django_db
def test_who_signs_in_is_greeted_in_chinese() -> None:
    page = Client(headers={"accept-language": "zh-CN"}).get(reverse("admin:login")).content.decode()

    assert "登录" in page
    assert english_of(page) == set()


def test_digits_are_grouped_by_three_and_moments_have_one_width_in_both_languages() -> None:
    moment = datetime(2026, 11, 2, 9, 5, tzinfo=UTC)

    for language in ("en", "zh-hans"):
        with translation.override(language):
            assert floatformat(1234567.5, "2g") == "1,234,567.50"
            assert date_format(moment, "DATETIME_FORMAT") == "2026-11-02 09:05"
