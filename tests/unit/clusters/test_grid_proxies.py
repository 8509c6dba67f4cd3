"""Certificates of users and proxies made of them: what is refused before it does harm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sxdask.clusters.kubernetes.grid import grid_certificate, needs_password
from sxdask.clusters.kubernetes.refresh import checked_proxy, refresh
from sxdask.core.errors import ClusterError, FileMissingError, RequestError

NOW = datetime.now(UTC)
PASSWORD = "correct horse"  # noqa: S105 - of a key made for this test


@pytest.fixture(scope="module")
def issued():
    """Return a certificate of a user."""
    return trustme.CA().issue_cert("user@example.org", not_after=NOW + timedelta(days=2))


@pytest.fixture
def globus(issued, tmp_path):
    """Return a folder as ~/.globus."""
    (tmp_path / "usercert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    (tmp_path / "userkey.pem").write_bytes(issued.private_key_pem.bytes())
    return tmp_path


def proxy(issued):
    return issued.cert_chain_pems[0].bytes() + issued.private_key_pem.bytes()


class Secrets:
    """What stands for the API server: it keeps what is put into secrets."""

    def __init__(self):
        self.kept = {}

    def patch_secret(self, name, data):
        self.kept[name] = data


def test_a_proxy_is_stored_with_its_end(issued, tmp_path):
    path, secrets = tmp_path / "x509up", Secrets()
    path.write_bytes(proxy(issued))
    end = refresh(secrets, "grid-proxy", path, NOW)
    assert abs(end - NOW - timedelta(days=2)) < timedelta(seconds=2)
    assert secrets.kept == {"grid-proxy": {"x509up": proxy(issued)}}


@pytest.mark.parametrize(
    "content", [b"", b"sorry", b"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_proxy_never_replaces_one(content, tmp_path):
    path, secrets = tmp_path / "x509up", Secrets()
    path.write_bytes(content)
    with pytest.raises(ClusterError, match="has not made a proxy"):
        refresh(secrets, "grid-proxy", path, NOW)
    assert not secrets.kept


def test_a_command_that_leaves_nothing_is_told(tmp_path):
    with pytest.raises(ClusterError, match="has left no proxy"):
        refresh(Secrets(), "grid-proxy", tmp_path / "none", NOW)


def test_a_certificate_without_its_key_is_no_proxy(issued):
    with pytest.raises(ClusterError, match="no certificate with its private key"):
        checked_proxy(issued.cert_chain_pems[0].bytes(), NOW)


def test_the_key_of_another_certificate_is_refused(issued):
    other = trustme.CA().issue_cert("other@example.org")
    mixed = issued.cert_chain_pems[0].bytes() + other.private_key_pem.bytes()
    with pytest.raises(ClusterError, match="not that of its certificate"):
        checked_proxy(mixed, NOW)


def test_a_proxy_that_ends_within_the_hour_is_refused(issued):
    with pytest.raises(ClusterError, match="too soon"):
        checked_proxy(proxy(issued), NOW + timedelta(days=2) - timedelta(minutes=30))


def test_a_certificate_is_read_and_not_shown(globus):
    grid = grid_certificate(globus)
    assert set(grid.data) == {"usercert.pem", "userkey.pem"}
    assert "BEGIN" not in repr(grid)


def test_a_key_with_a_password_needs_it(globus, issued):
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    (globus / "userkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    assert needs_password(globus)
    assert grid_certificate(globus, PASSWORD).data["password"] == PASSWORD.encode()
    with pytest.raises(RequestError, match="the password is wrong") as caught:
        grid_certificate(globus, "wrong")
    assert "wrong" not in str(caught.value.context)


def test_a_certificate_that_has_ended_is_refused(tmp_path):
    old = trustme.CA().issue_cert("user@example.org", not_after=NOW - timedelta(days=1))
    (tmp_path / "usercert.pem").write_bytes(old.cert_chain_pems[0].bytes())
    (tmp_path / "userkey.pem").write_bytes(old.private_key_pem.bytes())
    with pytest.raises(RequestError, match="ended on"):
        grid_certificate(tmp_path)


def test_a_missing_folder_is_told_with_the_option(tmp_path):
    with pytest.raises(FileMissingError, match=r"userkey\.pem") as caught:
        needs_password(tmp_path)
    assert "--globus" in (caught.value.hint or "")
