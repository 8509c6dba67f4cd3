"""Who may ask a Flight server, for what, and over what: tokens, tickets, roots, TLS."""

from __future__ import annotations

import functools
import json
from typing import Any, cast

import pytest
import trustme
from pyarrow import flight

import sxdask as sx
from sxdask.core.errors import (
    AccessDeniedError,
    NotAuthorizedError,
    RequestError,
    RequestTooLargeError,
    SystemFaultError,
)
from sxdask.service.flight.auth import Tokens
from sxdask.service.flight.lifetime import require_safe
from sxdask.service.flight.roots import Roots
from sxdask.service.flight.tickets import Place, Signer
from tests.flights import ALICE, BOB, PARTITION_BYTES, TOKENS, flight_server, parts

SELECTION = {"where": "MET_pt > 50", "select": ["MET_pt"]}
REQUEST = json.dumps(
    {"selection": SELECTION, "dataset": "nano.root", "partition_bytes": PARTITION_BYTES}
)
COMMAND = flight.FlightDescriptor.for_command(REQUEST)


def bearer(token: str) -> flight.FlightCallOptions:
    return flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {token}".encode())])


@pytest.fixture(scope="module")
def guarded(nanoaod):
    with flight_server(nanoaod.parent, tokens=Tokens(TOKENS)) as running:
        yield running.url


def ask(url: str, token: str | None = None, **options):
    with sx.connect(url, token=token, **options) as remote:
        return remote.request("native", SELECTION, dataset="nano.root").to_table().num_rows


def test_a_known_token_is_let_in(guarded, monkeypatch):
    assert ask(guarded, ALICE) > 0
    monkeypatch.setenv("SXDASK_FLIGHT_TOKEN", BOB)
    assert ask(guarded) > 0


@pytest.mark.parametrize("token", [None, "wrong-0123456789abcdef", ALICE[:-1], f"{ALICE}x"])
def test_others_are_refused_at_every_call(guarded, token):
    with pytest.raises(NotAuthorizedError, match="token") as caught:
        ask(guarded, token)
    assert str(token) not in str(caught.value)
    options = bearer(token) if token else flight.FlightCallOptions()
    with flight.connect(guarded) as client:
        for call in (
            lambda: client.get_flight_info(COMMAND, options),
            lambda: client.get_schema(COMMAND, options),
            lambda: client.do_get(flight.Ticket(b"x"), options).read_all(),
            lambda: list(client.list_flights(options=options)),
            lambda: list(client.do_action("health", options)),
            lambda: client.list_actions(options),
        ):
            # pyarrow's get_schema tells no kind of error from another.
            with pytest.raises((flight.FlightUnauthenticatedError, OSError), match=r"\[SX109\]"):
                call()


@pytest.mark.parametrize("header", [b"Basic !!", b"Basic", b"Bearer", b"Token x"])
def test_headers_that_are_none_are_refused(guarded, header):
    options = flight.FlightCallOptions(headers=[(b"authorization", header)])
    with flight.connect(guarded) as client, pytest.raises(flight.FlightUnauthenticatedError):
        list(client.do_action("health", options))


def test_a_client_that_knows_user_and_password_alone_gives_the_token_as_password(guarded):
    with flight.connect(guarded) as client:
        header = client.authenticate_basic_token("anything", ALICE)
        options = flight.FlightCallOptions(headers=[header])
        assert client.get_flight_info(COMMAND, options).endpoints
        with pytest.raises(flight.FlightUnauthenticatedError):
            client.authenticate_basic_token("alice", "wrong-0123456789abcdef")


def test_tickets_and_lists_are_those_of_one_client(guarded):
    with flight.connect(guarded) as client:
        info = client.get_flight_info(COMMAND, bearer(ALICE))
        ticket = info.endpoints[0].ticket
        assert client.do_get(ticket, bearer(ALICE)).read_all().num_rows > 0
        with pytest.raises(flight.FlightUnauthorizedError, match="another client"):
            client.do_get(ticket, bearer(BOB)).read_all()
        theirs = [item.app_metadata for item in client.list_flights(options=bearer(ALICE))]
        assert info.app_metadata in theirs
        mine = [item.app_metadata for item in client.list_flights(options=bearer(BOB))]
        assert info.app_metadata not in mine


