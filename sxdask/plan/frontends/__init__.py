"""One request language a module; registered in `sxdask.plan.frontend`."""

from __future__ import annotations
