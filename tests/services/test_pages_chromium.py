"""The pages in Chromium: they move, they can be used by everybody, they ask nobody else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sxdask.service.transforms.ports import EngineProgress
from sxdask.service.transforms.states import Status
from tests.pages import RAW, age, app_of, fill, good, make_parts, report, serving, submit
from tests.services.chromium import CONTRASTS, FAULTS, PHONE, chromium, watched

EVIL = """"><script>document.title='owned'</script><img src=x onerror=alert(1)>"""
SHOTS = os.environ.get("SXDASK_SCREENSHOTS", "")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def parts(tmp_path):
    made = make_parts(tmp_path)
    yield made
    made.users.engine.dispose()


@pytest.fixture
def url(parts):
    with serving(app_of(parts)) as found:
        yield found


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """Requests in all states for tests that change nothing: the address, and pages by name."""
    parts = make_parts(tmp_path_factory.mktemp("gallery"))
    made = fill(parts, 8 if SHOTS else 1)
    if SHOTS:
        age(parts)
    requests = {
        name: f"/transformation-request/{made[name].request_id}"
        for name in ("running", "failures", "complete", "fatal", "lookup")
    }
    paths = {
        "dashboard": "/",
        **requests,
        "files": f"{requests['failures']}/results?status=failure",
        "log": f"{requests['failures']}/log",
        "datasets": "/datasets?old=1",
        "dataset": f"/datasets/{made['failures'].did_id}",
        "profile": "/profile",
    }
    with serving(app_of(parts)) as url:
        yield url, paths
    parts.users.engine.dispose()


def test_progress_moves_without_loading_the_page_again(browser, parts, url):
    made = submit(parts, "moving", 40)
    waiting = parts.store.pending_files(made.request_id)
    known = parts.engine.known
    known[made.request_id] = EngineProgress(queued=36, reading=4)
    with watched(browser, url) as seen:
        seen.go("/")
        page = seen.page
        page.evaluate("window.mark = 1")
        bar = page.locator(f'[data-view="{made.request_id}"] [role=progressbar]')
        assert bar.get_attribute("aria-valuenow") == "0"
        for number, file in enumerate(waiting[:10]):
            parts.store.report(made.request_id, good(file, number))
        known[made.request_id] = EngineProgress(
            queued=20, computing=7, uploading=3, bytes_per_second=83.2e6, seconds_left=75
        )
        page.get_by_text("10 of 40").wait_for()
        assert seen.cell(made.request_id, "speed") == "83.2\N{NO-BREAK SPACE}MB/s"
        assert seen.cell(made.request_id, "left").replace("\N{NO-BREAK SPACE}", " ") == (
            "1 min 15 s left"
        )
        assert seen.cell(made.request_id, "uploading") == "3"
        assert page.locator("[data-sum=sum-computing]").text_content() == "7"
        assert bar.get_attribute("aria-valuenow") == "25"
        assert bar.locator("[data-done]").get_attribute("width") == "25"
        # and to its end: the cancel button goes, it is said aloud, and nobody asks any more
        for number, file in enumerate(waiting[10:]):
            parts.store.report(made.request_id, good(file, number))
        del known[made.request_id]
        page.locator("#announce", has_text="moving: Complete").wait_for(state="attached")
        assert bar.get_attribute("aria-valuenow") == "100"
        assert page.get_by_role("button", name="Cancel moving").is_hidden()
        assert page.locator("[data-pulse-text]").text_content() == "up to date"
        asked = seen.count("/dashboard/live")
        page.wait_for_timeout(2_500)
        assert seen.count("/dashboard/live") == asked
        assert page.evaluate("window.mark") == 1
        assert page.evaluate("window.shifts") < 0.001


def test_the_page_of_a_request_moves_and_says_what_is_new(browser, parts, url):
    made = submit(parts, "one", 12)
    parts.engine.known[made.request_id] = EngineProgress(queued=12)
    with watched(browser, url) as seen:
        seen.go(f"/transformation-request/{made.request_id}")
        page = seen.page
        news = page.locator("[data-news-link]")
        assert news.is_hidden()
        report(parts, made, 4, 1)
        page.get_by_text("4 of 12").wait_for()
        assert seen.cell(made.request_id, "failed-files") == "1 failed"
        assert news.text_content() == "Show the files that came since"
        report(parts, made, 7)
        page.get_by_text("It has ended").wait_for()
        assert page.evaluate("window.shifts") < 0.001
        news.click()
        page.get_by_role("button", name="Try 1 failed again").wait_for()