def test_a_forged_ticket_opens_nothing(guarded, nanoaod):
    with flight.connect(guarded) as client:
        ticket = client.get_flight_info(COMMAND, bearer(ALICE)).endpoints[0].ticket.ticket
        changed = ticket.replace(b'"index":0', b'"index":1')
        assert changed != ticket
        signer = Signer(b"k" * 32)
        request = signer.packed(b'{"dataset":"/etc/passwd"}')
        place = Place("", "f00d", 0, 0)
        made = signer.seal(request, place, owner="alice", expires=signer.expiry())
        for forged in (changed, made, ticket[:-1], b"", b"x"):
            with pytest.raises(flight.FlightUnauthorizedError, match="none of this server's"):
                client.do_get(flight.Ticket(forged), bearer(ALICE)).read_all()


def test_an_expired_ticket_is_renewed_by_this_client_and_told_to_others(nanoaod):
    with flight_server(nanoaod.parent, signer=Signer(ttl_s=-1)) as running:
        with flight.connect(running.url) as client:
            ticket = client.get_flight_info(COMMAND).endpoints[0].ticket
            with pytest.raises(flight.FlightUnauthorizedError, match="expired"):
                client.do_get(ticket).read_all()
        with pytest.raises(NotAuthorizedError, match="expired"):  # once, not for ever
            ask(running.url)


@pytest.mark.parametrize(
    "dataset",
    ["/etc/passwd", "../x.root", "~/x.root", "http://127.0.0.1:1/x.root", "s3://b/x.root"],
)
def test_files_elsewhere_are_refused(guarded, dataset):
    with sx.connect(guarded, token=ALICE) as remote:
        query = remote.request("native", SELECTION, dataset=dataset)
        with pytest.raises(AccessDeniedError, match="may not read"):
            query.explain()
        with pytest.raises(AccessDeniedError, match="may not read"):
            query.to_table()


def test_a_link_that_leads_out_is_refused_whether_it_is_named_or_found(tmp_path, nanoaod):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/link.root").symlink_to(nanoaod)
    with flight_server(tmp_path) as running, sx.connect(running.url) as remote:
        for dataset in ("sub/link.root", "sub/*.root", "sub", "**/*.root"):
            with pytest.raises(AccessDeniedError, match="may not read") as caught:
                _ = remote.request("native", SELECTION, dataset=dataset).schema
            assert str(nanoaod) not in str(caught.value)


def test_a_ticket_is_no_way_around_roots_that_were_narrowed(tmp_path, nanoaod):
    signer = Signer(b"k" * 32)
    with (
        flight_server(nanoaod.parent, signer=signer) as running,
        flight.connect(running.url) as client,
    ):
        command = json.dumps({"selection": SELECTION, "dataset": str(nanoaod)})
        descriptor = flight.FlightDescriptor.for_command(command)
        ticket = client.get_flight_info(descriptor).endpoints[0].ticket
    with (
        flight_server(tmp_path, signer=signer) as running,
        flight.connect(running.url) as client,
        pytest.raises(flight.FlightUnauthorizedError, match="may not read"),
    ):
        client.do_get(ticket).read_all()


def test_urls_are_read_where_they_are_allowed(nanoaod, range_http_server):
    files = range_http_server(nanoaod.parent)
    with (
        flight_server(nanoaod.parent, roots=Roots([files.url])) as running,
        sx.connect(running.url) as remote,
    ):
        query = remote.request("native", SELECTION, dataset=f"{files.url}/nano.root")
        here = sx.dataset(nanoaod).where("MET_pt > 50").select("MET_pt").compute()
        assert query.to_awkward().to_list() == here.to_list()
        before = len(files.requests)
        other = f"{files.url.replace('127.0.0.1', 'localhost')}/nano.root"
        for name in (other, "nano.root", f"{files.url}/%2e%2e/nano.root"):
            with pytest.raises(AccessDeniedError):
                remote.request("native", SELECTION, dataset=name).to_table()
        assert len(files.requests) == before


