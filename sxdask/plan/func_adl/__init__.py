"""func_adl and qastle: texts -> one query tree -> the plan that the tree means."""

from __future__ import annotations
