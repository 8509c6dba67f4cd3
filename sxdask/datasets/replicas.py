"""Which of several places of a file is read first."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sxdask.core.errors import RequestError
from sxdask.datasets.remote import STORAGE_EXTRAS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.core.settings import Settings

# Other names of protocols that this reads, as catalogues give them.
_SAME = {"davs": "https", "dav": "http", "xroot": "root", "xroots": "roots"}


@dataclass(frozen=True, slots=True)
class Place:
    """A replica: its URL, the site that keeps it, and its rank by distance (0: the nearest)."""

    url: str
    site: str = ""
    distance: float = 0.0


@dataclass(frozen=True, slots=True)
class Preference:
    """Sites, which may be patterns, and protocols, the best first.

    Protocols that are not named are not used, sites that are not named come last.
    """

    sites: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("root", "https", "http")

    @classmethod
    def from_settings(cls, settings: Settings) -> Preference:
        """Return what the settings say.

        Raises
        ------
        RequestError
            If they allow no protocol at all.
        """
        sites, schemes = (
            tuple(item.strip() for item in text.split(",") if item.strip())
            for text in (settings.replica_sites, settings.replica_schemes)
        )
        if not schemes:
            raise RequestError(
                "SXDASK_REPLICA_SCHEMES names no protocol", hint="use root,https,http"
            )
        return cls(sites, tuple(dict.fromkeys(_SAME.get(item, item) for item in schemes)))

    def usable(self) -> tuple[str, ...]:
        """Return the protocols whose packages are installed; all of them if none is.

        What cannot be read is then an error that names the package.
        """
        found = [
            scheme
            for scheme in self.schemes
            if all(find_spec(name) for name in STORAGE_EXTRAS.get(scheme, ((), ""))[0])
        ]
        return tuple(found) or self.schemes

    def sorted(self, places: Iterable[Place]) -> tuple[str, ...]:
        """Return the URLs that can be used, the best first, each once.

        First counts the site that is preferred, then the distance, as the
        nearest replica of each site has it, then the protocol.

        Examples
        --------
        >>> prefer = Preference(sites=("MWT2*",), schemes=("https", "http"))
        >>> prefer.sorted([Place("davs://a/f", "CERN", 0), Place("http://b/f", "MWT2_D", 1)])
        ('http://b/f', 'https://a/f')
        """
        schemes = {scheme: rank for rank, scheme in enumerate(self.usable())}
        known: list[tuple[str, Place]] = []
        nearest: dict[str, float] = {}
        for place in places:
            scheme, _, rest = place.url.partition("://")
            scheme = _SAME.get(scheme.lower(), scheme.lower())
            if scheme in schemes:
                known.append((f"{scheme}://{rest}", place))
                nearest[place.site] = min(place.distance, nearest.get(place.site, place.distance))
        ranked = sorted(
            (
                self._rank(place.site),
                nearest[place.site],
                place.site,
                schemes[url.partition("://")[0]],
                url,
            )
            for url, place in known
        )
        return tuple(dict.fromkeys(item[-1] for item in ranked))

    def _rank(self, site: str) -> int:
        matches = (rank for rank, item in enumerate(self.sites) if fnmatchcase(site, item))
        return next(matches, len(self.sites))


def spellings(scheme: str) -> tuple[str, ...]:
    """Return the names that catalogues have for a protocol.

    Examples
    --------
    >>> spellings("https")
    ('https', 'davs')
    """
    return (scheme, *(name for name, same in _SAME.items() if same == scheme))
