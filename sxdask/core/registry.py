"""Name -> import target, loaded when first asked for; open to entry points."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from sxdask.core.errors import MissingExtraError, UnknownLanguageError, close_names

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class Registry(Generic[T]):
    """Plug-ins of one kind.

    Built-in names cannot be shadowed by an installed package, so that a
    request means the same everywhere.
    """

    def __init__(self, *, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)

    def names(self) -> tuple[str, ...]:
        """Return every known name: built-in ones first, then installed ones."""
        installed = sorted({point.name for point in entry_points(group=self.group)})
        return (*self._builtin, *(name for name in installed if name not in self._builtin))

    def load(self, name: str) -> T:
        """Import and return the plug-in `name`.

        Raises
        ------
        UnknownLanguageError
            If there is no such name; the hint lists those that exist.
        MissingExtraError
            If its module needs a package that is not installed.
        """
        target = self._builtin.get(name)
        if target is None:
            for point in entry_points(group=self.group, name=name):
                return cast("T", point.load())
            known = self.names()
            hint = close_names(name, known) or f"there is {', '.join(map(repr, known))}"
            raise UnknownLanguageError(f"there is no {self.kind} {name!r}", hint=hint)
        module, _, attribute = target.partition(":")
        try:
            return cast("T", getattr(import_module(module), attribute))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("sxdask"):
                raise
            raise MissingExtraError(
                f"{self.kind} {name!r} needs the package {error.name!r}",
                hint=f"pip install {error.name}",
            ) from error
