"""Workers open a file only where users may have files read, and look again when they do."""

from __future__ import annotations

import pickle
import uuid

import pytest

from sxdask.service.auth.places import Places
from sxdask.service.transforms.orders import Order, Report, Work
from sxdask.service.transforms.task import transform_file
from sxdask.testing import write_nanoaod
from tests.servers import serve_ranges

SELECTION = '[{"treename": "Events", "filter_name": ["MET_pt"]}]'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("files")
    write_nanoaod(made / "f.root", 1_000)
    return made


def run(path: str, places: Places | None, target) -> Report:
    work = Work("uproot-raw", SELECTION, "parquet", places=places)
    order = Order(uuid.uuid4().hex, work, (path,), "f.parquet", str(target), (), 60.0, 60.0)
    return transform_file(pickle.dumps(order))


def test_a_file_is_read_over_http_where_the_operator_allows_its_host(folder, tmp_path):
    with serve_ranges(folder) as server:
        url = f"{server.url}/f.root"
        refused = run(url, Places(), tmp_path)
        assert (refused.code, server.requests) == ("SX205", [])
        assert "no public address" in refused.message
        read = run(url, Places(hosts=("127.0.0.1",)), tmp_path)
        assert (read.code, read.rows) == ("", 1_000)


def test_a_file_is_read_below_the_operators_folders(folder, tmp_path):
    path = str(folder / "f.root")
    assert run(path, Places(roots=(str(folder),)), tmp_path).rows == 1_000
    assert run(path, Places(roots=(str(tmp_path),)), tmp_path).code == "SX205"
    link = tmp_path / "link.root"
    link.symlink_to(folder / "f.root")
    assert run(str(link), Places(roots=(str(tmp_path),)), tmp_path).code == "SX205"
