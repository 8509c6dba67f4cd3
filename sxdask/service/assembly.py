"""A service made of its parts, started in order and stopped in the opposite one."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from sxdask.core.errors import SystemFaultError
from sxdask.service.client_config import client_config
from sxdask.service.folder import own_folder
from sxdask.service.from_settings import (
    database_url,
    lifetimes_of,
    logging_of,
    missing_extra,
    oidc_of,
    policy_of,
)
from sxdask.service.objects.keys import kept_secret
from sxdask.service.outside import OBJECT_STORE, open_outside
from sxdask.service.precedence import Precedence

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

    from sxdask.service.computing import Computing
    from sxdask.service.rest.parts import Parts
    from sxdask.service.settings import ServiceSettings
    from sxdask.service.transforms.engine import DaskEngine

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    """What a started service consists of."""

    app: FastAPI
    parts: Parts
    computing: Computing


class Service:
    """The whole service in this process, but for the socket; a context manager.

    Parameters
    ----------
    settings
        What the operator decided.
    port
        That it listens on, where the settings leave it open.
    """

    def __init__(self, settings: ServiceSettings, *, port: int | None = None) -> None:
        self.settings = settings
        scheme = "https" if settings.tls_cert else "http"
        host = _bracketed(settings.host)
        self.url = f"{scheme}://{host}:{settings.port if port is None else port}"
        self._open = ExitStack()
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def public_url(self) -> str:
        """Where users reach it, without a slash at the end."""
        return self.settings.public_url or self.url

    @property
    def client_file(self) -> Path:
        """The ``servicex.yaml`` for its users, written as it starts."""
        return self.settings.data_dir / "servicex.yaml"

    @property
    def app(self) -> FastAPI:
        """The web application of a service that was started."""
        return self._started.app

    @property
    def parts(self) -> Parts:
        """The parts that its routes work with."""
        return self._started.parts

    @property
    def computing(self) -> Computing:
        """Its Dask cluster."""
        return self._started.computing

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the service was not started")
        return self._running

    def start(self) -> None:
        """Start every part; if one does not start, those before it are stopped.

        Raises
        ------
        SxdaskError
            With what to do about it.
        """
        if self._running is not None:
            return
        with ExitStack() as stack:
            self._running = self._build(stack)
            self.client_file.write_text(
                client_config(self.public_url, auth=self.settings.auth), encoding="utf-8"
            )
            self._open = stack.pop_all()
        _log.info("the service is ready at %s", self.url)

    def stop(self) -> None:
        """Stop every part; what was asked for and is not finished goes on with the next start."""
        self._running = None
        self._open.close()

    def _build(self, stack: ExitStack) -> _Running:
        try:
            from sxdask.service.auth.tokens import Tokens
            from sxdask.service.database.connect import open_database
            from sxdask.service.database.migrate import upgrade
            from sxdask.service.database.store import SqlStore
            from sxdask.service.database.users import Users
            from sxdask.service.pages.routes import add_pages
            from sxdask.service.rest.app import make_app
            from sxdask.service.rest.parts import Parts
            from sxdask.service.transforms.engine import DaskEngine
            from sxdask.service.transforms.housekeeping import Housekeeping
            from sxdask.service.transforms.lookups import Lookups
        except ImportError as error:
            raise missing_extra(error) from error

        settings, folder = self.settings, stack.enter_context(own_folder(self.settings.data_dir))
        logs = stack.enter_context(logging_of(settings))
        database = open_database(database_url(settings))
        stack.callback(database.dispose)
        upgrade(database)
        store, policy = SqlStore(database), policy_of(settings, self.public_url)
        objects, computing = open_outside(settings, stack)
        precedence = Precedence()
        lookups = Lookups(
            store=store,
            wake=lambda: engine.wake(),  # noqa: PLW0108  it is made below
            max_parallel=settings.lookups,
            seconds=settings.lookup_seconds,
            check=policy.places.require_open,
        )
        stack.callback(lookups.stop)
        engine = DaskEngine(
            store=store,
            objects=objects,
            lookups=lookups,
            client=computing.client,
            limits=replace(
                settings.limits, allow_python=settings.allow_python, places=policy.places
            ),
            let_by=precedence.let_by,
        )
        secret = settings.secret("token_secret") or kept_secret(folder / "token-secret")
        own = objects[OBJECT_STORE]  # its keys may have been made just now
        own.ping()  # an operator hears of it now, and not users later
        logs.redaction.hide(secret, own.secret_key, own.client_access().secret_key)
        parts = Parts(
            store=store,
            users=Users(database),
            engine=engine,
            objects=objects,
            tokens=Tokens(secret.encode()),
            policy=policy,
            logs=logs,
            checks={
                "database": lambda: store.transforms(most=1),
                "objects": objects[OBJECT_STORE].ping,
                "cluster": computing.require,
                "engine": lambda: _require_well(engine),
            },
            oidc=oidc_of(settings),
            dask_link=lambda: computing.dashboard,
            precedence=precedence,
        )
        app = make_app(parts)
        add_pages(app)
        engine.start()
        stack.callback(engine.stop)
        housekeeping = Housekeeping(
            store=store,
            objects=objects,
            lifetimes=lifetimes_of(settings),
            also=(lambda _: None) if logs.kept is None else logs.kept.remove,
        )
        housekeeping.start()
        stack.callback(housekeeping.stop)
        return _Running(app, parts, computing)


def _require_well(engine: DaskEngine) -> None:
    if not engine.is_well:
        raise SystemFaultError("the engine does not take its turns", hint="restart the service")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
