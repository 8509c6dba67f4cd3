"""The queries of the pages on PostgreSQL."""

from __future__ import annotations

import pytest

from sxdask.service.database.overview import Choice, Overview
from tests.pages import Visitor, app_of, fill, parts_on


@pytest.fixture
def parts(tmp_path, postgres):
    return parts_on(postgres, tmp_path)


def test_pages_are_the_same_on_postgresql(parts):
    made = fill(parts)
    browser = Visitor(app_of(parts))
    own = f"/transformation-request/{made['failures'].request_id}"
    paths = ["/", "/?kind=failures&text=DIMUON", "/datasets?old=1&text=taus", own, f"{own}/log"]
    paths += [f"{own}/results?sort={name}" for name in ("file", "rate", "seconds", "rows")]
    paths += [f"{own}/results?status=failure", f"/datasets/{made['failures'].did_id}", "/profile"]
    for path in paths:
        answer = browser.get(path)
        assert answer.status_code == 200, path
    assert browser.get("/?kind=failures&text=DIMUON").text.count("data-view=") == 1
    assert browser.get("/?text=x%00y&whose=all").status_code == 200
    for path in ("/transformation-request/%00", f"/datasets/{2**31 - 1}", f"/datasets/{2**40}"):
        assert browser.get(path).status_code == 404
    assert browser.get(f"{own}/results/{2**53}/traceback").status_code == 404
    views = browser.get("/dashboard/live").json()["views"]
    assert views[made["running"].request_id]["done"] == pytest.approx(35)


def test_kinds_are_counted_as_they_are_listed(parts):
    fill(parts)
    overview = Overview(parts.users.engine)
    for kind, number in overview.count(Choice()).items():
        assert len(overview.transforms(Choice(kind=kind), 100)) == number, kind
    totals = overview.totals(overview.active())
    assert {type(item.rows) for item in totals.values()} == {int}
