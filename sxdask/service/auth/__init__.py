"""Who is asking: tokens of users, and what they may do."""

from __future__ import annotations
