"""Functions of the user: what they are called with, what they name, how they travel."""

from __future__ import annotations
