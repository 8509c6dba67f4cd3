"""Names of partitions: equal content has an equal name, other content another; no secrets."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from sxdask.deliver.part import Part, content_key, part_of, public_url
from sxdask.rootio.model import FileStamp
from tests.readers import piece

PIECE = piece(7, 10, 20)


def key_of(item=PIECE, *, fingerprint="f00d", format_name="arrow", output=""):
    part = part_of(item, fingerprint=fingerprint, format_name=format_name, output=output)
    return part.content_key


def test_the_key_is_the_same_in_every_process():
    code = "from tests.unit.deliver.test_part import key_of; import sys; sys.stdout.write(key_of())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == key_of()


@pytest.mark.parametrize(
    "other",
    [
        key_of(fingerprint="beef"),
        key_of(format_name="parquet"),
        key_of(output="jets"),
        key_of(replace(PIECE, entry_start=11)),
        key_of(replace(PIECE, entry_stop=21)),
        key_of(replace(PIECE, tree="Runs")),
        key_of(replace(PIECE, stamp=FileStamp(1001, "", PIECE.stamp.uuid))),
        key_of(replace(PIECE, stamp=FileStamp(1000, "", "other"))),
    ],
)
def test_everything_that_decides_the_content_is_in_the_key(other):
    assert other != key_of()


def test_a_copy_of_a_file_elsewhere_has_the_same_content():
    copy = replace(PIECE, url="root://elsewhere//a.root", index=8, stamp=replace_mark(PIECE.stamp))
    assert key_of(copy) == key_of()


def replace_mark(stamp):
    return FileStamp(stamp.size, "another time", stamp.uuid)


def test_facts_do_not_run_into_each_other():
    assert content_key("ab", "c") != content_key("a", "bc")


def test_object_names_sort_like_partitions():
    stems = [Part(index, "", "f", "t", 0, 1, "0" * 32).stem for index in (0, 9, 10, 99_999)]
    assert stems == sorted(stems)


def test_names_of_outputs_become_folders_that_stay_apart():
    stems = {Part(0, name, "f", "t", 0, 1, "k").stem for name in ("a/b", "a_b", "a;b", "..", "a b")}
    assert len(stems) == 5
    assert all(stem.count("/") == 1 and not stem.startswith(".") for stem in stems)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("/data/a.root", "/data/a.root"),
        ("s3://key:secret@bucket/a.root", "s3://bucket/a.root"),
        ("https://host/a.root?token=1#x", "https://host/a.root"),
        ("root://u:p@host:1094//store/a.root?authz=1", "root://host:1094//store/a.root"),
    ],
)
def test_urls_lose_their_secrets(url, public):
    assert public_url(url) == public
