"""The web pages: requests, datasets, users; rendered here, readable without scripts."""

from __future__ import annotations
