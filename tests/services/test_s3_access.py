"""Who may write to S3 and how that is said: environment, profiles, refusals before any work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import sxdask as sx
from sxdask.cli.main import app
from sxdask.core.errors import AccessDeniedError, RequestError
from sxdask.testing import write_nanoaod

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.seaweedfs import Bucket, S3Server


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> sx.Query:
    path = tmp_path_factory.mktemp("access") / "events.root"
    return sx.dataset(str(write_nanoaod(path, 200))).select("event", "MET_pt")


def partitions_done(query: sx.Query) -> int:
    return query.summary.done


def test_endpoint_and_credentials_come_from_the_environment(query, bucket, s3_environment):
    manifest = query.deliver(bucket.url, scheduler="sync")
    assert bucket.keys() == ["manifest.json", manifest.partitions[0].object]
    assert manifest.to_table().num_rows == 200


def test_the_endpoint_may_be_an_option(query, bucket, s3_environment, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = {"endpoint_url": bucket.server.endpoint}
    manifest = query.deliver(f"{bucket.url}/a", scheduler="sync", storage_options=options)
    assert manifest.to_table().num_rows == 200
    found = sx.Manifest.load(f"{bucket.url}/a", storage_options=options)
    assert found == manifest


@pytest.fixture
def profile(s3_environment: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Put the credentials into a profile of a file, and nothing into the environment."""
    server = s3_environment
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        f"[site]\naws_access_key_id = {server.key}\naws_secret_access_key = {server.secret}\n"
    )
    (tmp_path / "config").write_text(
        f"[profile site]\nregion = us-east-1\nendpoint_url = {server.endpoint}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return "site"


def test_a_profile_of_the_environment_has_everything(query, bucket, profile, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", profile)
    assert query.deliver(bucket.url, scheduler="threads").verify() == []


def test_a_profile_is_named_in_the_options(query, bucket, profile):
    manifest = query.deliver(bucket.url, scheduler="threads", storage_options={"profile": profile})
    assert manifest.verify() == []


def test_without_any_credentials_nothing_is_computed(query, bucket, profile):
    with pytest.raises(AccessDeniedError, match="NoCredentials") as caught:
        query.deliver(
            bucket.url,
            scheduler="sync",
            storage_options={"endpoint_url": bucket.server.endpoint},
        )
    assert "AWS_ACCESS_KEY_ID" in str(caught.value.hint)
    assert partitions_done(query) == 0


def test_a_profile_that_is_not_there_is_named(query, bucket, profile):
    with pytest.raises(AccessDeniedError, match="nowhere"):
        query.deliver(bucket.url, scheduler="sync", storage_options={"profile": "nowhere"})


def test_a_wrong_secret_is_refused_before_anything_is_computed_and_may_be_put_right(
    query, bucket, s3_environment, monkeypatch
):
    right = s3_environment.secret
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-wrong-secret")
    with pytest.raises(AccessDeniedError, match="SignatureDoesNotMatch") as caught:
        query.deliver(bucket.url, scheduler="sync")
    assert "\n" not in caught.value.problem
    assert "wrong-secret" not in repr(caught.value.context)
    assert partitions_done(query) == 0
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", right)
    assert query.deliver(bucket.url, scheduler="sync").rows == 200


def test_one_who_may_only_read_is_told_before_anything_is_computed(
    query, bucket, s3_environment, monkeypatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_environment.reader_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_environment.reader_secret)
    with pytest.raises(AccessDeniedError, match="AccessDenied"):
        query.deliver(bucket.url, scheduler="sync")
    assert partitions_done(query) == 0


def test_a_bucket_that_does_not_exist_is_one_clear_line(query, s3_environment):
    with pytest.raises(RequestError, match="there is no bucket 'not-made-yet'") as caught:
        query.deliver("s3://not-made-yet/x", scheduler="sync")
    assert "make the bucket" in str(caught.value.hint)
    assert "\n" not in caught.value.problem
    assert partitions_done(query) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIASECRETSECRET"},
        {"secret": "AKIASECRETSECRET"},
        {"token": "AKIASECRETSECRET"},
        {"client_kwargs": {"aws_secret_access_key": "AKIASECRETSECRET"}},
        {"s3_additional_kwargs": {"SSECustomerKey": "AKIASECRETSECRET"}},
    ],
)
def test_secrets_in_options_are_refused_without_being_shown(query, options, s3_environment):
    for ask in (
        lambda: query.deliver("s3://bucket/x", storage_options=options),
        lambda: sx.Manifest.load("s3://bucket/x", storage_options=options),
        lambda: sx.dataset("s3://bucket/x.root", storage_options=options),
    ):
        with pytest.raises(RequestError, match="holds a secret") as caught:
            ask()
        assert "AKIASECRETSECRET" not in f"{caught.value}{caught.value.context}"


def test_credentials_in_the_url_are_refused_without_being_shown(query, s3_environment):
    with pytest.raises(RequestError, match="URL holds credentials") as caught:
        query.deliver("s3://AKIA:SECRETSECRET@bucket/x")
    assert "SECRETSECRET" not in f"{caught.value}{caught.value.context}"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    data = write_nanoaod(tmp_path / "events.root", 100)
    path = tmp_path / "request.yaml"
    path.write_text(f"dataset: {{files: {data}}}\nselect: [event]\n")
    return path


def test_the_command_line_delivers_with_an_endpoint(
    recipe: Path, bucket: Bucket, s3_environment: S3Server, monkeypatch
):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    option = f"endpoint_url={bucket.server.endpoint}"
    command = ["run", str(recipe), "--to", f"{bucket.url}/x", "--json", "--quiet"]
    result = CliRunner().invoke(app, [*command, "--storage-option", option])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["status"], report["location"]) == ("complete", f"{bucket.url}/x")
    assert len(bucket.keys("x/")) == 2
    check = ["verify", f"{bucket.url}/x", "--quiet", "--storage-option", option]
    assert CliRunner().invoke(app, check).exit_code == 0
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.keys("x/part-")[0])
    assert CliRunner().invoke(app, check).exit_code == 3


def test_the_command_line_wants_options_by_name(recipe: Path):
    result = CliRunner().invoke(app, ["run", str(recipe), "--storage-option", "profile"])
    assert result.exit_code == 2
    assert "'profile' is not NAME=VALUE" in result.stderr
