"""The ledger gives back what was appended, whatever happened to its last line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sxdask.core.errors import AccessDeniedError
from sxdask.deliver.ledger import Ledger, ledger_path
from sxdask.deliver.sink import Delivery, Receipt
from sxdask.deliver.tasks import Labels
from tests.readers import pieces

PARTS = tuple(Labels("f00d").part(item) for item in pieces(5))
DELIVERY = Delivery("f00d", "arrow", PARTS)
RECEIPTS = [Receipt(part, part.stem + ".arrow", 10, 99, "xxh3:00", "a1") for part in PARTS]


@pytest.fixture
def path(tmp_path):
    return ledger_path(tmp_path, "/out", DELIVERY)


def fill(path, receipts, delivery=DELIVERY):
    with Ledger(path, delivery) as ledger:
        for receipt in receipts:
            ledger.append(receipt)


def test_receipts_come_back(path):
    assert Ledger(path, DELIVERY).receipts() == []
    fill(path, RECEIPTS)
    found = Ledger(path, DELIVERY).receipts()
    assert found == RECEIPTS
    assert [item.attempt for item in found] == ["a1"] * 5


def test_nothing_is_made_before_the_first_receipt(path):
    with Ledger(path, DELIVERY) as ledger:
        ledger.remove()
    assert not path.parent.exists()


def test_a_later_run_appends(path):
    fill(path, RECEIPTS[:2])
    fill(path, RECEIPTS[2:])
    assert Ledger(path, DELIVERY).receipts() == RECEIPTS


def test_every_torn_last_line_is_tolerated(path):
    fill(path, RECEIPTS[:3])
    whole = path.read_bytes()
    second = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for cut in range(second, len(whole)):
        path.write_bytes(whole[:cut])
        assert Ledger(path, DELIVERY).receipts() == RECEIPTS[: whole[:cut].count(b"\n") - 1] or (
            whole[cut : cut + 1] == b"\n"  # the whole line without its end is no loss
        )
        fill(path, [RECEIPTS[4]])
        assert Ledger(path, DELIVERY).receipts()[-1] == RECEIPTS[4]


def test_the_last_receipt_of_an_object_counts(path):
    fill(path, [RECEIPTS[0], replace(RECEIPTS[0], attempt="b2")])
    (found,) = Ledger(path, DELIVERY).receipts()
    assert found.attempt == "b2"


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b'{"version": 0}\n', b"[1]\n[2]\n"])
def test_a_file_that_is_something_else_is_started_anew(path, content):
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert Ledger(path, DELIVERY).receipts() == []
    fill(path, RECEIPTS)
    assert Ledger(path, DELIVERY).receipts() == RECEIPTS


def test_receipts_of_another_delivery_are_not_taken(path):
    other = Delivery("f00d", "arrow", PARTS[:2])
    fill(path, RECEIPTS[:2], other)
    assert Ledger(path, DELIVERY).receipts() == []


def test_places_and_deliveries_have_ledgers_of_their_own(tmp_path):
    other = Delivery("beef", "arrow", PARTS)
    paths = {
        ledger_path(tmp_path, place, delivery)
        for place in ("/a", "/b")
        for delivery in (DELIVERY, other)
    }
    assert len(paths) == 4


def test_a_directory_that_may_not_be_written_is_a_clear_error(path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "mkdir", refuse)  # a test run as root may write anywhere
    with pytest.raises(AccessDeniedError) as caught:
        fill(path, RECEIPTS)
    assert "SXDASK_CACHE_DIR" in str(caught.value.hint)