def test_new_requests_are_offered_and_nothing_jumps(browser, parts, url):
    submit(parts, "first", 3)
    with watched(browser, url) as seen:
        seen.go("/")
        second = submit(parts, "second", 3)
        link = seen.page.get_by_text("Show 1 new request")
        link.wait_for()
        assert seen.page.evaluate("window.shifts") < 0.001
        link.click()
        seen.page.locator(f'[data-view="{second.request_id}"]').wait_for()


def test_a_service_that_does_not_answer_is_said_so_until_it_does(browser, parts, url):
    made = submit(parts, "x", 4)
    with watched(browser, url) as seen:
        seen.go("/")
        seen.page.context.set_offline(True)
        seen.page.get_by_text("no answer, trying again").wait_for()
        report(parts, made, 2)
        seen.page.context.set_offline(False)
        seen.page.get_by_text("2 of 4").wait_for()
        assert seen.page.locator("[data-pulse-text]").text_content() == "live"


def test_a_hidden_page_asks_nothing(browser, parts, url):
    submit(parts, "x", 4)
    with watched(browser, url) as seen:
        seen.page.add_init_script(
            "Object.defineProperty(document, 'hidden', { get: () => window.away === true });"
        )
        seen.go("/")
        seen.page.evaluate("window.away = true")
        seen.page.wait_for_timeout(2_600)
        assert seen.count("/live") == 0
        seen.page.evaluate(
            "window.away = false; document.dispatchEvent(new Event('visibilitychange'))"
        )
        seen.page.wait_for_timeout(400)
        assert seen.count("/live") == 1


def test_a_request_is_canceled_with_the_keyboard_alone(browser, parts, url):
    made = submit(parts, "by keyboard", 4)
    with watched(browser, url) as seen:
        seen.go("/")
        keyboard = seen.page.keyboard
        focused = """(() => {
            const at = document.activeElement;
            return at.getAttribute("aria-label") || at.textContent.trim();
        })()"""

        def tab_to(name: str) -> None:
            for _ in range(40):
                keyboard.press("Tab")
                if seen.page.evaluate(focused) == name:
                    outline = "getComputedStyle(document.activeElement).outlineStyle"
                    assert seen.page.evaluate(outline) == "solid", name
                    return
            pytest.fail(f"{name!r} cannot be reached")

        keyboard.press("Tab")
        assert seen.page.evaluate(focused) == "Skip to the content"
        keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "main"
        tab_to("Cancel by keyboard")
        keyboard.press("Enter")
        assert seen.page.evaluate(focused) == "No"
        keyboard.press("Escape")
        assert seen.page.evaluate(focused) == "Cancel by keyboard"
        keyboard.press("Enter")
        tab_to("Cancel it")
        keyboard.press("Enter")
        seen.page.get_by_text("The request is canceled").wait_for()
    assert parts.store.transform(made.request_id).state.status is Status.CANCELED


def test_everything_is_there_without_scripts(browser, parts, url):
    made = submit(parts, "no scripts", 4)
    report(parts, made, 1, 1)
    with watched(browser, url, java_script_enabled=False) as seen:
        seen.go("/")
        page = seen.page
        assert page.locator("[data-done]").get_attribute("width") == "25.0"
        page.get_by_role("link", name="no scripts").click()
        assert page.get_by_text("did not answer").count()
        page.locator("summary", has_text="Plan").click()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel it").click()
        page.get_by_text("The request is canceled").wait_for()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete it").click()
        page.get_by_text("are deleted").wait_for()
        assert page.get_by_text("No requests yet").count()
    assert parts.store.transform(made.request_id) is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_and_every_page_used(browser, gallery, scheme):
    url, paths = gallery
    with watched(browser, url, color_scheme=scheme) as seen:
        for name, path in paths.items():
            seen.go(path)
            low = [item for item in seen.page.evaluate(CONTRASTS) if item[1] < 4.5]
            assert low == [], (name, scheme)
            assert seen.page.evaluate(FAULTS) == [], name
            if SHOTS:
                take(seen.page, name, f"desktop-{scheme}")


