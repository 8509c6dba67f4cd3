"""One rewrite a module; listed in `sxdask.plan.optimize`."""

from __future__ import annotations
