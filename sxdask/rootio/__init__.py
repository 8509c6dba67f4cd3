"""Bytes: the file index, zone maps, coalesced reads, decompression, decoding to awkward."""

from __future__ import annotations
