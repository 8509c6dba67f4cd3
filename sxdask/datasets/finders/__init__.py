"""One way to find files a module; registered in `sxdask.datasets.finder`."""

from __future__ import annotations
