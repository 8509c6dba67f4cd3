"""Requests to a server (``sxdask serve --flight``) in place of this process."""

from __future__ import annotations
