"""Questions to ROOT, which answers from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.differential.tcut.root_worker import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).parents[3]


class Root:
    """A running ROOT; it takes over signals and standard streams, so it is not in this process."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.differential.tcut.root_worker"]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def entries(self, path: Path, tree: str, cuts: Sequence[str]) -> list[list[int] | None]:
        """Return the entries of `tree` that pass each of `cuts`; None for one that is refused.

        ROOT ends in a crash at some mistakes within ``Sum$`` and the like: that
        is refused too.
        """
        try:
            found: list[list[int] | None] = self._ask(
                {"path": str(path), "tree": tree, "cuts": list(cuts)}
            )
        except (BrokenPipeError, EOFError):
            self._start()
            if len(cuts) == 1:
                return [None]
            middle = len(cuts) // 2
            parts = (cuts[:middle], cuts[middle:])
            return [found for part in parts for found in self.entries(path, tree, part)]
        return found

    def write_vectors(self, path: Path) -> None:
        """Write the file of vectors, which only ROOT can."""
        self._ask({"write": str(path)})

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise EOFError(f"ROOT ended while it was asked {question}")
