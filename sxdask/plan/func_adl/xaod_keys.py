"""Which container an ElementLink leads to: the number that ATLAS stores in place of its name.

A link in a file is a pair: `m_persKey` is a hash of the container's name and
class, `m_persIndex` the position in it. The hash is computed here, so that no
list of known numbers has to be kept and files without metadata can be followed.

References
----------
.. [1] Athena, ``SG::StringPool::stringToKey`` and ``CxxUtils::crc64``: a CRC
   over the name, then over the bytes of the class number from the lowest up,
   cut to 30 bits.
.. [2] Athena, ``CLASS_DEF`` in the headers of the xAOD containers: class numbers.
"""

from __future__ import annotations

from functools import cache
from typing import Final

CLASS_NUMBERS: Final[dict[str, int]] = {
    "BTagging": 1264356158,
    "CaloCluster": 1219821989,
    "Electron": 1087532415,
    "Jet": 1244316195,
    "Muon": 1178459224,
    "Photon": 1105575213,
    "TauJet": 1177172564,
    "TauTrack": 1306133771,
    "TrackParticle": 1287425431,
    "TruthEvent": 1200227006,
    "TruthParticle": 1237340765,
    "TruthVertex": 1239726567,
    "Vertex": 1092961325,
}
"""Class of the items -> number of the container's class."""

_POLYNOMIAL: Final = 0x95AC9329AC4BC9B5
_START: Final = 2**64 - 1
_KEY_MASK: Final = 2**30 - 1


@cache
def container_key(name: str, kind: str) -> int | None:
    """Return the `m_persKey` of links into container `name`, whose items are of class `kind`.

    None for a class whose number is not known.

    Examples
    --------
    >>> container_key("InDetTrackParticles", "TrackParticle")
    490246363
    """
    number = CLASS_NUMBERS.get(kind)
    if number is None:
        return None
    crc = _START
    length = (number.bit_length() + 7) // 8
    for byte in name.encode() + number.to_bytes(length, "little"):
        crc = _table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc & _KEY_MASK


@cache
def _table() -> tuple[int, ...]:
    return tuple(_shifted(byte) for byte in range(256))


def _shifted(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ _POLYNOMIAL if value & 1 else value >> 1
    return value
