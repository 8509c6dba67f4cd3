"""A recipe: one request in a YAML file, with its data, ready to run."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from sxdask.core.errors import RecipeError, RequestError, close_names
from sxdask.requests.quantity import parse_bytes
from sxdask.requests.yaml_text import YamlText

Files: TypeAlias = str | list[str] | dict[str, str | None]
FormatName: TypeAlias = Literal["arrow", "parquet", "root-file", "root-rntuple"]
Select: TypeAlias = list[str | dict[str, str]] | dict[str, str]

_SCHEME: Final = re.compile(r"[A-Za-z][\w+.-]*://")
_NATIVE: Final = ("where", "define", "select")


def _bytes(value: object) -> object:
    try:
        return parse_bytes(value) if isinstance(value, str) else value
    except RequestError as error:
        raise ValueError(f"{error.problem}; {error.hint}") from None


class _Strict(BaseModel):
    """No unknown keys and no silent conversions: a typing mistake is an error here."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Generate(_Strict):
    """Data to generate: the arguments of `sxdask.testing.write_nanoaod_files`."""

    num_events: int = Field(ge=0, le=1_000_000_000)
    files: int = Field(default=1, ge=1, le=10_000)
    seed: int = Field(default=0, ge=0)
    first_event: int = Field(default=0, ge=0)
    extra_branches: int = Field(default=0, ge=0, le=2_000)
    compression: Literal["zstd", "lz4", "zlib", "lzma", "none"] = "zstd"
    entries_per_cluster: int = Field(default=100_000, ge=1)


class DatasetSpec(_Strict):
    """What to read: files that exist, data to generate, or a real sample file.

    `sample` is a file of `sxdask.testing.sample_files`, fetched once.
    """

    files: Files | None = None
    generate: Generate | None = None
    sample: str | None = Field(default=None, pattern=r"^[\w.-]+\.root$", max_length=200)
    name: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [item for item in (self.files, self.generate, self.sample) if item is not None]
        if len(given) != 1:
            raise ValueError("give one of 'files', 'generate' and 'sample'")
        return self


class DeliverSpec(_Strict):
    """Where results go when the recipe is run, and in what kind of objects.

    `merge` is ``file``, or the size that objects should have.
    """

    to: str = Field(min_length=1)
    format: FormatName = "arrow"
    compression: str | None = Field(default=None, max_length=20)
    merge: str | int | None = None


class ResourcesSpec(_Strict):
    """What a request wants of the cluster that runs it; a cluster that cannot choose goes on.

    `workers` is a number that stays, `minimum` and `maximum` bound one that
    follows the queue. `memory_limit` is that of each worker.
    """

    workers: int | None = Field(default=None, ge=1, le=100_000)
    minimum: int | None = Field(default=None, ge=0, le=100_000)
    maximum: int | None = Field(default=None, ge=1, le=100_000)
    threads_per_worker: int | None = Field(default=None, ge=1, le=1_000)
    memory_limit: Annotated[int, BeforeValidator(_bytes), Field(ge=1)] | None = None
    image: str | None = Field(default=None, max_length=500)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.workers is not None and (self.minimum, self.maximum) != (None, None):
            raise ValueError("give 'workers', or 'minimum' and 'maximum'")
        if self.maximum is None and self.minimum is not None:
            raise ValueError("'minimum' needs a 'maximum'")
        return self


