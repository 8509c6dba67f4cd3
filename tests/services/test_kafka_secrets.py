"""Credentials of a broker stay in the process that reads their file."""

from __future__ import annotations

import logging
import pickle

import cloudpickle
import pytest

import sxdask as sx
from sxdask.core.errors import RequestError
from sxdask.deliver.sink import open_sink
from tests.contracts.test_sinks import DELIVERY, PARTS, table

SECRET = "hunter2-hunter2-hunter2"  # noqa: S105 - looked for below


@pytest.fixture
def config(tmp_path, monkeypatch):
    path = tmp_path / "client.properties"
    path.write_text(f"sasl.username={SECRET}-name\nsasl.password={SECRET}\n")
    monkeypatch.setenv("SXDASK_KAFKA_CONFIG", str(path))
    return path


def everything(error: sx.SxdaskError) -> str:
    return f"{error} {error!r} {error.hint} {error.context}"


def test_nothing_of_the_file_travels_or_is_kept(broker, config, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    url = broker.url()
    sink = open_sink(url)
    sink.begin(DELIVERY)
    travels = [pickle.dumps(sink), cloudpickle.dumps(sink)]
    copy = pickle.loads(travels[0])
    receipts = [copy.write(part, table(part)) for part in PARTS]
    manifest = sink.commit(receipts)
    travels += [pickle.dumps(copy), pickle.dumps(receipts), pickle.dumps(manifest)]
    with sx.consume(url, timeout=10.0) as found:
        assert len(list(found)) == len(PARTS)
        shown = f"{found!r} {found.manifest!r} {found.counts!r}"
    texts = [manifest.to_json(), repr(manifest), manifest._repr_html_(), shown, caplog.text]
    assert all(SECRET.encode() not in data for data in travels)
    assert all(SECRET not in text for text in texts)


def test_a_login_that_fails_does_not_show_its_password(broker, config, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    with config.open("a") as file:
        file.write("security.protocol=SASL_PLAINTEXT\nsasl.mechanisms=PLAIN\n")
    sink = open_sink(broker.url(), storage_options={"timeout_s": 2})
    with pytest.raises(sx.SxdaskError, match=broker.servers) as caught:
        sink.begin(DELIVERY)
    assert SECRET not in everything(caught.value) + caplog.text


def test_a_property_that_does_not_exist_is_named_and_its_value_is_not(broker, config) -> None:
    with config.open("a") as file:
        file.write(f"sasl.pasword={SECRET}\n")
    with pytest.raises(RequestError, match=r"sasl\.pasword") as caught:
        open_sink(broker.url()).begin(DELIVERY)
    assert SECRET not in everything(caught.value)


def test_a_value_that_is_refused_is_not_quoted(broker, config) -> None:
    with config.open("a") as file:
        file.write(f"sasl.mechanisms={SECRET}\nacks={SECRET}\n")
    with pytest.raises(sx.SxdaskError) as caught:
        open_sink(broker.url(), storage_options={"timeout_s": 2}).begin(DELIVERY)
    assert SECRET not in everything(caught.value)
