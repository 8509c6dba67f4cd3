"""Addresses and options of Kafka: what is understood, and that secrets are refused or hidden."""

from __future__ import annotations

import pytest

from sxdask.core.errors import MissingExtraError, RequestError, UnknownLanguageError
from sxdask.deliver.kafka import broker
from sxdask.deliver.kafka.address import Address, KafkaOptions
from sxdask.deliver.sink import open_sink, sink_name
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.store import open_store


@pytest.mark.parametrize(
    ("url", "servers", "topic", "fingerprint"),
    [
        ("kafka://host:9092/events", "host:9092", "events", ""),
        ("kafka://a:1,b:2/x.y-z_0/", "a:1,b:2", "x.y-z_0", ""),
        ("kafka://host/events?fingerprint=f00d", "host", "events", "f00d"),
        ("kafka://[::1]:9092/events", "[::1]:9092", "events", ""),
    ],
)
def test_an_address_names_brokers_and_a_topic(url, servers, topic, fingerprint) -> None:
    found = Address.parse(url)
    assert (found.servers, found.topic, found.fingerprint) == (servers, topic, fingerprint)
    assert found.location == f"kafka://{servers}/{topic}"


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka:///events",
        "kafka://host:9092",
        "kafka://host:9092/",
        "kafka://host:9092/a/b",
        "kafka://host:9092/a b",
        "kafka://host:9092/..",
        "kafka://host:port/events",
        "kafka://a:1,,b:c/events",
        "kafka://host:9092/" + "x" * 250,
    ],
)
def test_what_is_no_address_is_refused_with_the_form(url) -> None:
    with pytest.raises(RequestError) as caught:
        Address.parse(url)
    assert caught.value.hint


def test_a_password_in_an_address_is_refused_and_not_quoted() -> None:
    with pytest.raises(RequestError, match="password") as caught:
        open_sink("kafka://me:hunter2hunter2@host:9092/events")
    assert "hunter2" not in f"{caught.value} {caught.value.context}"
    assert "SXDASK_KAFKA_CONFIG" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name", ["sasl.password", "ssl.key.pem", "ssl.key.password", "sasl.oauthbearer.config", "token"]
)
def test_a_secret_among_the_options_is_refused_and_not_quoted(name) -> None:
    with pytest.raises(RequestError, match="holds a secret") as caught:
        KafkaOptions.of({name: "hunter2hunter2"})
    assert "hunter2" not in f"{caught.value} {caught.value.context}"


def test_options_are_ours_or_properties_with_a_dot() -> None:
    found = KafkaOptions.of(
        {"message_bytes": 5_000, "socket.keepalive.enable": True, "linger.ms": 5}
    )
    assert found.message_bytes == 5_000
    assert found.properties == (("linger.ms", "5"), ("socket.keepalive.enable", "true"))
    with pytest.raises(RequestError, match="no option 'partition'") as caught:
        KafkaOptions.of({"partition": 3})
    assert "'partitions'" in str(caught.value.hint)


@pytest.mark.parametrize(
    "options", [{"partitions": 0}, {"message_bytes": 100}, {"timeout_s": 0}, {"timeout_s": -1.0}]
)
def test_impossible_options_are_refused(options) -> None:
    with pytest.raises(RequestError, match="cannot be used"):
        KafkaOptions.of(options)


def test_options_may_be_text_of_a_command_line() -> None:
    given = {"partitions": "3", "timeout_s": "2.5", "shared": "True", "transactions": "0"}
    found = KafkaOptions.of(given)
    assert (found.partitions, found.timeout_s, found.shared) == (3, 2.5, True)
    assert found.transactions is False
    for name, value in {"partitions": "many", "shared": "maybe"}.items():
        with pytest.raises(RequestError, match=value):
            KafkaOptions.of({name: value})


def test_properties_of_a_file_are_read_where_they_are_needed(tmp_path, monkeypatch) -> None:
    path = tmp_path / "client.properties"
    path.write_text("# mine\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n! old\n")
    wanted = {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    assert KafkaOptions.of({"config": str(path)}).file() == wanted
    assert KafkaOptions().file() == {}
    monkeypatch.setenv("SXDASK_KAFKA_CONFIG", str(path))
    options = KafkaOptions()
    assert options.file() == wanted
    assert "a=b" not in repr(options)


def test_a_file_that_is_missing_or_malformed_is_named_and_not_quoted(tmp_path) -> None:
    path = tmp_path / "client.properties"
    with pytest.raises(RequestError, match=r"client\.properties.*No such file"):
        KafkaOptions.of({"config": str(path)}).file()
    path.write_text("a=1\nhunter2hunter2\n")
    with pytest.raises(RequestError, match="line 2") as caught:
        KafkaOptions.of({"config": str(path)}).file()
    assert "hunter2" not in f"{caught.value} {caught.value.context}"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RequestError, match="it is no text"):
        KafkaOptions.of({"config": str(path)}).file()


def test_the_scheme_chooses_the_sink(tmp_path) -> None:
    assert isinstance(open_sink(tmp_path / "out"), FilesSink)
    assert isinstance(open_sink(f"file://{tmp_path}/out"), FilesSink)
    assert [sink_name(url) for url in ("kafka://h/t", "s3://b/p", "memory://x", "C:/out")] == [
        "kafka",
        "files",
        "files",
        "files",
    ]
    with pytest.raises(UnknownLanguageError, match="nothing delivers to kafak://") as caught:
        open_sink("kafak://host/topic")
    assert "'kafka'" in str(caught.value.hint)
    with pytest.raises(RequestError, match="no target"):
        open_sink("")


def test_an_installed_package_may_bring_a_sink_of_its_own(tmp_path, monkeypatch) -> None:
    package = tmp_path / "nats_sink-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: nats-sink\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[sxdask.sinks]\nnats = nats_sink:NatsSink\n")
    (tmp_path / "nats_sink.py").write_text(
        "class NatsSink:\n"
        "    def __init__(self, url, **options):\n"
        "        self.url, self.options = url, options\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    sink = open_sink("nats://host/subject", storage_options={"a": 1})
    assert type(sink).__name__ == "NatsSink"
    assert vars(sink) == {
        "url": "nats://host/subject",
        "options": {"format_name": "arrow", "overwrite": False, "storage_options": {"a": 1}},
    }


def test_without_the_package_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", None)
    with pytest.raises(MissingExtraError, match="confluent-kafka") as caught:
        broker.confluent()
    assert "sxdask[kafka]" in str(caught.value.hint)


def test_a_topic_is_read_and_never_changed_like_a_folder() -> None:
    store = open_store("kafka://host:9092/events")
    assert store.full("part-00000") == "kafka://host:9092/events/part-00000"
    for change in (
        lambda: store.write("a", b""),
        lambda: store.move("a", "b"),
        lambda: store.remove("a"),
        lambda: store.remove_folder("a"),
    ):
        with pytest.raises(RequestError, match="only appended to"):
            change()
