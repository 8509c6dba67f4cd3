"""``python -m sxdask.cli`` is ``sxdask``, for where the script is not on the path."""

from __future__ import annotations

from sxdask.cli.main import main

if __name__ == "__main__":
    main()
