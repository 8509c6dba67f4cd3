"""Put a fresh proxy into its secret: the last step of the CronJob of `proxies`.

A file that is no proxy, or one that ends soon, never replaces one that still
works: the job fails instead, and the next one tries again.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sxdask.core.errors import ClusterError, SxdaskError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY: Final = "x509up"
_LEAST: Final = timedelta(hours=1)
_MOST_BYTES: Final = 1024 * 1024  # what a secret may hold


class Secrets(Protocol):
    """What is asked of the API server: see `sxdask.clusters.kubernetes.access.Access`."""

    def patch_secret(self, name: str, data: Mapping[str, bytes]) -> None:
        """Replace keys of a secret that is there."""


def checked_proxy(content: bytes, now: datetime) -> datetime:
    """Return until when a proxy is valid: its first certificate or the earliest of the chain.

    Raises
    ------
    ClusterError
        If there is no certificate with a private key of its own, or it ends
        within the hour. The content is not repeated.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if len(content) > _MOST_BYTES:
        raise ClusterError("the new proxy is larger than a secret may be")
    try:
        chain = x509.load_pem_x509_certificates(content)
        key = load_pem_private_key(content, password=None)
    except (TypeError, ValueError):
        raise ClusterError(
            "the command has not made a proxy: no certificate with its private key",
            hint="see the log of the container 'make' of this pod",
        ) from None
    if key.public_key() != chain[0].public_key():
        raise ClusterError("the private key of the new proxy is not that of its certificate")
    end = min(certificate.not_valid_after_utc for certificate in chain)
    if end - now < _LEAST:
        raise ClusterError(
            f"the new proxy ends at {end:%Y-%m-%d %H:%M} UTC, which is too soon to be of use",
            hint="renew the certificate in ~/.globus and run sxdask cluster init again",
        )
    return end


def refresh(access: Secrets, secret: str, path: Path, now: datetime) -> datetime:
    """Replace the proxy in `secret` by the one at `path`; return until when it is valid.

    Raises
    ------
    ClusterError
        If it is no proxy, or Kubernetes refuses; the secret is as it was then.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise ClusterError(f"the command has left no proxy at {path}") from None
    end = checked_proxy(content, now)
    access.patch_secret(secret, {KEY: content})
    return end


def main(secret: str) -> None:
    """Refresh the secret of this namespace from the file that ``X509_USER_PROXY`` names."""
    from sxdask.clusters.kubernetes.access import Access

    try:
        end = refresh(Access(), secret, Path(os.environ["X509_USER_PROXY"]), datetime.now(UTC))
    except SxdaskError as error:  # in one line: the last of the log is what a user is shown
        raise SystemExit(
            f"{error.problem}; {error.hint}" if error.hint else error.problem
        ) from None
    sys.stdout.write(f"{secret}: valid until {end:%Y-%m-%d %H:%M} UTC\n")


if __name__ == "__main__":
    main(sys.argv[1])
