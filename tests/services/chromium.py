"""Debian's Chromium, driven over its own protocol; nothing is fetched, nothing is shared."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}

SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

CONTRASTS = """
() => {
  const number = (text) => text.match(/[\\d.]+/g).map(Number);
  const channel = (value) => {
    const part = value / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = ([r, g, b]) =>
    0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = number(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    if (parseFloat(style.opacity) < 1) continue;
    const pair = [luminance(number(style.color)), luminance(behind(element))].sort();
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    found.push([text.slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return found;
}
"""

FAULTS = """
() => {
  const found = [];
  const name = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + "." + e.className;
  const named = (e) => (e.getAttribute("aria-label") || e.textContent || "").trim();
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) found.push("id " + id);
  if (!document.documentElement.lang) found.push("no language");
  if (!document.title.trim()) found.push("no title");
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  let level = 0;
  for (const head of document.querySelectorAll("h1,h2,h3,h4")) {
    const now = Number(head.tagName[1]);
    if (now > level + 1) found.push("skips a level: " + head.textContent);
    level = now;
  }
  for (const e of document.querySelectorAll("button, a[href]")) {
    if (!named(e)) found.push("no name: " + name(e));
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!e.labels?.length && !e.getAttribute("aria-label")) found.push("no label: " + name(e));
  }
  for (const e of document.querySelectorAll("img:not([alt])")) found.push("no alt: " + name(e));
  for (const e of document.querySelectorAll("thead th:not([scope=col])")) found.push("no scope");
  for (const e of document.querySelectorAll("[aria-labelledby]")) {
    if (!document.getElementById(e.getAttribute("aria-labelledby"))) found.push("no such label");
  }
  for (const e of document.querySelectorAll("pre, .scroll")) {
    if (e.scrollWidth > e.clientWidth && e.tabIndex < 0) found.push("no keyboard: " + name(e));
  }
  for (const e of document.querySelectorAll("button, .button, nav a, .chips a")) {
    const box = e.getBoundingClientRect();
    if (box.height && box.height < 24) found.push("too small to touch: " + name(e));
  }
  return found;
}
"""


@dataclass
class Watched:
    """A page, and what it did that no page of ours may."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda found: self.faults.append(f"dialog: {found.message}"))
        self.page.on("request", self._request)
        self.page.add_init_script(SHIFTS)

    def go(self, path: str) -> None:
        """Open a page of the service."""
        answer = self.page.goto(f"{self.url}{path}")
        assert answer is not None
        assert answer.ok, (path, answer.status)

    def count(self, part: str) -> int:
        """Return how often an address with `part` was asked for."""
        return sum(part in address for address in self.asked)

    def cell(self, request_id: str, name: str) -> str:
        """Return the text of a cell that moves."""
        place = f'[data-view="{request_id}"] [data-cell="{name}"]'
        return str(self.page.locator(place).first.text_content())

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"} and "net::ERR_INTERNET" not in message.text:
            self.faults.append(f"{message.type}: {message.text}")

    def _request(self, request: Any) -> None:
        self.asked.append(request.url)
        if not request.url.startswith(self.url):
            self.faults.append(f"external: {request.url}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium with a profile of its own."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def watched(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """Give a page in a fresh context; at the end nothing forbidden has happened."""
    with browser.new_context(**{"viewport": DESKTOP, **options}) as context:
        context.set_default_timeout(15_000)
        found = Watched(context.new_page(), url)
        yield found
        assert found.faults == []
