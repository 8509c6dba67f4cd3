"""A server reads what lies below its roots, whatever a name looks like."""

from __future__ import annotations

import pytest

from sxdask.core.errors import AccessDeniedError, RequestError
from sxdask.service.flight.roots import Roots


@pytest.fixture
def home(tmp_path):
    for folder in ("data/sub", "data-private", "other"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("data/a.root", "data/sub/b.root", "data-private/c.root", "other/d.root"):
        (tmp_path / name).write_bytes(b"root")
    return tmp_path


@pytest.mark.parametrize("name", ["a.root", "sub/b.root", "*.root", "**/*.root:Events", "sub"])
def test_names_below_the_root_start_there(home, name):
    assert Roots([str(home / "data")]).placed(name) == f"{home}/data/{name}"


def test_absolute_names_and_file_urls_below_the_root_are_taken(home):
    roots = Roots([str(home / "data")])
    assert roots.placed(f"{home}/data/a.root?files=1") == f"{home}/data/a.root?files=1"
    assert roots.placed(f"file://{home}/data/a.root") == f"{home}/data/a.root"
    assert roots.placed(f"file://localhost{home}/data/a.root") == f"{home}/data/a.root"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "{home}/other/d.root",
        "{home}/data-private/c.root",
        "{home}/data/../other/d.root",
        "../other/d.root",
        "sub/../../other/d.root",
        "*/../../other/d.root",
        "{home}/*/d.root",
        "/*",
        "~/d.root",
        "~root/.ssh/id",
        "file://{home}/other/d.root",
        "file://{home}/data/%2e%2e/other/d.root",
        "file://localhost/etc/passwd",
        "FILE:///etc/passwd",
        "simplecache::file:///etc/passwd",
        "zip://a.root::{home}/other/x.zip",
        "memory://x.root",
        "http://169.254.169.254/latest/meta-data/x.root",
        "http://localhost:8787/x.root",
        "s3://bucket/x.root",
        "github://a@c/x.root",
        "a.root\0.txt",
    ],
)
def test_everything_else_is_refused_before_it_is_looked_at(home, name):
    with pytest.raises(AccessDeniedError, match="may not read"):
        Roots([str(home / "data")]).placed(name.format(home=home))


def test_links_that_lead_out_are_refused_and_those_within_are_not(home):
    (home / "data/out.root").symlink_to(home / "other/d.root")
    (home / "data/away").symlink_to(home / "other")
    (home / "data/in.root").symlink_to(home / "data/sub/b.root")
    (home / "data/loop").symlink_to(home / "data/loop")
    roots = Roots([str(home / "data")])
    for name in ("out.root", "away/d.root", "away/*.root", "loop"):
        with pytest.raises(AccessDeniedError):
            roots.placed(name)
    # What a pattern leads to is known only when it is listed.
    for name in ("out.root", "away/d.root"):
        with pytest.raises(AccessDeniedError):
            roots.require(str(home / "data" / name))
    roots.require(str(home / "data/in.root"))


SITE = ["https://data.cern.ch/open/", "s3://bucket/store", "root://*.infn.it//cms/"]


@pytest.mark.parametrize(
    "url",
    [
        "https://data.cern.ch/open/a.root",
        "HTTPS://DATA.CERN.CH/open/x/*.root",
        "s3://bucket/store/**/a.root:Events",
        "s3://bucket/store",
        "root://xrootd.ba.infn.it//cms/a.root?files=3",
    ],
)
def test_urls_below_a_site_are_taken(url):
    assert Roots(SITE).placed(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://data.cern.ch/open/a.root",
        "https://data.cern.ch:8443/open/a.root",
        "https://data.cern.ch.evil.org/open/a.root",
        "https://me@data.cern.ch/open/a.root",
        "https://data.cern.ch@evil.org/open/a.root",
        "https://evil.org/data.cern.ch/open/a.root",
        "https://data.cern.ch/opening/a.root",
        "https://data.cern.ch/open/../private/a.root",
        "https://data.cern.ch/open/%2e%2e/private/a.root",
        "https://data.cern.ch/open/%252e%252e/private/a.root",
        "https://data.cern.ch/open/..\\private/a.root",
        "https://data.cern.ch\\@evil.org/open/a.root",
        "s3://bucket/store-private/a.root",
        "s3://bucket2/store/a.root",
        "root://evil.org//cms/a.root",
        "root://infn.it.evil.org//cms/a.root",
    ],
)
def test_urls_elsewhere_are_refused(url):
    with pytest.raises(AccessDeniedError, match="may not read") as caught:
        Roots(SITE).placed(url)
    assert "me@" not in str(caught.value)


@pytest.mark.parametrize("sign", ["?authz=Bearer%20abc", "?x=1", "#part"])
def test_a_query_is_refused_because_it_may_be_a_secret(sign):
    with pytest.raises(RequestError, match="query") as caught:
        Roots(SITE).placed(f"https://data.cern.ch/open/a.root{sign}")
    assert "abc" not in str(caught.value)


def test_each_name_of_a_list_and_of_a_mapping_counts(home):
    roots = Roots([str(home / "data"), *SITE])
    url = "s3://bucket/store/a.root"
    assert roots.placed(["a.root", url]) == [f"{home}/data/a.root", url]
    assert roots.placed({"a.root": "Events"}) == {f"{home}/data/a.root": "Events"}
    with pytest.raises(AccessDeniedError):
        roots.placed(["a.root", "/etc/passwd"])
    with pytest.raises(AccessDeniedError):
        roots.placed({"/etc/passwd": None})


def test_a_root_that_is_no_directory_is_refused(tmp_path):
    with pytest.raises(RequestError, match="no directory"):
        Roots([str(tmp_path / "nowhere")])
