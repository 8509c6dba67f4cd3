"""A connection to a Flight server, with calls that survive its restart."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from sxdask.api.remote.protocol import DEFAULT_PORT, TOKEN_VARIABLE, decode_error
from sxdask.core.errors import (
    FileMissingError,
    NotAuthorizedError,
    RequestError,
    SxdaskError,
    SystemFaultError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike
    from types import TracebackType

    from sxdask.api.remote.queries import RemoteQuery
    from sxdask.plan.frontend import Selection

T = TypeVar("T")

_SCHEMES: Final = ("grpc", "grpc+tcp", "grpc+tls", "grpc+unix")
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_FIRST_ANSWER_S: Final = 5.0
"""A server that never answered is not waited for as long as one that was there before."""

# gRPC's own pauses before it connects again grow to two minutes.
_OPTIONS: Final = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Remote:
    """A server that answers requests; made by `sxdask.connect`.

    Calls may be made from any thread. Use it in a ``with`` statement, or close it.
    """

    def __init__(
        self, url: str, *, token: str | None, tls_roots: bytes | None, retry_s: float
    ) -> None:
        from pyarrow import flight

        self.url = url
        self.retry_s = retry_s
        self._has_answered = False
        headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        self._options = flight.FlightCallOptions(headers=headers)
        more = {"tls_root_certs": tls_roots} if tls_roots is not None else {}
        try:
            self._client = flight.connect(url, generic_options=_OPTIONS, **more)
        except (OSError, ValueError) as error:
            raise RequestError(
                f"{url!r} is no address of a server", hint="write grpc://host:port"
            ) from error

    def request(
        self,
        language: str,
        selection: Selection,
        *,
        dataset: str | list[str] | Mapping[str, str | None],
        tree: str | None = None,
        title: str = "",
        partition_bytes: int | None = None,
        **options: Any,
    ) -> RemoteQuery:
        """Ask in one of the request languages over files that the server reads.

        Parameters
        ----------
        language
            Such as ``"func_adl"`` or ``"tcut"``; ``"recipe"`` takes the keys of a recipe.
        selection
            The request in that language: text, or what JSON can say.
        dataset
            Path, pattern, directory or URL as the server sees it, a list of
            them, or a mapping of path to tree.
        tree
            The tree that selections mean when they name none.
        title
            A name for people.
        partition_bytes
            Wanted compressed size of a partition's columns; by default the server's.
        **options
            What the language takes beside its text, as for `sxdask.request`.
        """
        from sxdask.api.remote.queries import RemoteQuery

        if options:
            selection = {"selection": selection, **options}
        command = {"language": language, "dataset": dataset, "selection": selection}
        more = {"tree": tree, "title": title, "partition_bytes": partition_bytes}
        command |= {key: value for key, value in more.items() if value}
        return RemoteQuery(self, command)

    def load(
        self,
        path: str | PathLike[str],
        *,
        dataset: str | list[str] | Mapping[str, str | None] | None = None,
    ) -> RemoteQuery:
        """Return the query of a recipe file of this machine, to be answered by the server.

        Raises
        ------
        RecipeError
            If the file is no recipe.
        """
        from sxdask.api.remote.queries import RemoteQuery
        from sxdask.requests.recipe import load_recipe

        recipe = load_recipe(path).model_dump(exclude_defaults=True, exclude={"deliver"})
        command: dict[str, Any] = {"language": "recipe", "selection": recipe}
        return RemoteQuery(self, command | ({} if dataset is None else {"dataset": dataset}))

    def health(self) -> dict[str, Any]:
        """Return the state of the server: version, workers, streams, memory."""
        found: dict[str, Any] = json.loads(self.action("health"))
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Return what this client's token asked for lately, newest first."""
        infos = self.call(
            lambda: list(self._client.list_flights(options=self._options)), "requests"
        )
        return [json.loads(item.app_metadata) for item in infos]

    def action(self, name: str, body: bytes = b"") -> bytes:
        """Return the answer to an action of the server."""
        from pyarrow import flight

        def act() -> bytes:
            answers = self._client.do_action(flight.Action(name, body), self._options)
            return b"".join(item.body.to_pybytes() for item in answers)

        return self.call(act, name)

    def info(self, command: bytes) -> Any:
        """Return the server's information on a request, a ``pyarrow.flight.FlightInfo``."""
        from pyarrow import flight

        descriptor = flight.FlightDescriptor.for_command(command)
        return self.call(
            lambda: self._client.get_flight_info(descriptor, self._options), "get_flight_info"
        )

    def reader(self, ticket: bytes) -> Any:
        """Return the stream of a ticket; one try."""
        from pyarrow import flight

        return self._client.do_get(flight.Ticket(ticket), self._options)

    def call(
        self, function: Callable[[], T], what: str, is_over: Callable[[], bool] | None = None
    ) -> T:
        """Return what `function` gives; call it again while the server cannot be reached.

        Raises
        ------
        SxdaskError
            The error of the server; or that it cannot be reached in `retry_s` seconds,
            or before `is_over`.
        """
        from pyarrow import flight, lib

        patience = self.retry_s if self._has_answered else min(self.retry_s, _FIRST_ANSWER_S)
        deadline = time.monotonic() + patience
        pause = _FIRST_PAUSE_S
        while True:
            try:
                found = function()
            except (flight.FlightError, lib.ArrowException, OSError) as error:
                ours, again = _understood(error, self.url, what)
                late = time.monotonic() + pause > deadline
                if not again or late or (is_over is not None and is_over()):
                    raise ours from error
            else:
                self._has_answered = True
                return found
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Remote {self.url!r}>"


