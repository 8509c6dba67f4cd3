"""Where results lie: a mounted folder, S3, and an S3 server of one's own."""

from __future__ import annotations
