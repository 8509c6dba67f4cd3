"""The command of a Flight descriptor: one request as JSON, checked before anything is opened."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sxdask.core.errors import RecipeError, RequestError, RequestTooLargeError, close_names
from sxdask.requests.recipe import Recipe

MOST_COMMAND_BYTES: Final = 1024 * 1024

Name: TypeAlias = Annotated[str, Field(max_length=4096)]  # PATH_MAX of Linux
Files: TypeAlias = Name | list[Name] | dict[Name, str | None]

_EXAMPLE: Final = (
    'send JSON such as {"language": "tcut", "selection": "MET_pt > 50", "dataset": "a.root"}'
)


class FlightRequest(BaseModel):
    """A request in one of the languages, over files that the server may read.

    `selection` is what the language takes: text, or structure where it is
    JSON; for the language ``recipe`` the keys of a recipe. `output` chooses
    one of several output trees. `partition_bytes` is the wanted compressed
    size of a partition.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    language: str = Field(default="native", max_length=100)
    selection: str | dict[str, Any] | list[Any] = Field(default_factory=dict)
    dataset: Files
    tree: str | None = Field(default=None, max_length=1_000)
    title: str = Field(default="", max_length=1_000)
    output: str | None = Field(default=None, max_length=1_000)
    partition_bytes: int | None = Field(default=None, ge=1)

    @property
    def canonical(self) -> bytes:
        """The request as JSON with sorted keys, without `output`: all outputs share it."""
        found = self.model_dump(exclude={"output"}, exclude_defaults=True)
        return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """Hexadecimal name of `canonical`."""
        return blake2b(self.canonical, digest_size=16).hexdigest()

    @property
    def names(self) -> list[str]:
        """The files, patterns and directories of the dataset."""
        return [self.dataset] if isinstance(self.dataset, str) else list(self.dataset)


def parse_command(data: bytes) -> FlightRequest:
    """Return the request in the command of a descriptor.

    Raises
    ------
    RequestTooLargeError
        If it is longer than `MOST_COMMAND_BYTES`.
    RecipeError
        If it is no JSON object of the keys there are.
    RequestError
        If a recipe asks for what a server does not give: histograms, data of its own.
    """
    if len(data) > MOST_COMMAND_BYTES:
        raise RequestTooLargeError(
            f"the command has {len(data)} bytes, and {MOST_COMMAND_BYTES} are allowed",
            hint="name the files by a pattern",
        )
    try:
        values = json.loads(data)
        json.dumps(values, ensure_ascii=False).encode()  # halves of characters have no bytes
    except (ValueError, RecursionError):
        raise RecipeError("the command is no JSON", hint=_EXAMPLE) from None
    if not isinstance(values, dict):
        raise RecipeError("the command is no JSON object", hint=_EXAMPLE)
    if values.get("language") == "recipe":
        values = _from_recipe(values)
    try:
        return FlightRequest.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, "the command", FlightRequest) from None


def _from_recipe(values: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a request for those of a recipe; beside it they win."""
    try:
        recipe = Recipe.model_validate(values.get("selection"))
    except ValidationError as error:
        raise _refusal(error, "the recipe", Recipe) from None
    if recipe.hist:
        raise RequestError(
            "the recipe fills histograms, and a Flight server gives rows",
            hint="leave 'hist' out, and fill them from the rows",
        )
    found: dict[str, Any] = {
        "language": recipe.language,
        "selection": recipe.request,
        "tree": recipe.tree,
        "title": recipe.title,
        "partition_bytes": recipe.partition_bytes,
    }
    if recipe.dataset is not None:
        if recipe.dataset.files is None and "dataset" not in values:
            raise RequestError(
                "the recipe generates its data, and a Flight server reads what there is",
                hint="name files in 'dataset'",
            )
        found["dataset"] = recipe.dataset.files
    beside = {key: value for key, value in values.items() if key not in {"language", "selection"}}
    return {key: value for key, value in (found | beside).items() if value is not None}


def _refusal(error: ValidationError, what: str, model: type[BaseModel]) -> RecipeError:
    first = max(error.errors(include_url=False), key=lambda item: len(item["loc"]))
    keys = list(model.model_fields)
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        hint = close_names(name, keys) or f"the keys are {', '.join(keys)}"
        return RecipeError(f"{what} has a key {name!r}"[:200], hint=hint)
    if first["type"] == "missing":
        return RecipeError(f"{what} has no {name!r}", hint=_EXAMPLE)
    message = str(first["msg"]).removeprefix("Value error, ")
    place = f" {name!r}:" if name in keys else ""
    return RecipeError(f"{what} is not one:{place} {message[0].lower()}{message[1:]}")
