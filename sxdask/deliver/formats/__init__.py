"""One format a module; registered in `sxdask.deliver.format`."""

from __future__ import annotations
