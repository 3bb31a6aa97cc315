"""Copy the pinned browser files out of node_modules, and check the copies by their sums ever after.

Node is needed only to upgrade them: the copies are committed, with a manifest that says where each comes from.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from omni.devstack.home import PROJECT

NODE_MODULES = PROJECT / "node_modules"
PAGES = PROJECT / "omni/static/vendor"
BROWSER_TESTS = PROJECT / "tests/e2e/vendor"
MANIFEST = "manifest.json"

ICONS = """
arrow-down-right arrow-up-right boxes chart-column check circle-alert download file-up history house
layout-dashboard menu package pause play plug receipt-text refresh-cw scan-barcode search settings store
sun-moon truck undo-2 users warehouse x
""".split()


@dataclass(frozen=True)
class Copy:
    """One file of one package, and its name in our folder."""

    folder: Path
    name: str
    package: str
    path: str


COPIES = [
    Copy(PAGES, "echarts.js", "echarts", "dist/echarts.common.min.js"),
    Copy(PAGES, "inter.woff2", "@fontsource-variable/inter", "files/inter-latin-wght-normal.woff2"),
    Copy(PAGES, "licences/echarts.txt", "echarts", "LICENSE"),
    Copy(PAGES, "licences/echarts-notice.txt", "echarts", "NOTICE"),
    Copy(PAGES, "licences/zrender.txt", "zrender", "LICENSE"),
    Copy(PAGES, "licences/inter.txt", "@fontsource-variable/inter", "LICENSE"),
    Copy(PAGES, "licences/lucide.txt", "lucide-static", "LICENSE"),
    Copy(BROWSER_TESTS, "axe.min.js", "axe-core", "axe.min.js"),
    Copy(BROWSER_TESTS, "licences/axe-core.txt", "axe-core", "LICENSE"),
]


def vendor_files() -> None:
    """Write the copies, the icon sprite and the manifests, from what package-lock.json has pinned."""
    contents = {(copy.folder, copy.name): (copy.package, _read(copy)) for copy in COPIES}
    contents[PAGES, "icons.svg"] = ("lucide-static", _sprite().encode())
    manifests: dict[Path, dict[str, object]] = {}
    for (folder, name), (package, content) in sorted(contents.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        about = json.loads((NODE_MODULES / package / "package.json").read_text())
        manifests.setdefault(folder, {})[name] = {
            "package": package,
            "version": about["version"],
            "licence": about["license"],
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
    for folder, manifest in manifests.items():
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def vendor_faults() -> list[str]:
    """Copies that differ from their manifest, are missing, or stand in no manifest."""
    faults = []
    for folder in (PAGES, BROWSER_TESTS):
        manifest = json.loads((folder / MANIFEST).read_text())
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
        for name in sorted(found | manifest.keys()):
            where = (folder / name).relative_to(PROJECT)
            if name not in manifest:
                faults.append(f"{where}: stands in no manifest")
            elif name not in found:
                faults.append(f"{where}: is missing")
            elif hashlib.sha256((folder / name).read_bytes()).hexdigest() != manifest[name]["sha256"]:
                faults.append(f"{where}: differs from the manifest; `make vendor` copies it again")
    return faults


def _read(copy: Copy) -> bytes:
    return (NODE_MODULES / copy.package / copy.path).read_bytes()


def _sprite() -> str:
    """One file with every icon as a symbol: `<svg><use href="…/icons.svg#truck"/></svg>`."""
    symbols = [
        _symbol(name, (NODE_MODULES / f"lucide-static/icons/{name}.svg").read_text()) for name in ICONS
    ]
    return "\n".join(['<svg xmlns="http://www.w3.org/2000/svg">', *symbols, "</svg>", ""])


def _symbol(name: str, icon: str) -> str:
    match = re.search(r"<svg[^>]*>(.*)</svg>", icon, re.DOTALL)
    if match is None:
        raise ValueError(f"{name}.svg is not an icon of the usual form")
    shapes = re.sub(r"\s+", " ", match[1]).replace("> <", "><").strip()
    look = 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
    return f'<symbol id="{name}" viewBox="0 0 24 24" {look}>{shapes}</symbol>'


if __name__ == "__main__":
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PROJECT, check=True)
    vendor_files()
    sys.exit(1 if vendor_faults() else 0)
