"""``kafka://host:port[,host:port]/topic``, and the options that go with it.

Two kinds of option in one mapping: ours, and properties of librdkafka, which
have a dot in their name. Properties that are secret are not taken from it,
because it travels with the tasks: they belong into a properties file that
every process reads for itself.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from sxdask.core.errors import RequestError, close_names

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_VARIABLE = "SXDASK_KAFKA_CONFIG"
"""Names a properties file where the option ``config`` does not."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's own rule (org.apache.kafka Topic.java)
_SECRET = re.compile(
    r".*(passw|secret|token|jaas|credential|\.key\.|\.pem|oauthbearer).*", re.IGNORECASE
)
_SHAPE = "kafka://host:9092,host:9092/topic"


@dataclass(frozen=True, slots=True)
class Address:
    """Which brokers, which topic; `fingerprint` picks one of several deliveries in it."""

    servers: str
    topic: str
    fingerprint: str = ""

    @property
    def location(self) -> str:
        """The address as text."""
        return f"kafka://{self.servers}/{self.topic}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an address.

        Raises
        ------
        RequestError
            If it is not of this form, or holds a user or a password.

        Examples
        --------
        >>> Address.parse("kafka://a:9092,b:9092/events").servers
        'a:9092,b:9092'
        """
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise RequestError(
                "a Kafka address holds a user or a password, which would be shown and logged",
                hint=f"write {_SHAPE!r}, and put credentials into the file of {CONFIG_VARIABLE}",
            )
        servers = [item for item in parts.netloc.split(",") if item]
        topic = parts.path.strip("/")
        usable = all(
            re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:/\[\]]+)(:\d{1,5})?", s) for s in servers
        )
        if parts.scheme != "kafka" or not servers or not usable:
            raise RequestError(f"{url!r} does not name a Kafka broker", hint=f"write {_SHAPE!r}")
        if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
            raise RequestError(
                f"{topic!r} is no name of a Kafka topic",
                hint="use letters, digits, '.', '_' and '-', at most 249 of them",
            )
        query = parse_qs(parts.query)
        return cls(",".join(servers), topic, query.get("fingerprint", [""])[0])


@dataclass(frozen=True, slots=True)
class KafkaOptions:
    """How to talk to a broker and to lay out a topic.

    Parameters
    ----------
    partitions
        Partitions of a topic that has to be made. The first holds
        announcements and manifests, the others hold data.
    message_bytes
        Largest message; larger partitions of a result become several. It must
        be below the ``message.max.bytes`` of the broker.
    transactions
        One transaction for each try of a partition, so that readers with
        ``isolation.level=read_committed`` see all of it or nothing. None: if
        the broker can.
    timeout_s
        How long a broker may be silent before a try fails.
    shared
        Leave deliveries of other requests in the topic valid.
    config
        Properties file, on every machine; None for that of the environment.
    properties
        Of librdkafka, without secrets.
    """

    partitions: int = 4
    message_bytes: int = 900_000
    transactions: bool | None = None
    timeout_s: float = 30.0
    shared: bool = False
    config: str | None = None
    properties: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> Self:
        """Return the options in `values`.

        Raises
        ------
        RequestError
            If an option is unknown or impossible, or a property is secret.
        """
        own: dict[str, Any] = {}
        properties: dict[str, str] = {}
        names = [name for name in cls.__dataclass_fields__ if name != "properties"]
        for name, value in (values or {}).items():
            if _SECRET.fullmatch(name):
                raise RequestError(
                    f"storage_options holds a secret ({name!r}), which would travel in the graph",
                    hint=f"put it into a properties file and its path into {CONFIG_VARIABLE},"
                    " for the client and the workers",
                )
            if "." in name:
                properties[name] = str(value).lower() if isinstance(value, bool) else str(value)
            elif name in names:
                own[name] = _value(name, value)
            else:
                raise RequestError(
                    f"Kafka has no option {name!r}",
                    hint=close_names(name, names) or f"there is {', '.join(names)}",
                )
        found = cls(**own, properties=tuple(sorted(properties.items())))
        if found.partitions < 1 or found.message_bytes < 4_000 or found.timeout_s <= 0:
            raise RequestError(
                f"partitions={found.partitions}, message_bytes={found.message_bytes} and "
                f"timeout_s={found.timeout_s} cannot be used together with a topic",
                hint="use at least 1 partition, 4000 bytes and a time above 0 s",
            )
        return found

    def file(self) -> dict[str, str]:
        """Return the properties in the file, read anew: secrets stay in this process.

        Raises
        ------
        RequestError
            If the file cannot be read or a line is no property.
        """
        name = self.config or os.environ.get(CONFIG_VARIABLE)
        if not name:
            return {}
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise RequestError(
                f"the Kafka properties in {name!r} cannot be read: {reason}",
                hint="the file must be readable on the client and on every worker",
                file=name,
            ) from None
        return _parsed(text, name)


def _value(name: str, value: Any) -> Any:
    """Return an option as what it is; a command line gives text."""
    if not isinstance(value, str) or name == "config":
        return value
    if name in {"transactions", "shared"} and value.lower() in {"true", "false", "1", "0"}:
        return value.lower() in {"true", "1"}
    try:
        return {"partitions": int, "message_bytes": int, "timeout_s": float}[name](value)
    except (KeyError, ValueError):
        kind = "true or false" if name in {"transactions", "shared"} else "a number"
        raise RequestError(f"{name} is {value!r}", hint=f"use {kind}") from None


def _parsed(text: str, name: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()  # noqa: PLW2901 - the line without what means nothing
        if not line or line[0] in "#!":
            continue
        key, sign, value = line.partition("=")
        if not sign:  # the line may be half a secret: it is not quoted
            raise RequestError(
                f"line {number} of {name!r} is no property",
                hint="write name=value, one a line",
                file=name,
            )
        found[key.strip()] = value.strip()
    return found
