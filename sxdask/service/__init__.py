"""Servers: what `sxdask serve` offers to other processes and other languages."""

from __future__ import annotations
