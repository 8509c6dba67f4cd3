"""What the two ROOT formats share: files in memory, names, types, and copies of objects."""

from __future__ import annotations