def connect(
    url: str,
    *,
    token: str | None = None,
    tls_roots: str | PathLike[str] | bytes | None = None,
    retry_s: float = 60.0,
) -> Remote:
    """Connect to a server that was started with ``sxdask serve --flight``.

    Parameters
    ----------
    url
        ``grpc://host:port``, or ``grpc+tls://host:port`` for an encrypted connection.
    token
        Who you are; by default the environment's ``SXDASK_FLIGHT_TOKEN``.
    tls_roots
        Certificates (PEM; bytes, or the name of a file) of the authority that the
        server's is from; by default those that the system trusts.
    retry_s
        How long a call is tried again while the server does not answer, in seconds.

    Returns
    -------
    Remote
        Nothing is sent before it is asked for something.

    Raises
    ------
    RequestError
        If `url` is none.
    """
    scheme, separator, place = url.partition("://")
    if not separator or scheme not in _SCHEMES or not place:
        raise RequestError(
            f"{url!r} is no address of a server",
            hint=f"write grpc://127.0.0.1:{DEFAULT_PORT}, or grpc+tls://host:port",
        )
    if "@" in place:
        raise RequestError(
            "the address of the server carries a name or a password", hint="give token="
        )
    roots = tls_roots
    if roots is not None and not isinstance(roots, bytes):
        try:
            roots = Path(roots).read_bytes()
        except OSError as error:
            raise FileMissingError(f"{str(tls_roots)!r} cannot be read: {error.strerror}") from None
    token = token or os.environ.get(TOKEN_VARIABLE, "").strip() or None
    return Remote(url, token=token, tls_roots=roots, retry_s=retry_s)


def _understood(error: Exception, url: str, what: str) -> tuple[SxdaskError, bool]:
    """Return `error` as one of ours, and whether another try may succeed."""
    from pyarrow import flight

    ours = decode_error(getattr(error, "extra_info", b"") or b"")
    if ours is not None:
        return ours, bool(ours.context.get("transient"))
    first = str(error).partition(". Detail:")[0].partition(". gRPC client debug")[0]
    if isinstance(error, flight.FlightUnauthenticatedError):
        return NotAuthorizedError(f"{url} refuses the call: {first}"[:300]), False
    if isinstance(error, flight.FlightCancelledError):
        return SystemFaultError("the call was cancelled", cancelled=True), False
    # A server that goes away in the middle of an answer, and one that is not there yet.
    lost = isinstance(error, flight.FlightUnavailableError | flight.FlightInternalError | OSError)
    return (
        SystemFaultError(
            f"{url} does not answer {what}: {first}"[:390],
            hint="see whether the server runs there, and whether it wants grpc or grpc+tls",
        ),
        lost,
    )
