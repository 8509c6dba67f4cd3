"""Where a browser finds Dask's dashboard, also behind the proxy of JupyterHub."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import dask


def dashboard_link(client: Any) -> str:
    """Return the address of the dashboard of the scheduler of `client`; empty if it has none.

    On a server of JupyterHub the port is reached through the proxy of that server
    (jupyter-server-proxy), unless ``distributed.dashboard.link`` of Dask's
    configuration says otherwise, or the cluster knows a public address.
    """
    link = str(getattr(client, "dashboard_link", None) or "") if client is not None else ""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if not link or not prefix or _configured() or _is_public(client):
        return link
    parts = urlsplit(link)
    if parts.port is None or parts.hostname not in _OWN_HOSTS:
        return link
    return f"{prefix.rstrip('/')}/proxy/{parts.port}/status"


_OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "0.0.0.0", "::1"})  # noqa: S104 - compared with
_DEFAULT = "{scheme}://{host}:{port}/status"


def _configured() -> bool:
    return str(dask.config.get("distributed.dashboard.link", _DEFAULT)) != _DEFAULT


def _is_public(client: Any) -> bool:
    """Return whether the cluster says where its dashboard is, as a gateway does."""
    return bool(getattr(getattr(client, "cluster", None), "gateway", None))