class Recipe(_Strict):
    """One request with its data.

    For the language ``native`` the request is in `where`, `define` and
    `select`; for any other one in `selection`, as text or structure. With
    `hist` (histograms by name, see `sxdask.plan.histograms`) only filled
    histograms are the result, over columns of the request. Relative
    paths in `dataset.files` start at the folder of the recipe.
    """

    title: str = ""
    description: str = ""
    dataset: DatasetSpec | None = None
    tree: str | None = None
    language: str = "native"
    where: str | list[str] | None = None
    define: dict[str, str] = Field(default_factory=dict)
    select: Select | None = None
    selection: str | dict[str, Any] | list[dict[str, Any]] | None = None
    hist: dict[str, dict[str, Any]] | None = None
    deliver: DeliverSpec | None = None
    resources: ResourcesSpec | None = None
    partition_bytes: Annotated[int, BeforeValidator(_bytes), Field(ge=1)] | None = None
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _fits_language(self) -> Self:
        if self.language == "native":
            if self.selection is not None:
                raise ValueError("'selection' is for other languages; use 'where' and 'select'")
            return self
        wrong = [key for key in _NATIVE if getattr(self, key)]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is for the native language; use 'selection'")
        if self.selection is None:
            raise ValueError(f"language {self.language!r} needs a 'selection'")
        return self

    @property
    def request(self) -> str | dict[str, Any] | list[dict[str, Any]]:
        """The selection as its language takes it.

        In the native language a ``name: expression`` of `select` is a
        definition that is also selected.
        """
        if self.selection is not None:
            return self.selection
        define = dict(self.define)
        names: list[str] | None = None
        if self.select is not None:
            names = []
            items = [self.select] if isinstance(self.select, dict) else self.select
            for item in items:
                if isinstance(item, dict):
                    define.update(item)
                names.extend([item] if isinstance(item, str) else item)
        found: dict[str, Any] = {"tree": self.tree, "where": self.where, "define": define}
        found["select"] = names
        return {key: value for key, value in found.items() if value is not None}

    @property
    def source(self) -> Files | None:
        """The files to read, with relative paths made to start at the recipe's folder.

        None if the recipe generates its data, takes a sample or leaves the dataset open.
        """
        files = self.dataset.files if self.dataset else None
        match files:
            case str():
                return self._placed(files)
            case list():
                return [self._placed(item) for item in files]
            case dict():
                return {self._placed(key): tree for key, tree in files.items()}
        return None

    def _placed(self, name: str) -> str:
        if _SCHEME.match(name) or name.startswith("~"):
            return name
        # Text, not Path: the name may end with ":tree" or "?files=2".
        return os.path.join(self._folder, name)  # noqa: PTH118


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    RecipeError
        If the file cannot be read or is not a recipe: the first mistake, with
        its line, its place in the file, and the closest known key.
    """
    file = Path(path)
    text = YamlText(file)
    if not isinstance(text.values, dict):
        raise RecipeError(
            f"{file} is not a recipe: it holds no keys",
            hint="begin with 'title:', 'dataset:' and 'select:'",
            file=str(file),
        )
    try:
        recipe = Recipe.model_validate(text.values)
    except ValidationError as error:
        raise _refusal(error, text) from None
    recipe._folder = file.parent  # noqa: SLF001  set here once, before anyone sees it
    return recipe


def _refusal(error: ValidationError, text: YamlText) -> RecipeError:
    # Each way to read a value gives an error of its own; the one that got furthest is meant.
    found = [(_place(item, text.values), item) for item in error.errors(include_url=False)]
    place, first = max(found, key=lambda pair: len(pair[0]))
    if first["type"] == "extra_forbidden":
        # The key is wrong, not its value.
        problem, hint = "there is no such key", _known_keys(place)
    else:
        problem, hint = _sentence(first), None
    line = text.line(place)
    where = ".".join(map(str, place)) or "recipe"
    return RecipeError(
        f"{text.path}:{line}: {where}: {problem}", hint=hint, file=str(text.path), line=line
    )


def _place(error: Any, values: Any) -> tuple[int | str, ...]:
    """Return the steps to the mistake that are in the file, without pydantic's union names."""
    location = error["loc"]
    place: list[int | str] = []
    for step in location:
        if _has(values, step):
            values = values[step]
        elif error["type"] != "missing" or step is not location[-1]:
            continue
        place.append(step)
    return tuple(place)


def _has(values: Any, step: int | str) -> bool:
    if isinstance(values, dict):
        return step in values
    return isinstance(values, list) and isinstance(step, int) and step < len(values)


def _known_keys(place: tuple[int | str, ...]) -> str:
    models: dict[tuple[int | str, ...], type[BaseModel]] = {
        ("dataset",): DatasetSpec,
        ("dataset", "generate"): Generate,
        ("deliver",): DeliverSpec,
        ("resources",): ResourcesSpec,
    }
    known = list(models.get(place[:-1], Recipe).model_fields)
    return close_names(str(place[-1]), known) or f"the keys are {', '.join(known)}"


def _sentence(error: Any) -> str:
    """Return pydantic's message in the manner of ours."""
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message.replace("Input should be a valid string", "should be text")
    message = message[0].lower() + message[1:]
    value = error["input"]
    if error["type"] in {"value_error", "missing"} or isinstance(value, dict | list):
        return message
    return f"{message}, not {str(value)[:60]!r}"
