"""A browser for the tests that look at pages as people do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# playwright runs its own event loop in this thread, which Django takes for an asynchronous view.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visitor:
    """A signed-in person at a screen, who writes down everything that a page must not do."""

    def __init__(self, browser: Browser, base: str, *, width: int, height: int, language: str) -> None:
        self.base = base
        self.faults: list[str] = []
        is_phone = width < 600
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height},
            is_mobile=is_phone,
            has_touch=is_phone,
            locale="zh-CN" if language == "zh-hans" else "en-US",
            extra_http_headers={"Accept-Language": language},
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        self.page.on("request", self._watch)

    def _hear(self, message: Any) -> None:
        # CSP violations are console errors too.
        if message.type == "error":
            self.faults.append(f"{self.page.url}: {message.text}")

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.faults.append(f"outside request: {request.url}")

    def sign_in(self, name: str, password: str) -> None:
        self.page.goto(f"{self.base}/admin/login/")
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", password)
        self.page.click("[type=submit]")
        self.page.wait_for_load_state("load")

    def visit(self, path: str) -> None:
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status == 200, f"{path}: {answer.status}"
        self.page.wait_for_load_state("load")
        self.page.wait_for_function("document.querySelector('[x-cloak]') === null")

    def check_access(self) -> None:
        """Nothing that axe knows of, and nothing wider than the screen."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate(f"axe.run({{runOnly: {RULES}}})")
        for violation in found["violations"]:
            where = [node["html"][:160] for node in violation["nodes"][:3]]
            self.faults.append(f"{self.page.url}: axe {violation['id']}: {where}")
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        if self.page.evaluate(width) > 0:
            self.faults.append(f"{self.page.url}: wider than the screen")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def admin_user(transactional_db: None) -> User:
    return User.objects.create_superuser("boss", "boss@example.com", "let me in")