def test_an_oversize_command_is_refused(guarded):
    with sx.connect(guarded, token=ALICE) as remote:
        query = remote.request("native", {"where": "x" * 2**20}, dataset="nano.root")
        with pytest.raises(RequestTooLargeError, match="allowed"):
            _ = query.schema


DEEP: Any = functools.reduce(lambda inner, _: [inner], range(900), cast("Any", "x"))
HOSTILE: list[dict[str, Any]] = [
    {"dataset": "\ud800.root"},
    {"dataset": {"nano.root": "\ud800"}},
    {"dataset": "a" * 5_000},
    {"dataset": "a/" * 500_000},
    {"dataset": ["[a" * 2_049]},
    {"dataset": "[a"},
    {"dataset": []},
    {"dataset": "nano.root?files=0"},
    {"language": "files"},
    {"language": "recipe", "selection": "text"},
    {"selection": DEEP},
    {"selection": {"where": "1" * 10_000}},
    {"language": "tcut", "selection": "(" * 3_000},
    {"language": "uproot-raw", "selection": "[" * 3_000},
    {"output": "other"},
    {"partition_bytes": True},
]


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"null",
        b"\xff",
        b'{"dataset": NaN}',
        b'{"dataset": ' + b"[" * 100_000,
        *(json.dumps({"dataset": "nano.root", **keys}).encode() for keys in HOSTILE),
    ],
    ids=lambda command: repr(command[:40]),
)
def test_hostile_commands_are_refused_in_one_sentence_of_the_users_fault(guarded, command, caplog):
    with flight.connect(guarded) as client:
        for call in (
            lambda: client.get_flight_info(
                flight.FlightDescriptor.for_command(command), bearer(ALICE)
            ),
            lambda: (
                list(client.do_action(flight.Action("drop", command), bearer(ALICE)))
                and list(client.do_action(flight.Action("schema", command), bearer(ALICE)))
            ),
        ):
            with pytest.raises(flight.FlightServerError, match=r"\[SX\d{3}\]") as caught:
                call()
            told = json.loads(caught.value.extra_info)
            assert told["fault"] == "user"
            assert "Traceback" not in str(caught.value)
    assert caplog.records == []  # nothing that looks like a mistake of the server


def test_encrypted_connections(nanoaod, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(item.bytes() for item in certificate.cert_chain_pems)
    tls = (chain, certificate.private_key_pem.bytes())
    roots = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(roots)
    tokens = Tokens(TOKENS)
    with flight_server(nanoaod.parent, tokens=tokens, tls=tls) as running:
        assert running.url.startswith("grpc+tls://")
        assert ask(running.url, ALICE, tls_roots=roots) > 0
        with pytest.raises(SystemFaultError, match="does not answer"):
            ask(running.url, ALICE, retry_s=0.2)  # an authority that nobody knows
        with pytest.raises(SystemFaultError, match="does not answer"):
            ask(running.url.replace("+tls", ""), ALICE, retry_s=0.2)


def test_other_machines_are_let_in_with_a_token_and_encryption_only(tmp_path):
    tokens, tls = Tokens(TOKENS), (b"certificate", b"key")
    bare = parts(tmp_path)
    for host in ("127.0.0.1", "localhost", "::1", "[::1]"):
        require_safe(host, bare, insecure=False)
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org"):  # noqa: S104 - refused
        for half in (bare, parts(tmp_path, tokens=tokens), parts(tmp_path, tls=tls)):
            with pytest.raises(RequestError, match="lets other machines in"):
                require_safe(host, half, insecure=False)
        require_safe(host, parts(tmp_path, tokens=tokens, tls=tls), insecure=False)
        require_safe(host, bare, insecure=True)


@pytest.mark.parametrize(
    "url", ["", "localhost:5005", "http://host:1", "grpc://", "grpc://me:pw@host:1"]
)
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(RequestError, match="address") as caught:
        sx.connect(url)
    assert "pw" not in str(caught.value)


def test_a_server_that_is_not_there_is_an_error_of_the_system():
    with (
        sx.connect("grpc://127.0.0.1:1", retry_s=0.3) as remote,
        pytest.raises(SystemFaultError, match="does not answer health"),
    ):
        remote.health()
