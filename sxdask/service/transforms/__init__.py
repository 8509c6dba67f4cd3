"""Transforms: requests over REST, one output object an input file, from submission to results."""

from __future__ import annotations
