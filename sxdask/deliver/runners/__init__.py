"""One place to run tasks a module; registered in `sxdask.deliver.runner`."""

from __future__ import annotations
