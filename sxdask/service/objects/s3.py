"""Results in S3: one bucket a transform, URLs that are signed, keys that may only read."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from sxdask.core.errors import MissingExtraError, RequestError, SystemFaultError
from sxdask.datasets.storage import connection_options
from sxdask.deliver.s3.faults import code_of, is_denied, problem_of
from sxdask.service.objects.names import require_flat, require_request_id
from sxdask.service.transforms.ports import ClientAccess

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Signature = Literal["v2", "v4"]

_NAMES: Final = {"v2": "s3", "v4": "s3v4"}  # as botocore calls them
_LONGEST_V4: Final = 7 * 24 * 3600  # seconds; no store takes more
_IS_THERE: Final = {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}
_IS_GONE: Final = {"404", "NoSuchBucket", "NoSuchKey", "NoSuchUpload"}
_DEFAULT_REGION: Final = "us-east-1"
_KEYS_HINT: Final = "let the keys of the service make and remove buckets and objects"
_STORE_HINT: Final = "see whether the object store runs, and try: sxdask serve --check"
_AT_ONCE: Final = 1000  # keys in one removal
_REMOVE_TRIES: Final = 5
_FILES: Final = ("profile", "config_file", "credentials_file")  # variables of a session


@dataclass(frozen=True, kw_only=True)
class S3Objects:
    """Buckets named by request ids; see `sxdask.service.transforms.ports.ObjectStore`.

    Attributes
    ----------
    endpoint
        URL that the service and the workers reach the store at.
    access_key, secret_key
        Make and remove buckets and their objects. They stay in the service.
    public_endpoint
        URL that clients reach it at, if it is another.
    region
        Of the buckets.
    reader_key, reader_secret
        May read and list only; clients get these. Without them they get
        `access_key` and `secret_key`, as the official client has to sign itself.
    signature
        Of URLs: ``v2`` as the official client signs, good for any time, or ``v4``
        for stores that take nothing else, good for seven days at most.
    profile
        Name under which workers find their credentials in their own files; empty
        where they have them in their environment.
    own_profile
        Name under which this process finds `access_key` and `secret_key`.
    """

    endpoint: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    public_endpoint: str | None = None
    region: str = _DEFAULT_REGION
    reader_key: str = field(default="", repr=False)
    reader_secret: str = field(default="", repr=False)
    signature: Signature = "v2"
    profile: str = ""
    own_profile: str = ""

    def __post_init__(self) -> None:
        for url in (self.endpoint, self.public_endpoint or self.endpoint):
            parts = urlsplit(url)
            if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
                raise RequestError(
                    "the endpoint of the object store is no URL of a server",
                    hint="write it like https://s3.example.org:9000, without credentials",
                )

    def create(self, request_id: str) -> None:
        """Make the bucket."""
        bucket = require_request_id(request_id)
        where = (
            {}
            if self.region == _DEFAULT_REGION
            else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        )
        with self._faults(bucket):
            try:
                self._client.create_bucket(Bucket=bucket, **where)
            except Exception as error:
                if code_of(error) not in _IS_THERE:
                    raise

    def target(self, request_id: str) -> str:
        """Return ``s3://<bucket>``."""
        return f"s3://{require_request_id(request_id)}"

    def storage_options(self, *, here: bool = False) -> Mapping[str, object]:
        """Return where the store is, and under which name who writes finds credentials."""
        options: dict[str, object] = {
            "endpoint_url": self.endpoint,
            "client_kwargs": {"region_name": self.region},
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        }
        profile = (here and self.own_profile) or self.profile
        return options | ({"profile": profile} if profile else {})

    def sizes(self, request_id: str) -> Mapping[str, int]:
        """Return the bytes of each object; open uploads are none."""
        bucket = require_request_id(request_id)
        with self._faults(bucket):
            try:
                return dict(self._listed(bucket))
            except Exception as error:
                if code_of(error) not in _IS_GONE:
                    raise
                return {}

    def remove(self, request_id: str) -> None:
        """Remove the bucket with its objects and the uploads that are open."""
        bucket = require_request_id(request_id)
        with self._faults(bucket):
            for number in range(_REMOVE_TRIES):
                try:
                    self._empty(bucket)
                    self._client.delete_bucket(Bucket=bucket)
                except Exception as error:
                    if code_of(error) in _IS_GONE:
                        return
                    # A worker may have put one more object there meanwhile.
                    if code_of(error) != "BucketNotEmpty" or number == _REMOVE_TRIES - 1:
                        raise
                else:
                    return

    def sign(self, request_id: str, names: Sequence[str], seconds: int) -> dict[str, str]:
        """Return a URL for each object at the public endpoint; nothing is asked of the store."""
        bucket = require_request_id(request_id)
        seconds = min(seconds, _LONGEST_V4) if self.signature == "v4" else seconds
        return {
            name: self._signer.generate_presigned_url(
                "get_object",
                Params={"Bucket": bucket, "Key": require_flat(name)},
                ExpiresIn=seconds,
            )
            for name in names
        }

    def client_access(self) -> ClientAccess:
        """Return the public endpoint, with the keys that may do least."""
        parts = urlsplit(self.public_endpoint or self.endpoint)
        return ClientAccess(
            endpoint=f"{parts.netloc}{parts.path}".rstrip("/"),
            secured=parts.scheme == "https",
            access_key=self.reader_key or self.access_key,
            secret_key=self.reader_secret or self.secret_key,
        )

    def describe(self) -> str:
        """Return where it is."""
        return self.endpoint

    def ping(self) -> None:
        """Raise if the store does not answer, or does not know the keys of the service."""
        with self._faults(""):
            try:
                self._client.list_buckets()
            except Exception as error:
                if code_of(error) != "AccessDenied":  # known, and may not list them
                    raise

    def check(self) -> str:
        """Make a bucket, write, read and remove an object; return what clients may do.

        Raises
        ------
        SxdaskError
            If one of these cannot be done, or the keys for clients may write.
        """
        bucket, body = str(uuid.uuid4()), b"sxdask"
        self.create(bucket)
        try:
            with self._faults(bucket):
                self._client.put_object(Bucket=bucket, Key="check", Body=body)
                found = self._reader.get_object(Bucket=bucket, Key="check")["Body"].read()
            if found != body or self.sizes(bucket) != {"check": len(body)}:
                raise SystemFaultError(
                    f"{self.endpoint} does not give back what was written",
                    hint="see whether something changes objects on their way",
                )
            return self._reader_rights(bucket)
        finally:
            self.remove(bucket)

    def _reader_rights(self, bucket: str) -> str:
        if not self.reader_key:
            return "clients get the keys of the service, which may write"
        with self._faults(bucket):
            try:
                self._reader.put_object(Bucket=bucket, Key="check", Body=b"changed")
            except Exception as error:
                if not is_denied(error):
                    raise
                return "clients may only read"
        raise RequestError(
            "the keys for clients may write to the object store",
            hint="let the identity of s3_reader_key read and list only",
        )

    def _empty(self, bucket: str) -> None:
        keys = [key for key, _ in self._listed(bucket)]
        for start in range(0, len(keys), _AT_ONCE):
            self._delete(bucket, keys[start : start + _AT_ONCE])
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        for item in [item for page in pages for item in page.get("Uploads", ())]:
            self._client.abort_multipart_upload(
                Bucket=bucket, Key=item["Key"], UploadId=item["UploadId"]
            )

    def _delete(self, bucket: str, keys: list[str]) -> None:
        """Remove in one request what the store removes so, and the rest one by one."""
        items = [{"Key": key} for key in keys]
        try:
            answer = self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": items, "Quiet": True}
            )
            left = [item["Key"] for item in answer.get("Errors", ())]
        except Exception as error:
            if is_denied(error) or code_of(error) in _IS_GONE:
                raise
            left = keys
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self._client.delete_object(Bucket=bucket, Key=key), left))

    def _listed(self, bucket: str) -> Iterator[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return (
            (item["Key"], int(item["Size"])) for page in pages for item in page.get("Contents", ())
        )

    @contextmanager
    def _faults(self, bucket: str) -> Iterator[None]:
        """Turn what botocore raises into errors of ours; a refusal keeps no signed request."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  what botocore raises has no one root
            problem = problem_of(error, f"s3://{bucket}", bucket, self.endpoint)
            problem.hint = _KEYS_HINT if is_denied(error) else problem.hint or _STORE_HINT
            raise problem from (None if is_denied(error) else error)

    @cached_property
    def _client(self) -> Any:
        return self._connect(self.endpoint, self.access_key, self.secret_key, "v4")

    @cached_property
    def _reader(self) -> Any:
        access = self.client_access()
        return self._connect(self.endpoint, access.access_key, access.secret_key, "v4")

    @cached_property
    def _signer(self) -> Any:
        access = self.client_access()
        endpoint = self.public_endpoint or self.endpoint
        return self._connect(endpoint, access.access_key, access.secret_key, self.signature)

    def _connect(self, endpoint: str, key: str, secret: str, signature: Signature) -> Any:
        try:
            from botocore.config import Config
            from botocore.session import Session
        except ImportError as error:
            raise MissingExtraError(
                f"results in S3 need a package: {error}", hint="pip install 'sxdask[embedded]'"
            ) from error
        config = dict(connection_options("s3://")["config_kwargs"])
        # The operator's profiles and files are for other stores: nothing is taken from them.
        session = Session(session_vars=dict.fromkeys(_FILES, (None, [], None, None)))
        return session.create_client(
            "s3",
            region_name=self.region,
            endpoint_url=endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                signature_version=_NAMES[signature],
                s3={"addressing_style": "path"},
                max_pool_connections=32,
                **config,
            ),
        )
