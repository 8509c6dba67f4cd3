"""YAML of a recipe, read strictly: each key once, and every value knows its line."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import yaml

from sxdask.core.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path

MAX_RECIPE_BYTES: Final = 1024 * 1024


class _StrictLoader(yaml.SafeLoader):
    """Plain values only, and no key twice: YAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002  signature of PyYAML
        seen: set[object] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name != "<<":
                raise yaml.MarkedYAMLError(
                    None, None, f"key {name!r} is here twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


class YamlText:
    """A YAML file as values, with the line that each value stands on.

    Raises
    ------
    RecipeError
        If the file cannot be read, is too large, or is not YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = _read(path)
        try:
            self._root, values = _read_yaml(text)
            self.values: Any = deepcopy(values)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise RecipeError(
                f"{path}:{line}: {error.problem or error.context}",
                hint="see that keys end with a colon and lists are indented alike",
                file=str(path),
                line=line,
            ) from None
        except yaml.YAMLError as error:
            raise RecipeError(f"{path} is not YAML: {error}", file=str(path)) from None
        except ValueError as error:  # a number of 5000 digits, a day that does not exist
            raise RecipeError(
                f"{path} has a value that cannot be: {error}",
                hint="put it in quotes if it is text",
                file=str(path),
            ) from None
        except RecursionError:
            raise RecipeError(f"{path} is nested too deeply", file=str(path)) from None

    def line(self, place: Sequence[str | int]) -> int:
        """Return the line (from 1) of the value at `place`, or of what is nearest to it."""
        node = self._root
        for step in place:
            below = _child(node, step)
            if below is None:
                break
            node = below
        return node.start_mark.line + 1 if node is not None else 1


@lru_cache(maxsize=64)
def _read_yaml(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the nodes and the values of a text; both are shared by all who read the same.

    PyYAML's parser in Python takes a quarter of the time of a small request whose result is kept;
    the one in C overflows the stack at brackets that nest deeply.
    """
    loader = _StrictLoader(text)
    try:
        root = loader.get_single_node()
        return root, loader.construct_document(root) if root else None
    finally:
        loader.dispose()


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        # The last one counts: those that `<<` brings in come before.
        return next((value for key, value in reversed(node.value) if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    return None


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RecipeError(f"no recipe file {str(path)!r}", file=str(path)) from None
    except OSError as error:
        raise RecipeError(
            f"recipe {str(path)!r} cannot be read: {error.strerror}", file=str(path)
        ) from None
    if len(raw) > MAX_RECIPE_BYTES:
        raise RecipeError(
            f"recipe {str(path)!r} has {len(raw)} bytes, the limit is {MAX_RECIPE_BYTES}",
            file=str(path),
        )
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise RecipeError(
            f"{str(path)!r} is not text", hint="a recipe is a YAML file in UTF-8", file=str(path)
        ) from None
