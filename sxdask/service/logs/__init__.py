"""What the service writes about what it does: lines for operators, without secrets."""

from __future__ import annotations
