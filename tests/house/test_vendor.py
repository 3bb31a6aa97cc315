"""Vendored browser files are the ones that their manifest names, and pages can use them."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from omni.devstack import vendor

SVG = "{http://www.w3.org/2000/svg}"


def test_the_committed_copies_are_those_of_the_manifests() -> None:
    assert vendor.vendor_faults() == []


def test_a_changed_an_added_and_a_lost_copy_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(vendor.PAGES, tmp_path / "pages")
    shutil.copytree(vendor.BROWSER_TESTS, tmp_path / "tests")
    for name, value in (
        ("PROJECT", tmp_path),
        ("PAGES", tmp_path / "pages"),
        ("BROWSER_TESTS", tmp_path / "tests"),
    ):
        monkeypatch.setattr(vendor, name, value)
    with (tmp_path / "pages/echarts.js").open("a") as script:
        script.write("fetch('/elsewhere')")
    (tmp_path / "pages/extra.js").write_text("")
    (tmp_path / "pages/inter.woff2").unlink()

    faults = vendor.vendor_faults()

    assert faults == [
        "pages/echarts.js: differs from the manifest; `make vendor` copies it again",
        "pages/extra.js: stands in no manifest",
        "pages/inter.woff2: is missing",
    ]


def test_every_icon_is_a_symbol_of_the_sprite() -> None:
    sprite = ElementTree.parse(vendor.PAGES / "icons.svg").getroot()  # noqa: S314  our own file

    assert [symbol.get("id") for symbol in sprite.iter(f"{SVG}symbol")] == vendor.ICONS
    assert all(len(symbol) for symbol in sprite.iter(f"{SVG}symbol"))
