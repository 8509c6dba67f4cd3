"""Pages over a real database: what they show, to whom, and what their forms do."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from sxdask.service.database.overview import Choice, Overview
from sxdask.service.logs.setup import logging_to
from sxdask.service.pages.dashboard import PER_PAGE
from sxdask.service.pages.live import view_of
from sxdask.service.transforms.states import Broken, CancelAsked, Status
from tests.pages import Visitor, app_of, bad, fill, good, make_parts, report, submit

EVIL = """"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'"""


@pytest.fixture
def parts(tmp_path):
    made = make_parts(tmp_path)
    yield made
    made.users.engine.dispose()


@pytest.fixture
def browser(parts):
    return Visitor(app_of(parts))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Requests in all states for tests that change nothing, and a browser."""
    parts = make_parts(tmp_path_factory.mktemp("shown"))
    made = fill(parts)
    yield SimpleNamespace(parts=parts, browser=Visitor(app_of(parts)), **made)
    parts.users.engine.dispose()


def count_queries(engine, act):
    seen = []

    def note(*args):
        seen.append(args[2])

    event.listen(engine, "before_cursor_execute", note)
    act()
    event.remove(engine, "before_cursor_execute", note)
    return [text for text in seen if text.startswith("SELECT")]


def test_every_page_answers_and_names_its_columns(shown):
    own = f"/transformation-request/{shown.failures.request_id}"
    for path in ["/", "/dashboard", "/datasets", "/profile", "/datasets/1", own, f"{own}/results"]:
        answer = shown.browser.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("text/html")
        assert "script-src" not in answer.text
        for table in re.findall(r"<thead.*?</thead>", answer.text, re.DOTALL):
            assert table.count("<th ") == table.count('scope="col"') > 1


def test_the_address_that_the_client_prints_shows_the_failures(shown):
    """Client 3.3.1 writes a double slash."""
    page = shown.browser.get(
        f"/transformation-request//{shown.failures.request_id}/results?status=failure"
    ).text
    assert page.count('<tr class="failed"') == 3
    assert "SX101" in page


def test_the_list_is_in_pieces_and_filters(parts, browser):
    for number in range(PER_PAGE + 3):
        submit(parts, f"sample {number:02d}", 1)
    first, second = browser.get("/").text, browser.get("/?page=2").text
    assert first.count("data-view=") == PER_PAGE
    assert second.count("data-view=") == 3
    assert browser.get("/?text=sample+0").text.count("data-view=") == 10
    assert browser.get("/?text=%25").text.count("data-view=") == 0
    assert browser.get("/?kind=complete").text.count("data-view=") == 0
    assert "No request is like that" in browser.get("/?text=x%00y").text
    assert browser.get("/?kind=nonsense").status_code == 400


def test_kinds_are_counted_as_they_are_listed(shown):
    overview = Overview(shown.parts.users.engine)
    counts = overview.count(Choice())
    for kind, number in counts.items():
        assert len(overview.transforms(Choice(kind=kind), 100)) == number, kind
    assert counts["all"] == 8
    assert counts["failures"] == 2


def test_a_page_asks_the_database_equally_often_whatever_its_length(parts, browser):
    for number in range(3):
        report(parts, submit(parts, f"sample {number}", 4), 2, 1)
    few = count_queries(parts.users.engine, lambda: browser.get("/"))
    for number in range(8):
        report(parts, submit(parts, f"more {number}", 4), 2, 1)
    many = count_queries(parts.users.engine, lambda: browser.get("/"))
    assert len(many) == len(few) <= 4
    request = submit(parts, "failing", 12)
    report(parts, request, 0, 12)
    path = f"/transformation-request/{request.request_id}"
    assert len(count_queries(parts.users.engine, lambda: browser.get(path))) <= 7


def test_the_live_answer_agrees_with_the_page(shown):
    page = shown.browser.get("/").text
    news = shown.browser.get("/dashboard/live").json()
    assert news["running"] is True
    view = news["views"][shown.running.request_id]
    row = page.split(f'data-view="{shown.running.request_id}"')[1].split("</tr>")[0]
    for name, text in view["cells"].items():
        assert re.search(rf'data-cell="{name}">{re.escape(text)}<', row), name
    assert view["cells"]["speed"] == "143\N{NO-BREAK SPACE}MB/s"
    assert view["done"] == pytest.approx(100 * 21 / 60, abs=0.01)
    assert news["cells"]["sum-reading"] == "9"


def test_a_request_that_stands_still_says_so(shown):
    item = Overview(shown.parts.users.engine).transform(shown.running.request_id)
    assert item is not None
    later = datetime.now(UTC) + timedelta(minutes=12)
    view = view_of(item, shown.parts.engine.progress(shown.running.request_id), now=later)
    assert view.cells["note"].replace("\N{NO-BREAK SPACE}", " ") == "no file for 12 min"


def test_forms_cancel_try_again_and_delete(parts, browser):
    made = fill(parts)
    running, failures = made["running"].request_id, made["failures"].request_id
    token = browser.csrf()
    answer = browser.post(
        f"/transformation-request/{running}/cancel", data={"csrf": token, "back": "/dashboard"}
    )
    assert answer.url.path == "/dashboard"
    assert "The request is canceled" in answer.text
    assert parts.store.transform(running).state.status is Status.CANCELED
    answer = browser.post(f"/transformation-request/{running}/cancel", data={"csrf": token})
    assert "Nothing to cancel" in answer.text

    answer = browser.post(
        f"/transformation-request/{failures}/resubmit-failed", data={"csrf": token}
    )
    assert "3 files are tried again" in answer.text
    assert parts.store.transform(failures).state.remaining == 3
    answer = browser.post(f"/transformation-request/{failures}/delete", data={"csrf": token})
    assert "cancel it first" in answer.text
    answer = browser.post(f"/transformation-request/{running}/delete", data={"csrf": token})
    assert answer.url.path == "/dashboard"
    assert parts.store.transform(running) is None
    assert browser.get(f"/transformation-request/{running}").status_code == 404


@pytest.mark.parametrize("what", ["cancel", "resubmit-failed", "delete"])
def test_nothing_changes_without_the_token_of_the_session(parts, browser, what):
    made = submit(parts, "x", 2)
    path = f"/transformation-request/{made.request_id}/{what}"
    browser.get("/")
    for data in ({}, {"csrf": ""}, {"csrf": "x" * 32}):
        answer = browser.post(path, data=data)
        assert answer.status_code == 403
        assert "too old" in answer.text
    assert browser.get(path).status_code in {404, 405}
    assert parts.store.transform(made.request_id).state.status is Status.RUNNING


def test_a_form_leads_back_into_the_service_only(parts, browser):
    made = submit(parts, "x", 1)
    token = browser.csrf()
    for back in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:1"):
        answer = browser.post(
            f"/transformation-request/{made.request_id}/cancel",
            data={"csrf": token, "back": back},
            follow_redirects=False,
        )
        assert answer.headers["location"] == f"/transformation-request/{made.request_id}"


def test_markup_of_users_is_text(parts, browser):
    made = submit(parts, EVIL, 0, selection=EVIL, files=(f"root://host//{EVIL}.root", "b.root"))
    first, second = parts.store.pending_files(made.request_id)
    parts.store.report(made.request_id, bad(first, "SX1", EVIL, f"Traceback {EVIL}"))
    parts.store.report(made.request_id, replace(good(second), object=EVIL))
    broken = submit(parts, EVIL, 3)
    parts.store.apply(broken.request_id, Broken(EVIL))
    lost = submit(parts, "lost", 0, did=f"rucio://{EVIL}")
    parts.store.begin_lookup(lost.did_id)
    parts.store.end_lookup(lost.did_id, "does_not_exist", EVIL)
    own = f"/transformation-request/{made.request_id}"
    paths = [
        *("/", own, f"{own}/results", f"{own}/log", f"{own}/plan", "/datasets?old=1"),
        *(f"/transformation-request/{broken.request_id}", f"/datasets/{made.did_id}"),
        *(f"/datasets/{lost.did_id}", f"/?text={EVIL}", f"/datasets?text={EVIL}"),
    ]
    for path in paths:
        text = browser.get(path).text
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "alert(1)" in text, path
        assert "{49}" not in text
    live = browser.get(f"{own}/live")
    assert live.headers["content-type"] == "application/json"
    trace = browser.get(f"{own}/results/1/traceback")
    assert trace.headers["content-type"].startswith("text/plain")
    assert trace.headers["x-content-type-options"] == "nosniff"


def test_pages_have_no_script_or_style_of_their_own(shown):
    for path in ["/", f"/transformation-request/{shown.failures.request_id}", "/profile"]:
        answer = shown.browser.get(path)
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not re.search(r"<style|style=|<script>|\son\w+=", answer.text)
        for address in re.findall(r'\s(?:src|href|action)="([^"]*)"', answer.text):
            assert address.startswith(("/", "#")) or not address


def test_assets_are_kept_by_browsers_and_nothing_else_is_served(parts, browser):
    page = browser.get("/")
    assert page.headers["cache-control"] == "no-store"
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        answer = browser.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    for name in ("pages.css", "..%2fpages.css", "..%2f..%2frender.py", "templates"):
        assert browser.get(f"/static/{name}").status_code == 404
    assert browser.get("/favicon.ico").headers["content-type"] == "image/svg+xml"


def test_what_does_not_exist_is_a_page_that_says_so(browser):
    for path in (
        "/transformation-request/nonsense",
        "/transformation-request/00000000-0000-0000-0000-000000000000/log",
        "/transformation-request/%00/results",
        *("/datasets/77", "/datasets/x", f"/datasets/{10**30}"),
    ):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert "<h1>" in answer.text
    for path in ("/?page=0", "/datasets?page=x"):
        assert browser.get(path).status_code == 400, path


def test_causes_of_failures_are_few_and_have_hint_files_and_traceback(shown):
    page = shown.browser.get(f"/transformation-request/{shown.failures.request_id}").text
    assert page.count('<details class="cause"') == 2
    assert "2 files" in page
    assert "did you mean &#39;Muon_pt&#39;?" in page
    assert "Traceback (most recent call last)" in page


def test_the_table_of_files_sorts_by_its_heads(shown):
    path = f"/transformation-request/{shown.complete.request_id}/results"
    page = shown.browser.get(f"{path}?sort=rows&down=1").text
    rows = [
        int(text)
        for text in re.findall(r'data-label="rows">([\d\u202f]+)<', page.replace("\u202f", ""))
    ]
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == 6
    assert 'aria-sort="descending"' in page
    assert shown.browser.get(f"{path}?sort=traceback").status_code == 400


def test_a_dataset_is_looked_up_again_on_demand(parts, browser):
    made = submit(parts, "x", 2)
    token = browser.csrf(f"/datasets/{made.did_id}")
    answer = browser.post(f"/datasets/{made.did_id}/refresh", data={"csrf": token})
    assert "looks for its files anew" in answer.text
    assert parts.store.dataset(made.did_id).is_stale


def test_without_authentication_the_configuration_is_there_at_once(browser):
    answer = browser.get("/.servicex")
    assert "endpoint: http://localhost" in answer.text
    assert "token" not in answer.text
    assert "servicex.yaml" in answer.headers["content-disposition"]


def test_the_log_shows_steps_and_lines(tmp_path):
    with logging_to(folder=tmp_path / "logs") as logs:
        parts = replace(make_parts(tmp_path), logs=logs)
        made = submit(parts, "x", 2)
        parts.store.apply(made.request_id, CancelAsked())
        logging.getLogger("sxdask.service").warning(
            "slow %s", EVIL, extra={"transform": made.request_id}
        )
        page = Visitor(app_of(parts)).get(f"/transformation-request/{made.request_id}/log").text
        parts.users.engine.dispose()
    assert "canceled by the user" in page
    assert "slow &#34;&gt;&lt;script&gt;" in page


def test_a_defect_is_a_page_with_a_number_that_the_log_has(parts, browser, caplog):
    """Nothing of the error itself is shown."""
    made = submit(parts, "x", 1)
    with parts.users.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE transforms SET status = 'of another release'")
    answer = browser.get(f"/transformation-request/{made.request_id}/log")
    assert answer.status_code == 500
    assert "of another release" not in answer.text
    (number,) = re.findall(r"log has it as (\w+)", answer.text)
    assert any(number in record.getMessage() for record in caplog.records)
