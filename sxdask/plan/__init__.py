"""Stage 2, pure: expressions, relational nodes, languages, rewrites, explain, fingerprint."""

from __future__ import annotations
