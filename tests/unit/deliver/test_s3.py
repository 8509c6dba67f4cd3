"""What can be said of S3 without a server: how objects are cut, and what errors mean."""

from __future__ import annotations

import base64
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.errors import AccessDeniedError, DeliveryError, RequestError
from sxdask.deliver.s3.faults import is_absent, is_final, problem_of
from sxdask.deliver.s3.store import S3Store
from sxdask.deliver.s3.uploads import cut

pytest.importorskip("s3fs", reason="needs sxdask[s3]")
exceptions = pytest.importorskip("botocore.exceptions")

WHERE = ("s3://bucket/x", "bucket", "http://host:9000")


def answer(code: str, status: int) -> Exception:
    """Return the error that an answer of S3 becomes in the SDK."""
    response = {
        "Error": {"Code": code, "Message": "in words"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error: Exception = exceptions.ClientError(response, "PutObject")
    return error


@given(size=st.integers(0, 3_000), part_bytes=st.integers(1, 1_000))
def test_parts_tile_an_object_and_carry_its_digests(size, part_bytes):
    data = memoryview(bytes(n % 251 for n in range(size)))
    parts = cut(data, part_bytes)
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert b"".join(bytes(data[part.start : part.stop]) for part in parts) == bytes(data)
    assert len(parts) >= 1
    for part in parts:
        digest = hashlib.md5(data[part.start : part.stop], usedforsecurity=False).digest()
        assert base64.b64decode(part.md5) == digest


def test_an_object_never_has_more_parts_than_s3_takes():
    assert len(cut(memoryview(bytes(25_001)), 1)) <= 10_000


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "SignatureDoesNotMatch"])
def test_refusals_are_final_and_name_the_credentials(code):
    error = answer(code, 403)
    problem = problem_of(error, *WHERE)
    assert is_final(error)
    assert isinstance(problem, AccessDeniedError)
    assert code in problem.problem
    assert "AWS_PROFILE" in str(problem.hint)


def test_missing_credentials_are_a_refusal():
    problem = problem_of(exceptions.NoCredentialsError(), *WHERE)
    assert isinstance(problem, AccessDeniedError)


def test_a_missing_bucket_is_told_from_a_missing_object():
    missing = answer("NoSuchBucket", 404)
    assert not is_absent(missing)
    assert is_absent(answer("NoSuchKey", 404))
    assert is_final(missing)
    problem = problem_of(missing, *WHERE)
    assert isinstance(problem, RequestError)
    assert problem.problem == "there is no bucket 'bucket' at http://host:9000"


@pytest.mark.parametrize(
    "error",
    [
        answer("SlowDown", 503),
        answer("InternalError", 500),
        answer("TooManyRequests", 429),
        answer("BadDigest", 400),
        answer("IncompleteBody", 400),
        ConnectionResetError("reset by peer"),
        TimeoutError(),
        exceptions.EndpointConnectionError(endpoint_url="http://host:9000"),
    ],
    ids=repr,
)
def test_faults_of_network_and_server_are_worth_another_try(error):
    assert not is_final(error)
    problem = problem_of(error, *WHERE)
    assert isinstance(problem, DeliveryError)
    assert "\n" not in problem.problem


def test_requests_that_make_no_sense_are_not_repeated():
    assert is_final(answer("InvalidArgument", 400))
    assert is_final(answer("PreconditionFailed", 412))


def test_a_store_travels_without_its_connection():
    store = S3Store("s3://bucket/some/prefix/", {"profile": "cern"})
    store.__dict__["connection"] = object()
    copy = pickle.loads(pickle.dumps(store))
    assert vars(copy) == {
        "url": "s3://bucket/some/prefix",
        "storage_options": {"profile": "cern"},
        "bucket": "bucket",
        "prefix": "some/prefix",
    }
    assert copy.full("a") == "s3://bucket/some/prefix/a"
    assert copy.key("a") == "some/prefix/a"
    assert S3Store("s3://bucket").key("a") == "a"
