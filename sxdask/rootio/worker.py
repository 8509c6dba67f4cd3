"""The process that `sxdask.rootio.parallel` starts: ``python -m sxdask.rootio.worker ROOT``.

Each line of standard input is a JSON pair of URL and tree; the answer is
``built`` once its index is in the store, else ``failed``.
"""

from __future__ import annotations

import json
import os
import sys

from sxdask.core.errors import SxdaskError
from sxdask.rootio.store import IndexStore


def main() -> None:
    """Build what standard input names, until it ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not pass for an answer
    store = IndexStore(sys.argv[1])
    for line in sys.stdin:
        url, tree = json.loads(line)
        try:
            store.build(url, tree)
        except SxdaskError:
            answers.write("failed\n")
        else:
            answers.write("built\n")
        answers.flush()


if __name__ == "__main__":
    main()
