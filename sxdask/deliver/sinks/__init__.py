"""One destination a module; registered in `sxdask.deliver.sink`."""

from __future__ import annotations
