"""Try the parts of a service one by one, before users do: ``sxdask serve --check``."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import AccessDeniedError, MissingExtraError, SxdaskError, SystemFaultError
from sxdask.service.folder import own_folder
from sxdask.service.from_settings import database_url, oidc_of
from sxdask.service.outside import open_outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sxdask.service.computing import Computing
    from sxdask.service.settings import ServiceSettings

_WORKER_S: Final = 120.0
_LOGIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """How one part is, for a line. Without `error` it is well, or not asked for."""

    part: str
    text: str
    error: SxdaskError | None = None
    is_off: bool = False

    @property
    def mark(self) -> str:
        """``ok``, ``off`` or ``FAIL``."""
        return "FAIL" if self.error is not None else "off" if self.is_off else "ok"


def check(settings: ServiceSettings) -> Iterator[Found]:
    """Try each part as the service would use it; what was made for it is removed."""
    with ExitStack() as stack:
        held = _tried("folder", lambda: str(stack.enter_context(own_folder(settings.data_dir))))
        yield held
        yield _tried("address", lambda: _listen(settings))
        if held.error is not None:
            return
        yield _tried("database", lambda: _database(settings))
        yield from _outside(settings, stack)
        for scheme in settings.schemes:
            yield _finder(scheme, wanted="schemes" in settings.model_fields_set)
        if settings.oidc_url is not None:
            yield _tried("login", lambda: _login(settings))


def _tried(part: str, call: Callable[[], str]) -> Found:
    try:
        return Found(part, call())
    except SxdaskError as error:
        return Found(part, " ".join(str(error).split()), error)


def _listen(settings: ServiceSettings) -> str:
    from sxdask.service.listening import listening

    with listening(settings.host, settings.port):
        return f"{settings.host}:{settings.port} is free"


def _database(settings: ServiceSettings) -> str:
    from sxdask.service.database.connect import open_database, shown
    from sxdask.service.database.migrate import pending

    database = open_database(database_url(settings))
    try:
        left = pending(database)
        text = f"{len(left)} migrations to do at the start" if left else "up to date"
        return f"{shown(database)}, {text}"
    finally:
        database.dispose()


def _outside(settings: ServiceSettings, stack: ExitStack) -> Iterator[Found]:
    """Try object store and cluster, and whether workers may write to the store."""
    try:
        objects, computing = open_outside(settings, stack)
    except SxdaskError as error:
        yield Found("outside", " ".join(str(error).split()), error)
        return
    yield _tried("cluster", computing.summary)
    for name, store in objects.items():
        yield _tried(name, store.check)
        yield _tried("workers", partial(_written_by_worker, computing, store))


def _written_by_worker(computing: Computing, store: Any) -> str:
    """Let a worker write to the store with the credentials that it finds."""
    request_id = str(uuid.uuid4())
    store.create(request_id)
    try:
        target, options = store.target(request_id), dict(store.storage_options())
        future = computing.client().submit(write_check, target, options, pure=False)
        try:
            future.result(timeout=_WORKER_S)
        except TimeoutError:
            raise SystemFaultError(
                f"no worker has written after {_WORKER_S:g} s", hint="see whether there are any"
            ) from None
        if "check" not in store.sizes(request_id):
            raise SystemFaultError(
                f"what a worker wrote to {target} is not there",
                hint="mount the same volume on the service and on all workers",
            )
        return f"write to {store.describe()}"
    finally:
        with suppress(SxdaskError):
            store.remove(request_id)


def write_check(target: str, options: dict[str, Any]) -> None:
    """Write a small object; runs on a worker."""
    from sxdask.deliver.store import open_store

    open_store(target, options).write("check", b"sxdask")


def _finder(scheme: str, *, wanted: bool) -> Found:
    from sxdask.core.settings import load_settings
    from sxdask.datasets.finder import CheckedFinder, make_finder

    try:
        finder = make_finder(scheme, load_settings())
        if isinstance(finder, CheckedFinder):
            return Found(scheme, finder.check())
    except (MissingExtraError, AccessDeniedError) as error:  # not installed, or not configured
        text = " ".join(str(error).split())
        return Found(scheme, text, error) if wanted else Found(scheme, text, is_off=True)
    except SxdaskError as error:
        return Found(scheme, " ".join(str(error).split()), error)
    return Found(scheme, "datasets can be looked up")


def _login(settings: ServiceSettings) -> str:
    import httpx

    provider = oidc_of(settings)
    assert provider is not None  # noqa: S101  its caller asked
    try:
        answer = httpx.get(provider.metadata_url, timeout=_LOGIN_S, follow_redirects=True)
        issuer = answer.raise_for_status().json()["issuer"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise SystemFaultError(
            f"{provider.metadata_url} gives no metadata of a provider: {type(error).__name__}",
            hint="oidc_url ends in /.well-known/openid-configuration",
        ) from error
    return f"{issuer} answers"
