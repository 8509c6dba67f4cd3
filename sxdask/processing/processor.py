"""Running a processor: what users may pass, checked, and the run from beginning to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sxdask.core.errors import (
    DataError,
    DatasetError,
    EmptyDatasetError,
    ReadFailedError,
    RequestError,
    SxdaskError,
    UnknownTreeError,
    UserFunctionError,
)
from sxdask.processing.forms import require_coffea

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sxdask.core.settings import Settings
    from sxdask.pipeline.source import Source
    from sxdask.processing.fileset import FilesetDataset
    from sxdask.processing.inputs import Bound, CanSkip, Request
    from sxdask.processing.run import Policy, ProcessorRun

Skip: TypeAlias = "bool | type[BaseException] | tuple[type[BaseException], ...]"


@dataclass(frozen=True, slots=True)
class Shipped:
    """A processor as it travels: pickled, with its name and its schema."""

    payload: bytes
    name: str
    schema: Any


@dataclass(frozen=True, slots=True)
class Target:
    """What is processed: datasets with a request; `source` if they are a user's dataset."""

    datasets: Sequence[FilesetDataset]
    settings: Settings
    request: Request | None = None
    source: Source | None = None


def prepare(
    processor: Any, schema: Any, target: Target, policy: Policy, *, show: Any = None
) -> tuple[Any, ProcessorRun]:
    """Return the processor as an instance, and a run of it that is ready to go.

    Raises
    ------
    MissingExtraError
        If coffea is not installed.
    RequestError
        If `processor` is none, cannot be sent to workers, or the schema
        cannot be made of the branches.
    SxdaskError
        If files cannot be indexed.
    """
    require_coffea()
    from sxdask.processing.inputs import bind
    from sxdask.processing.run import ProcessorRun

    instance = as_processor(processor)
    schema = as_schema(schema)
    shipped = Shipped(_pickled(instance), _name(instance), schema)
    bound = bind(
        target.datasets,
        schema,
        target.settings,
        request=target.request,
        source=target.source,
        can_skip=policy.can_skip,
    )
    if not bound.datasets:
        raise EmptyDatasetError(
            "no file of the fileset can be read",
            hint=f"the first one: {bound.skipped[0][2].problem}"[:900] if bound.skipped else None,
        )
    _require_schema(bound, schema)
    return instance, ProcessorRun(shipped, bound, target.settings, policy, show=show)


def postprocessed(instance: Any, accumulator: Any) -> Any:
    """Return what the processor's ``postprocess`` makes of its accumulator, as coffea calls it.

    Raises
    ------
    UserFunctionError
        If it fails.
    """
    work = getattr(instance, "postprocess", None)
    if not callable(work):
        return accumulator
    try:
        found = work(accumulator)
    except SxdaskError:
        raise
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserFunctionError(
            f"postprocess of {_name(instance)} fails: {type(error).__name__}: {said}",
            cause=type(error).__name__,
        ) from error
    return accumulator if found is None else found


def as_processor(processor: Any) -> Any:
    """Return the instance of a processor, or the function that `processor` is.

    Raises
    ------
    RequestError
        If it is neither a `ProcessorABC` nor callable.
    """
    if isinstance(processor, type) and hasattr(processor, "process"):
        try:
            processor = processor()
        except TypeError as error:
            raise RequestError(
                f"{processor.__name__} cannot be made without arguments: {error}"[:380],
                hint="pass an instance in place of the class",
            ) from None
    if callable(getattr(processor, "process", None)) or callable(processor):
        return processor
    raise RequestError(
        f"a {type(processor).__name__} is no processor",
        hint="pass a coffea ProcessorABC, or a function of events that returns an accumulator",
    )


def as_schema(schema: Any) -> Any:
    """Return the schema class, by default coffea's for NanoAOD.

    Raises
    ------
    RequestError
        If it is none.
    """
    from coffea.nanoevents import BaseSchema, NanoAODSchema

    if schema is None:
        return NanoAODSchema
    if (isinstance(schema, type) and not issubclass(schema, BaseSchema)) or not callable(schema):
        raise RequestError(
            f"{schema!r} is no schema"[:200],
            hint="pass a subclass of coffea.nanoevents.BaseSchema, such as NanoAODSchema",
        )
    return schema


def skippable(skipbadfiles: Skip) -> CanSkip:
    """Return what says whether an error costs only the file, or chunk, that it is of.

    True means what bad files cause: they are missing, truncated, damaged or
    cannot be fetched. Types of exceptions are those of sxdask, or ``OSError``
    for all of that, as with coffea's Runner.
    """
    if not skipbadfiles:
        return lambda _: False
    kinds: tuple[type[BaseException], ...]
    if isinstance(skipbadfiles, bool):
        kinds = (OSError,)
    else:
        kinds = skipbadfiles if isinstance(skipbadfiles, tuple) else (skipbadfiles,)
    bad_file = (DataError, DatasetError, ReadFailedError)

    def can_skip(error: SxdaskError) -> bool:
        if isinstance(error, UserFunctionError):
            return False
        if isinstance(error, kinds):
            return True
        if any(issubclass(kind, OSError) for kind in kinds):
            is_tree = isinstance(error, UnknownTreeError)
            return isinstance(error, bad_file) and not is_tree
        # uproot raises a KeyError for a missing tree
        missing_tree = any(issubclass(kind, KeyError) for kind in kinds)
        return missing_tree and isinstance(error, UnknownTreeError)

    return can_skip


def _pickled(processor: Any) -> bytes:
    import cloudpickle

    try:
        payload: bytes = cloudpickle.dumps(processor)
    except Exception as error:  # noqa: BLE001 - pickling may raise anything at all
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    else:
        return payload
    raise RequestError(
        f"processor {_name(processor)} cannot be sent to workers: {said}",
        hint="open files and make connections in process(), not in __init__",
    )


def _name(processor: Any) -> str:
    return getattr(processor, "__name__", None) or type(processor).__name__


def _require_schema(bound: Bound, schema: Any) -> None:
    """Make the events of each kind of file once, so that a misfit is known before any work."""
    for kind in bound.kinds:
        place = {"filename": "", "treename": "", "entrystart": 0, "entrystop": 0, "fileuuid": ""}
        metadata: Mapping[str, Any] = {"dataset": kind.dataset, **place, **kind.metadata}
        try:
            kind.template(schema, metadata)  # what the schema has to warn of is said here, once
        except SxdaskError:
            raise
        except Exception as error:  # noqa: BLE001 - schemas raise anything at a misfit
            said = (str(error).strip().splitlines() or [type(error).__name__])[0].strip()[:200]
        else:
            continue
        selected = kind.allowed is not None
        left = "the branches that are selected" if selected else f"dataset {kind.dataset!r}"
        raise RequestError(
            f"{_name(schema)} cannot be made of {left}: {said}",
            hint="select what it needs as well (run, luminosityBlock, event), or use BaseSchema"
            if selected
            else "use the schema of this kind of file, such as BaseSchema",
        )
