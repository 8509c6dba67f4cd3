"""The YAML file of an operator: read, and refused in one line if something is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from sxdask.core.errors import FileMissingError, RequestError, close_names

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_OTHERS: Final = 0o077


def read_settings_file(
    file: Path, known: Collection[str], secrets: Collection[str]
) -> dict[str, Any]:
    """Return the settings in `file`.

    Raises
    ------
    FileMissingError
        If it cannot be read.
    RequestError
        If it is no YAML mapping, has a key that is not `known`, or holds one of
        `secrets` and may be read by others.
    """
    try:
        text = file.read_text(encoding="utf-8")
        others_read = bool(file.stat().st_mode & _OTHERS)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileMissingError(
            f"the settings in {str(file)!r} cannot be read: {reason}", hint="check its name"
        ) from None
    found = _mapping(file, text)
    for name in found:
        if name not in known:
            raise RequestError(
                f"{file}: there is no setting {name!r}",
                hint=close_names(str(name), known) or "see docs/how-to/service.md",
            )
    held = sorted(set(found) & set(secrets))
    if held and others_read:
        raise RequestError(
            f"{file} holds {', '.join(held)} and may be read by others",
            hint=f"chmod 600 {file}, or name a file with the secret: {held[0]}_file",
        )
    return found


def _mapping(file: Path, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}" if mark is not None else "somewhere"
        # The line itself may be a secret.
        raise RequestError(
            f"{file}: {line} is no YAML: {getattr(error, 'problem', None) or 'it breaks off'}",
            hint="write one setting a line, as name: value",
        ) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RequestError(f"{file} is no mapping", hint="write one setting a line, as name: value")
    return found
