"""What a server says of a request: schema, partitions with their tickets, facts as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import flight

from sxdask.core.errors import RequestTooLargeError
from sxdask.deliver.encode import PREFIX

if TYPE_CHECKING:
    from sxdask.service.flight.prepared import OutputTables, Partition, Prepared
    from sxdask.service.flight.tickets import Signer

_MOST_BYTES: Final = 64 * 1024 * 1024


def flight_info(
    prepared: Prepared, output: OutputTables, signer: Signer, owner: str
) -> flight.FlightInfo:
    """Return the information on one output, with a ticket for each partition.

    Raises
    ------
    RequestTooLargeError
        If there are so many partitions that nobody could receive the answer.
    """
    packed = signer.packed(prepared.request.canonical)
    if len(packed) * len(output.partitions) > _MOST_BYTES:
        raise RequestTooLargeError(
            f"the request has {len(output.partitions)} partitions, and their tickets would take"
            f" more than {_MOST_BYTES >> 20} MiB",
            hint="ask for larger partitions ('partition_bytes') or fewer files at once",
        )
    expires = signer.expiry()
    until = pa.scalar(round(expires * 1e6), pa.timestamp("us", "UTC")).cast(
        pa.timestamp("ns", "UTC")
    )
    endpoints = [
        flight.FlightEndpoint(
            signer.seal(packed, item.place, owner=owner, expires=expires),
            [],  # the server that was asked
            until,
            json.dumps(item.facts),
        )
        for item in output.partitions
    ]
    return _info(prepared, output, endpoints)


def short_info(prepared: Prepared, output: OutputTables) -> flight.FlightInfo:
    """Return the information on one output without its partitions, for lists."""
    return _info(prepared, output, [])


def fingerprint_of(info: flight.FlightInfo) -> str:
    """Return the name of the plan that an information is about."""
    return str(json.loads(info.app_metadata)["fingerprint"])


def facts_of(prepared: Prepared, output: OutputTables) -> dict[str, Any]:
    """Return what the metadata of an information says."""
    request = prepared.request
    return {
        "fingerprint": prepared.fingerprint,
        "explain": prepared.explain_digest,
        "language": request.language,
        "title": request.title,
        "output": output.name,
        "outputs": list(prepared.outputs),
        "partitions": len(output.partitions),
        "pruned": [item.place.key for item in output.pruned],
        "entries": sum(item.piece.num_entries for item in output.partitions),
    }


def stream_schema(partition: Partition) -> pa.Schema:
    """Return the schema of one partition's stream: what is true of it alone is in the metadata."""
    known = dict(partition.schema.metadata or {})
    known |= {f"{PREFIX}{key}".encode(): text for key, text in partition.part.facts().items()}
    return partition.schema.with_metadata(known)


def _info(
    prepared: Prepared, output: OutputTables, endpoints: list[flight.FlightEndpoint]
) -> flight.FlightInfo:
    request = prepared.request.model_copy(update={"output": output.name or None})
    command = request.model_dump_json(exclude_defaults=True).encode()
    rows = -1 if output.rows is None else output.rows
    return flight.FlightInfo(
        output.schema,
        flight.FlightDescriptor.for_command(command),
        endpoints,
        rows,
        -1,
        True,  # noqa: FBT003 - endpoints are in the order of the dataset
        json.dumps(facts_of(prepared, output)),
    )
