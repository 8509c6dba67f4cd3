"""The command line: one module a command, each a thin layer over `sxdask.api`."""

from __future__ import annotations
