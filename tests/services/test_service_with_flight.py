"""``sxdask serve --rest --flight``: both services over the same workers, in one process."""

from __future__ import annotations

import json
import re
import signal
import time

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import uproot

import sxdask as sx
from tests.services.official_client import served

CUT = "MET_pt > 30"


def test_clients_of_both_kinds_get_the_same_from_the_same_workers(nanoaod, tmp_path):
    options = ("--rest", "--flight=127.0.0.1:0", "--port", "0", "--root", str(nanoaod.parent))
    with served(tmp_path / "data", *options, "--workers", "1") as running:
        rest = re.search(r"clients of ServiceX on (\S+)", running.welcome)
        flight = re.search(r"Arrow Flight on (\S+)", running.welcome)
        assert rest is not None
        assert flight is not None
        with sx.connect(flight[1]) as remote:
            selection = {"where": CUT, "select": ["MET_pt", "Muon_pt"]}
            parts = remote.request("native", selection, dataset="nano.root").stream()
            streamed = pa.concat_tables(
                part.table for part in sorted(parts, key=lambda part: part.index)
            )
        delivered = by_rest(rest[1], str(nanoaod), tmp_path / "result.parquet")
        assert running.end(signal.SIGTERM) == 0

    events = uproot.open(nanoaod)["Events"].arrays(["MET_pt", "Muon_pt"])
    expected = events[events.MET_pt > 30]
    assert 0 < len(expected) < len(events)
    for table in (streamed, delivered):
        assert set(expected.fields) <= set(table.column_names)
        for name in expected.fields:
            assert table[name].to_pylist() == expected[name].to_list()


def by_rest(url, file, path):
    """Submit as a client of ServiceX does; return the table of the one file."""
    query = {"treename": "Events", "filter_name": ["MET_pt", "Muon_pt"], "cut": CUT}
    body = {
        "title": "beside Flight",
        "file-list": [file],
        "selection": json.dumps([query]),
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "parquet",
    }
    with httpx.Client(base_url=f"{url}/servicex", timeout=30) as client:
        place = f"/transformation/{client.post('/transformation', json=body).json()['request_id']}"
        end = time.monotonic() + 60
        while client.get(place).json()["status"] != "Complete":
            assert time.monotonic() < end
            time.sleep(0.1)
        (row,) = client.get(f"{place}/results").json()["results"]
        name = row["s3-object-name"]
        asked = {"request_id": place.rpartition("/")[2], "file_list": [name]}
        url, _, _ = client.post("/file-urls", json=asked).json()["uris"][name]
        path.write_bytes(client.get(url).content)
    return pq.read_table(path)
