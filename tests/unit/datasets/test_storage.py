"""Options of storages: no secrets, timeouts for S3, and messages without tokens."""

from __future__ import annotations

import logging

import pytest

from sxdask.core.errors import RequestError
from sxdask.datasets.storage import connection_options, refuse_secrets


@pytest.mark.parametrize(
    "options",
    [
        {"key": "hush-hush"},
        {"username": "hush-hush"},
        {"client_kwargs": {"aws_session_token": "hush-hush"}},
        {"headers": {"Authorization": "hush-hush"}},
        {"s3_additional_kwargs": {"SSECustomerKey": "hush-hush"}},
    ],
)
def test_a_secret_at_any_depth_is_refused_by_name(options):
    with pytest.raises(RequestError, match="holds a secret") as caught:
        refuse_secrets(options)
    assert "hush-hush" not in f"{caught.value}{caught.value.context}"
    assert "profile" in str(caught.value.hint)


def test_names_that_only_sound_like_secrets_are_taken():
    refuse_secrets({"profile": "cern", "anon": True, "key": None, "max_concurrency": 4})


def test_only_s3_gets_defaults_and_what_is_given_goes_first():
    given = {"config_kwargs": {"read_timeout": 7}, "profile": "cern"}
    config = connection_options("S3://bucket/a", given)["config_kwargs"]
    assert (config["read_timeout"], config["connect_timeout"]) == (7, 10)
    assert given == {"config_kwargs": {"read_timeout": 7}, "profile": "cern"}
    assert connection_options("https://host/a.root", {"block_size": 1}) == {"block_size": 1}


def test_credentials_in_a_url_of_s3_are_refused_without_being_shown():
    with pytest.raises(RequestError, match="holds credentials") as caught:
        connection_options("s3://someone:hush-hush@bucket/a")
    assert "hush-hush" not in f"{caught.value}{caught.value.context}"


@pytest.mark.parametrize(
    "text",
    [
        "GET\n/b/k\n\nx-amz-security-token:hush-hush\n\nhost;x-amz-security-token",
        "<AWSPreparedRequest headers={'X-Amz-Security-Token': b'hush-hush', 'Host': 'a'}>",
        "headers={'Authorization': b'AWS4-HMAC-SHA256 Credential=A, Signature=hush-hush'}",
        "Signature:\nhush0hush",
    ],
)
def test_tokens_and_signatures_are_hidden_in_messages_of_the_sdk(text, caplog):
    connection_options("s3://bucket/a")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("botocore.auth").debug("%s", text)
    assert "hush" not in caplog.text.replace("hush-hush", "hush")
    assert "(hidden)" in caplog.text


def test_other_messages_of_the_sdk_stay_as_they_are(caplog):
    connection_options("s3://bucket/a")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("botocore.endpoint").debug("Response body: %s of %d%%", "x", 5)
    assert "Response body: x of 5%" in caplog.text
