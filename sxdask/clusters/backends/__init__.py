"""One kind of cluster a module; registered in `sxdask.clusters.backend`."""

from __future__ import annotations
