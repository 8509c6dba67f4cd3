"""Objects of S3: requests with deadlines, uploads in parts, and a store that hides what it stages.

Decisions are in ``docs/adr/0006-delivery.md``.
"""

from __future__ import annotations
