"""Delivery to a real S3 server: the contract of sinks, and what is special about S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

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

    def test_what_a_late_duplicate_leaves_is_gone_after_the_next_delivery(self) -> None:
        sink = self.sink()
        sink.commit(write_all(sink))
        sink.write(PARTS[0], table(PARTS[0]))
        assert len(self.bucket.pending()) == 1
        sink = self.sink()
        sink.commit(sink.begin(DELIVERY))
        assert self.bucket.pending() == []
