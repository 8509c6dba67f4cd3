"""Delivery to a real S3 server: the contract of sinks, and what is special about S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sxdask.core.errors import DeliveryError
from tests.contracts.test_sinks import DELIVERY, PARTS, FilesContract, table, write_all

if TYPE_CHECKING:
    from tests.services.seaweedfs import Bucket, S3Server


class TestS3(FilesContract):
    @pytest.fixture(autouse=True)
    def _destination(self, s3_environment: S3Server, bucket: Bucket) -> Any:
        self.server = s3_environment
        self.bucket = bucket
        self.url = f"{bucket.url}/some/prefix"

    def everything(self) -> list[str]:
        """Return the objects below the destination, and what waits there unseen."""
        prefix = "some/prefix/"
        hidden = [f".sxdask/{key.removeprefix(prefix)}" for key in self.bucket.pending()]
        return hidden + [key.removeprefix(prefix) for key in self.bucket.keys(prefix)]

    def put(self, name: str, data: bytes) -> None:
        key = f"some/prefix/{name}"
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=data)

    def test_a_worker_that_comes_too_late_leaves_no_open_upload(self) -> None:
        sink = self.sink()
        sink.commit(write_all(sink))
        with pytest.raises(DeliveryError, match="comes too late"):
            sink.write(PARTS[0], table(PARTS[0]))
        assert self.bucket.pending() == []

    def test_the_uploads_of_another_run_that_lives_stay(self) -> None:
        first, second = self.sink(), self.sink()
        first.begin(DELIVERY)
        second.begin(DELIVERY)
        receipts = [second.write(part, table(part)) for part in PARTS]
        first.write(PARTS[0], table(PARTS[0]))
        first.abort()
        assert second.commit(receipts).verify() == []
        assert self.bucket.pending() == []
