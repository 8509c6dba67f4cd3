"""The only package that knows all stages: files -> indexes -> plan -> pieces -> results.

`source` binds files to indexes, `compile` makes a plan ready to run, `run`
drives it. `sxdask.api` wraps them in the classes that users hold; the command
line and the service go through that.
"""

from __future__ import annotations
