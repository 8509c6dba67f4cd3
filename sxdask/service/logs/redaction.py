"""Secrets are taken out of texts: those that are known, and what looks like one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN: Final = "(hidden)"
_LEAST: Final = 6
"""A shorter known secret would be found in words that are none."""

_LOOKS_SECRET: Final = re.compile(
    r"""(?P<name>
          (?:authori[sz]ation|authz|token|secret|passw|credential|signature|access_?key|cookie|x-amz)
          [\w-]{0,40}["']?\s{0,9}[=:]\s{0,9}["']?(?:(?:bearer|basic)\s{1,9})?
        | \b(?:bearer|basic)\s{1,9})
        [^\s&"',;{}<>]{6,}
      | (?<=://)[^/@\s]{1,1000}@                              # user and password of a URL
      | \beyJ[\w-]{5,2000}\.[\w-]{5,2000}\.[\w-]{5,2000}      # a JWT
      | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


class Redaction:
    """Replaces secrets.

    Parameters
    ----------
    secrets
        Values that no text may hold, whatever stands around them: keys of the
        object store, passwords of the database, what signs tokens.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._known: re.Pattern[str] | None = None
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """Let further values be secrets, such as keys that are made as the service starts."""
        self._secrets.update(item for item in secrets if len(item) >= _LEAST)
        if self._secrets:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._known = re.compile("|".join(map(re.escape, longest_first)))

    def __repr__(self) -> str:
        return "Redaction(...)"

    def __call__(self, text: str) -> str:
        """Return `text` without secrets.

        Examples
        --------
        >>> Redaction(["correct horse"])("key=correct horse, Bearer abcdef123")
        'key=(hidden), Bearer (hidden)'
        """
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return _LOOKS_SECRET.sub(lambda hit: f"{hit['name'] or ''}{HIDDEN}", text)
