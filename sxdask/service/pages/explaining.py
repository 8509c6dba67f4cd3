"""Explain one request over one file, from standard input to standard output, both JSON.

The process of `sxdask.service.pages.plans`; it bounds its own time and memory, so
that it ends even if the service that began it is gone.
"""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
from typing import Any, Final

_MEMORY: Final = 8 * 1024**3


def main() -> None:
    """Read a `PlanRequest`, write an `Explained`."""
    signal.alarm(math.ceil(float(sys.argv[1])) + 1)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    wanted = json.load(sys.stdin)
    json.dump(_explained(wanted), sys.stdout)


def _explained(wanted: dict[str, Any]) -> dict[str, str]:
    from sxdask.core.errors import SxdaskError
    from sxdask.pipeline.compile import explain
    from sxdask.service.transforms.compiling import compiled
    from sxdask.service.transforms.orders import Work

    work = Work(wanted["language"], wanted["selection"], "parquet", wanted["tree"])
    try:
        return {"text": explain(compiled(work, wanted["path"]))}
    except SxdaskError as error:
        return {"problem": str(error)}


if __name__ == "__main__":
    main()
