"""The ``servicex.yaml`` with which the official client finds this service."""

from __future__ import annotations

from typing import Final

NAME: Final = "sxdask"
_OWN: Final = "    # token: your own, from {url}/profile\n"


def client_config(url: str, *, auth: bool) -> str:
    """Return the text of a ``servicex.yaml`` for the service at `url`.

    Examples
    --------
    >>> print(client_config("http://127.0.0.1:5000", auth=False))
    api_endpoints:
      - endpoint: http://127.0.0.1:5000
        name: sxdask
    default_endpoint: sxdask
    <BLANKLINE>
    """
    token = _OWN.format(url=url) if auth else ""
    return (
        f"api_endpoints:\n  - endpoint: {url}\n    name: {NAME}\n{token}default_endpoint: {NAME}\n"
    )
