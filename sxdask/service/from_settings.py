"""Single parts of a service as its settings say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sxdask.core.errors import MissingExtraError
from sxdask.requests.quantity import parse_bytes
from sxdask.service.objects.s3 import S3Objects

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sxdask.service.auth.oidc import Oidc
    from sxdask.service.auth.places import Places
    from sxdask.service.logs.setup import Logs
    from sxdask.service.objects.seaweed import SeaweedServer
    from sxdask.service.rest.parts import Policy
    from sxdask.service.settings import ServiceSettings
    from sxdask.service.transforms.housekeeping import Lifetimes

_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def missing_extra(error: ImportError) -> MissingExtraError:
    """Return the error for a package of the service that is not installed."""
    return MissingExtraError(
        f"the service needs packages that are not installed: {error}",
        hint="pip install 'sxdask[embedded]'",
    )


def database_url(settings: ServiceSettings) -> str:
    """Return the database, by default SQLite in the data directory."""
    return (
        settings.secret("database_url")
        or f"sqlite:///{(settings.data_dir / 'service.db').absolute()}"
    )


def embedded_store(settings: ServiceSettings, server: SeaweedServer, own_profile: str) -> S3Objects:
    """Return the object store that was started beside the service."""
    return server.objects(
        public_endpoint=settings.s3_public_endpoint,
        signature=settings.s3_signature,
        profile=_of_workers(settings, own_profile),
        own_profile=own_profile,
    )


def own_store(settings: ServiceSettings, own_profile: str) -> S3Objects:
    """Return the object store that the operator has."""
    names = ("access_key", "secret_key", "reader_key", "reader_secret")
    return S3Objects(
        endpoint=str(settings.s3_endpoint),
        public_endpoint=settings.s3_public_endpoint,
        region=settings.s3_region,
        signature=settings.s3_signature,
        profile=_of_workers(settings, own_profile),
        own_profile=own_profile,
        **{name: settings.secret(f"s3_{name}") for name in names},
    )


def _of_workers(settings: ServiceSettings, own_profile: str) -> str:
    """Return the profile that workers know: those of this machine know what the service does."""
    return settings.s3_worker_profile or (own_profile if settings.cluster == "local" else "")


def places_of(settings: ServiceSettings) -> Places:
    """Return what users may have read; on one's own machine the working directory as well."""
    from sxdask.service.auth.places import Places

    roots = settings.roots
    if not roots and settings.is_local and not settings.auth:
        roots = [str(Path.cwd())]
    return Places(tuple(roots), tuple(settings.hosts))


def lifetimes_of(settings: ServiceSettings) -> Lifetimes:
    """Return how long results and lookups are kept."""
    from sxdask.service.transforms.housekeeping import Lifetimes

    kept = timedelta(days=settings.keep_days)
    return Lifetimes(
        results=kept,
        most_bytes=None if settings.keep_bytes is None else parse_bytes(settings.keep_bytes),
        least=min(kept, Lifetimes().least),
        lookups=timedelta(hours=settings.dataset_hours),
        datasets=max(kept, timedelta(days=90)),
        events=kept,
    )


def policy_of(settings: ServiceSettings, public_url: str) -> Policy:
    """Return what routes are told of the operator's decisions."""
    from sxdask.service.rest.parts import Policy

    names: set[str] = set()
    if settings.is_local and not settings.auth:
        host = settings.host.strip("[]").lower()
        names = {host, *_LOOPBACK_NAMES, urlsplit(public_url).hostname or host}
    return Policy(
        auth=settings.auth,
        allow_python=settings.allow_python,
        default_scheme=settings.default_scheme,
        schemes=frozenset(settings.schemes),
        max_files=settings.max_files,
        public_url=public_url,
        places=places_of(settings),
        max_selection_bytes=parse_bytes(settings.max_selection),
        host_names=frozenset(names),
    )


def oidc_of(settings: ServiceSettings) -> Oidc | None:
    """Return the provider that knows users, if there is one."""
    from sxdask.service.auth.oidc import Admission, Oidc

    if settings.oidc_url is None:
        return None
    admins, approved = (
        frozenset(item.lower() if "@" in item else item for item in names)
        for names in (settings.admins, settings.approved)
    )
    return Oidc(
        settings.oidc_url,
        settings.oidc_client_id,
        settings.secret("oidc_client_secret") or None,
        admission=Admission(admins, approved, settings.approve_all),
    )


def logging_of(settings: ServiceSettings) -> AbstractContextManager[Logs]:
    """Return a context in which the service logs as it should, without any of its secrets."""
    from sxdask.service.logs.setup import logging_to
    from sxdask.service.logs.shipping import Destination
    from sxdask.service.settings import SECRETS

    target: Any = None
    if settings.log_url is not None:
        target = Destination(settings.log_url, settings.secret("log_authorization"))
    return logging_to(
        level=settings.log_level,
        folder=settings.data_dir / "logs",
        ship_to=target,
        secrets=[found for name in SECRETS if (found := settings.secret(name))],
    )
