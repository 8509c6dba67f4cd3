"""The command line: one module a command; results on stdout, everything else on stderr."""

from __future__ import annotations
