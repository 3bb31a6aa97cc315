"""Texts are found wherever they are marked, and a missing or wrong translation does not pass."""

from __future__ import annotations

import gettext
from pathlib import Path

import pytest

from omni.devstack import translations
from omni.devstack.translations import Text

TEMPLATE = """{% load i18n %}
<p title="it's {% translate "Hello" %}">
    {% blocktranslate count n=orders trimmed %}
        One order
    {% plural %}
        {{ n }} orders
    {% endblocktranslate %}
  {% translate "May" context "month" %} """  # an odd indentation and an unclosed quote: " are no obstacle


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one room, with marked texts and no catalogue yet."""
    monkeypatch.setattr(translations, "PROJECT", tmp_path)
    room = tmp_path / "room"
    (room / "templates/room").mkdir(parents=True)
    (room / "apps.py").write_text("")
    (room / "models.py").write_text('NAME = _("brand")\nLONG = _(\n    "%(count)s parcels "\n    "left"\n)\n')
    (room / "templates/room/page.html").write_text(TEMPLATE)
    return room


def test_texts_of_code_and_templates_are_found_with_their_context(room: Path) -> None:
    texts = translations.marked_texts()

    assert set(texts) == {
        Text(None, "brand"),
        Text(None, "%(count)s parcels left"),
        Text(None, "Hello"),
        Text(None, "One order"),
        Text("month", "May"),
    }
    assert texts[Text(None, "One order")].plural == "%(n)s orders"


def test_new_texts_are_added_once_and_what_is_translated_stays(room: Path) -> None:
    assert translations.update_catalogues() == 5
    translate(room, "brand", "品牌")

    added = translations.update_catalogues()

    assert added == 0
    assert "room/models.py: 'brand' is not translated" not in translations.translation_faults()
    assert len(translations.translation_faults()) == 4


def test_an_unsure_translation_and_a_lost_placeholder_are_noticed(room: Path) -> None:
    translations.update_catalogues()
    translate(room, "brand", "品牌", mark="#, fuzzy\n")
    translate(room, "%(count)s parcels left", "还有包裹")

    faults = translations.translation_faults()

    assert "room/models.py: the translation of 'brand' is marked as fuzzy" in faults
    assert "room/models.py: '%(count)s parcels left' and '还有包裹' differ in their placeholders" in faults


def test_catalogues_are_compiled_without_gettext_and_only_when_they_changed(room: Path) -> None:
    translations.update_catalogues()
    translate(room, "brand", "品牌")

    assert translations.compile_catalogues() == 1
    assert translations.compile_catalogues() == 0

    compiled = room / "locale/zh_Hans/LC_MESSAGES/django.mo"
    with compiled.open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("brand") == "品牌"


def translate(room: Path, message: str, text: str, *, mark: str = "") -> None:
    path = room / "locale/zh_Hans/LC_MESSAGES/django.po"
    flagged = "#, python-format\n" if "%(" in message else ""
    entry = f'{flagged}msgid "{message}"\nmsgstr ""\n'
    before = path.read_text()
    assert entry in before
    path.write_text(before.replace(entry, f'{mark}{flagged}msgid "{message}"\nmsgstr "{text}"\n'))
