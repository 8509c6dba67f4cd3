"""A dataset's name is taken apart as uproot does, and more carefully."""

from __future__ import annotations

import pytest

from sxdask.core.errors import RequestError
from sxdask.datasets.address import Address, has_magic, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.root", Address("", "a.root")),
        ("a.root:Events", Address("", "a.root", "Events")),
        ("a.root:dir/Events", Address("", "a.root", "dir/Events")),
        ("a.root:/dir//Events/", Address("", "a.root", "dir/Events")),
        ("a.root:", Address("", "a.root")),
        ("a.pool.root.1:CollectionTree", Address("", "a.pool.root.1", "CollectionTree")),
        ("A.ROOT:Events", Address("", "A.ROOT", "Events")),
        ("data/*.root:Events?files=3", Address("", "data/*.root", "Events", 3)),
        ("data?files=1", Address("", "data", None, 1)),
        (" a.root ", Address("", "a.root")),
        ("C:/data/a.root", Address("", "C:/data/a.root")),
        ("C:\\data\\a.root:Events", Address("", "C:\\data\\a.root", "Events")),
        ("file:///data/a.root:T", Address("file", "file:///data/a.root", "T")),
        ("HTTPS://host/a.root", Address("https", "HTTPS://host/a.root")),
        ("http://host:80/a.root:T", Address("http", "http://host:80/a.root", "T")),
        ("root://host:1094//a.root", Address("root", "root://host:1094//a.root")),
        ("root://host:1094//a.root:T", Address("root", "root://host:1094//a.root", "T")),
        ("root://x.root:1094//a.root", Address("root", "root://x.root:1094//a.root")),
        ("root://x.root:1094", Address("root", "root://x.root:1094")),
        ("https://h/a.root?x=1&files=2", Address("https", "https://h/a.root?x=1", None, 2)),
        ("s3://bucket/a*.root?files=12", Address("s3", "s3://bucket/a*.root", None, 12)),
    ],
)
def test_a_name_is_taken_apart(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


def test_a_file_that_has_a_colon_in_its_name_is_itself(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.root:Events").touch()
    assert parse_address("a.root:Events") == Address("", "a.root:Events")


@pytest.mark.parametrize(
    ("text", "path", "most", "only_available"),
    [
        ("rucio://a:b?get=all", "rucio://a:b", None, False),
        ("rucio://a:b?get=available", "rucio://a:b", None, True),
        ("rucio://a:b?files=3&get=available", "rucio://a:b", 3, True),
        ("rucio://a:b?get=available&files=3", "rucio://a:b", 3, True),
        ("rucio://a:b?other=1&files=3", "rucio://a:b?other=1", 3, False),
        ("https://host/a.root?get=some", "https://host/a.root?get=some", None, False),
        ("https://host/a.root?x=1&files=3", "https://host/a.root?x=1", 3, False),
    ],
)
def test_options_come_in_any_order_at_the_end(text, path, most, only_available) -> None:
    assert parse_address(text) == Address(
        text.partition("://")[0], path, None, most, only_available
    )


@pytest.mark.parametrize("text", ["rucio://a:b?get=", "rucio://a:b?get=some&files=1"])
def test_get_is_all_or_available(text) -> None:
    with pytest.raises(RequestError, match="must be all or available"):
        parse_address(text)


def test_a_pattern_on_an_xrootd_server_has_its_host_and_its_tree() -> None:
    found = parse_address("xrootd://root://x.root:1094//store/*.root:Events?files=2")
    assert found == Address("xrootd", "xrootd://root://x.root:1094//store/*.root", "Events", 2)
    assert found.name == "root://x.root:1094//store/*.root"


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5", "", "²"])
def test_files_must_be_a_whole_number_above_zero(count: str) -> None:
    with pytest.raises(RequestError, match="does not say how many files") as caught:
        parse_address(f"data/*.root?files={count}")
    assert "above zero" in str(caught.value)


@pytest.mark.parametrize("text", ["", "   ", "a\0.root"])
def test_a_name_without_text_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="names no dataset"):
        parse_address(text)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(RequestError) as caught:
        parse_address("https://me:hush@host/a.root")
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(caught.value.context)


@pytest.mark.parametrize(
    ("text", "magic"),
    [
        ("data/*.root", True),
        ("data/a?.root", True),
        ("data/[ab].root", True),
        ("data/a.root", False),
        ("https://host/a.root?token=x", False),
        ("https://host/*.root", True),
        ("http://[::1]:8000/a.root", False),
        ("s3://bucket/a?.root", True),
    ],
)
def test_a_pattern_is_told_from_a_query_and_a_host(text: str, magic: bool) -> None:
    assert has_magic(parse_address(text)) is magic
