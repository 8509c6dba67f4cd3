"""The page about Kafka: its two consumers read what was delivered."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import sxdask as sx

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "kafka.md"


def test_both_consumers_of_the_page_read_a_delivery(broker, nanoaod) -> None:
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    topic = broker.url().rpartition("/")[2]
    query = sx.dataset(nanoaod).where("MET_pt > 20").select("Muon_pt")
    manifest = query.deliver(broker.url(topic), storage_options={"message_bytes": 20_000})
    printed = []
    for block in blocks:
        code = block.replace("127.0.0.1:9092", broker.servers).replace("zmumu", topic)
        out = io.StringIO()
        with redirect_stdout(out):
            exec(compile(code, str(PAGE), "exec"), {})  # noqa: S102 - our own page
        printed.append(out.getvalue())
    assert len(printed[0].splitlines()) == len(manifest.partitions)
    assert printed[1] == f"{len(manifest.partitions)} partitions {manifest.rows} rows\n"
