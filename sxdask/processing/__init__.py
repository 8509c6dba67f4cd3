"""coffea processors over sxdask's reader: events from the index, columns read ahead, merged trees.

`fileset` reads what coffea's Runner takes, `inputs` binds it to indexes and
plans, `chunks` cuts the files, `task` is what a worker does with a chunk, and
`run` drives all of it. coffea is imported when a processor runs, not before.
"""

from __future__ import annotations
