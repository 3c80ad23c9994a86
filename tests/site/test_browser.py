"""The site in a real browser: built from the committed records alone, opened from disk, used, made narrow and dark."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytest.importorskip("sphinx", reason="Sphinx is not installed: `make report` brings it")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: `make report` brings it")

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGES = (
    "index.html", "masks.html", "figures/index.html", "notebooks/index.html", "notebooks/11_ilt_iccad13.html",
    "notebooks/16_ilt_anatomy.html", "notebooks/32_benchmark_models.html", "how_to/own_optics.html",
    "api/maskopt_lib.opc.rule_aware.html", "data/index.html", "references.html",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]
each_page = pytest.mark.parametrize("page", PAGES)

# Every text that is seen, with its contrast against what lies behind it (WCAG 2).
CONTRASTS = """() => {
  const linear = v => v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const parts = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const found = [], walk = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.data.trim();
    if (!text || !node.getClientRects().length || node.closest("script, style, noscript, .visually-hidden")) continue;
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the pages, built with nothing in `results`; Sphinx may warn of nothing."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "notebooks/site", "--results", str(out / "none"), "--out", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor, which is what is left of four minutes on a machine that has other work as well.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 240
    return out / "html"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, site):
    """``opened(page, width, scheme)``: the page from disk; at the end the browser may have complained of nothing."""
    said, contexts = [], []

    def open_page(page: str, width: int = 1280, scheme: str = "light"):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("requestfailed", lambda request: said.append(f"cannot load {request.url}"))
        tab.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else said.append(r.url))
        tab.goto((site / page).as_uri())
        tab.wait_for_load_state("networkidle")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not said


class Links(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            if name in ("id", "name") and value:
                self.places.add(value)


def test_every_link_resolves_and_nothing_is_loaded_from_elsewhere(site):
    pages = {path: Links(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) > 200
    broken = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            lost = place and there in pages and place not in pages[there].places | {"", "main-content"}
            if not there.exists() or lost:
                broken.append(f"{path.relative_to(site)}: {target}")
    assert not broken, broken[:10]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|link rel=\"stylesheet\")[^>]*(?:src|href)=\"(?:https?:)?//", text), path


@each_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_legible_when_narrow_light_and_dark(opened, page, scheme):
    tab = opened(page, 400, scheme)
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400, "the page itself scrolls sideways"
    pale = [(round(ratio, 1), text) for ratio, text in tab.evaluate(CONTRASTS) if ratio < 3]
    assert not pale, pale[:10]


@each_page
def test_pages_are_whole_when_wide(opened, page):
    tab = opened(page)
    assert tab.locator("article h1").count() >= 1
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    assert tab.evaluate("[...document.images].every(i => i.loading === 'lazy' || (i.complete && i.naturalWidth > 0))")


# All pixels of a panel.
SEEN = "canvas => canvas.toDataURL()"
# Where on a panel a site is, in pixels of the window.
A_SITE = """canvas => {
  const box = canvas.getBoundingClientRect(), said = document.getElementById("masks-said");
  for (let clientY = box.top + 5; clientY < box.bottom; clientY += 6)
    for (let clientX = box.left + 5; clientX < box.right; clientX += 6) {
      canvas.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY }));
      if (said.textContent.startsWith("site")) return [clientX, clientY];
    }
}"""


@pytest.fixture
def masks(opened):
    """The interactive page, its first clip loaded, and ``seen()``: what each panel shows."""
    tab = opened("masks.html")
    tab.wait_for_selector("#masks-panels canvas")
    tab.wait_for_function("document.querySelector('#masks-scores td')")

    def seen() -> list[str]:
        return [panel.evaluate(SEEN) for panel in tab.query_selector_all("#masks-panels canvas")]

    return tab, seen


def test_zoom_and_drag_move_all_panels_together(masks):
    tab, seen = masks
    first = seen()
    assert len(first) == 2 and first[0] != first[1], "two methods, and their masks differ"
    tab.locator("#masks-panels canvas").first.hover()
    tab.mouse.wheel(0, -400)
    zoomed = seen()
    assert all(a != b for a, b in zip(first, zoomed, strict=True))
    tab.mouse.down()
    box = tab.locator("#masks-panels canvas").first.bounding_box()
    tab.mouse.move(box["x"] + 40, box["y"] + 60)
    tab.mouse.up()
    assert all(a != b for a, b in zip(zoomed, seen(), strict=True))
    tab.get_by_text("fit", exact=True).click()
    tab.mouse.move(1, 1)
    assert seen() == first


def test_layers_methods_and_clips_can_be_chosen(masks):
    tab, seen = masks
    first = seen()
    tab.get_by_label("PV band").uncheck()
    assert all(a != b for a, b in zip(first, seen(), strict=True))
    tab.get_by_label("PV band").check()
    tab.locator("#masks-methods input").first.check()
    assert len(seen()) == 3 and tab.locator("#masks-scores tbody tr").count() == 3
    options = tab.locator("#masks-clip option").all_inner_texts()
    assert len(options) >= 4
    tab.select_option("#masks-clip", label=options[1])
    tab.wait_for_function(f"document.querySelector('#masks-scores p').textContent.startsWith('{options[1]}')")
    assert seen()[-1] not in first


def test_a_wipe_leads_from_one_method_to_the_other(masks):
    tab, seen = masks
    tab.get_by_label("wipe").first.check()
    assert len(seen()) == 1
    half = seen()
    tab.locator("#masks-panels input[type=range]").fill("0.9")
    assert seen() != half


def test_a_site_tells_its_edge_error_under_each_method(masks):
    tab, _ = masks
    place = tab.locator("#masks-panels canvas").first.evaluate(A_SITE)
    tab.mouse.move(*place)
    said = tab.locator("#masks-said").inner_text()
    names = [tab.locator("#masks-methods input:checked").nth(i).get_attribute("value") for i in range(2)]
    assert all(re.search(rf"{re.escape(name)} (?:[+-]?[\d.]+ nm|edge lost)", said) for name in names)
    tab.mouse.move(1, 1)
    assert not tab.locator("#masks-said").inner_text()


def test_the_interactive_page_follows_the_keyboard_and_the_theme(masks):
    tab, seen = masks
    first = seen()
    tab.locator("#masks-panels canvas").first.focus()
    tab.keyboard.press("ArrowRight")
    moved = seen()
    assert all(a != b for a, b in zip(first, moved, strict=True))
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    tab.wait_for_timeout(100)
    assert all(a != b for a, b in zip(moved, seen(), strict=True))