def test_nothing_is_wider_than_a_phone(browser, gallery, parts, url):
    at, paths = gallery
    with watched(browser, at, viewport=PHONE, has_touch=True, is_mobile=True) as seen:
        for name, path in paths.items():
            seen.go(path)
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360, name
            assert seen.page.evaluate(FAULTS) == [], name
            if SHOTS:
                take(seen.page, name, "phone")
    long = "Averyveryverylongtitlewithoutanyspace" * 4
    made = submit(parts, long, 0, files=(f"root://host//{long}{long}.root", "b.root"))
    report(parts, made, 0, 1)
    with watched(browser, url, viewport=PHONE) as seen:
        for path in ("/", f"/transformation-request/{made.request_id}", "/datasets"):
            seen.go(path)
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_pages_of_users_are_for_everybody_too(browser, tmp_path):
    (tmp_path / "auth").mkdir()
    parts = make_parts(tmp_path / "auth", auth=True)
    marie = parts.users.add("idp 1", admin=True, pending=False, name="Marie Curie")
    parts.users.add("idp 2", name="Lise Meitner", email="lise@a-very-long-name.example.org")
    with (
        serving(app_of(parts)) as url,
        watched(browser, url, viewport=PHONE, color_scheme="dark") as seen,
    ):
        page = seen.page

        def look() -> None:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, page.url
            assert [item for item in page.evaluate(CONTRASTS) if item[1] < 4.5] == [], page.url
            assert page.evaluate(FAULTS) == [], page.url

        seen.go("/profile")
        look()
        page.get_by_label("Token of your").fill(parts.tokens.refresh(marie.id, marie.token_id))
        page.get_by_role("button", name="Sign in with the token").click()
        page.get_by_role("heading", name="Marie Curie").wait_for()
        look()
        page.get_by_role("button", name="Make a new token").click()
        look()
        page.get_by_role("button", name="Make it").click()
        token = page.get_by_label("Token", exact=True).input_value()
        look()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download servicex.yaml").click()
        assert f"token: {token}" in download.value.path().read_text()
        seen.go("/admin")
        look()
        page.get_by_role("button", name="Approve Lise Meitner").click()
        page.get_by_text("Lise Meitner may use the service now").wait_for()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_text("You are signed out").wait_for()
    assert [user.name for user in parts.users.all(pending=True)] == []
    parts.users.engine.dispose()


def test_markup_of_users_stays_text_while_the_page_moves(browser, parts, url):
    made = submit(parts, EVIL, 0, selection=EVIL, files=(f"root://host//{EVIL}.root", "b.root"))
    with watched(browser, url) as seen:
        for path in ("/", f"/transformation-request/{made.request_id}"):
            seen.go(path)
            seen.page.wait_for_timeout(2_300)
            assert seen.page.title() != "owned"
            assert (
                seen.page.evaluate("document.querySelectorAll('img[src=x], main script').length")
                == 0
            )
            assert seen.page.get_by_text("onerror=alert").count()


def test_the_plan_comes_when_it_is_opened(browser, parts, url, nanoaod):
    made = submit(parts, "plan", 0, selection=RAW, files=(str(nanoaod),))
    (file,) = parts.store.pending_files(made.request_id)
    with watched(browser, url) as seen:
        path = f"/transformation-request/{made.request_id}"
        seen.go(path)
        assert "as soon as one file is done" in seen.page.content()
        parts.store.report(made.request_id, replace(good(file), file_path=str(nanoaod)))
        seen.go(path)
        seen.page.locator("summary", has_text="Plan").click()
        plan = seen.page.locator("details.plan pre")
        plan.wait_for(timeout=40_000)
        assert "push_filter_into_scan" in str(plan.text_content())
        seen.go(f"{path}/plan")
        assert "bytes to read" in seen.page.content()


def take(page, name: str, kind: str) -> None:
    """Keep a picture of a page for people."""
    page.screenshot(path=Path(SHOTS) / f"{name}-{kind}.png", full_page=True)
