"""coffea processors over a request, or over a fileset as coffea's Runner takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sxdask.core.errors import RequestError
from sxdask.core.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.pipeline.source import Source
    from sxdask.plan.nodes import Plan
    from sxdask.processing.inputs import Request
    from sxdask.processing.processor import Skip


class Processing:
    """What a `Query` does with a coffea processor."""

    source: Source
    plan: Plan

    def process(  # noqa: PLR0913 - the options of coffea's Runner, by keyword
        self,
        processor: Any,
        schema: Any = None,
        *,
        client: Any = None,
        scheduler: Any = None,
        progress: Any = None,
        metadata: Mapping[str, Any] | None = None,
        chunksize: int | None = None,
        maxchunks: int | None = None,
        skipbadfiles: Skip = False,
        savemetrics: bool = False,
        retries: int = 3,
    ) -> Any:
        """Run a coffea processor over the events of the request.

        Its conditions are applied before the processor sees the events, and
        its columns are all that the processor finds; with ``BaseSchema`` those
        that it computes are fields like the others. Events are made from the
        index, no file is opened for them, and what the processor reads of the
        first chunk is read ahead, in one go, for the others.

        Parameters
        ----------
        processor
            A coffea ``ProcessorABC``, its class, or a function of events that
            returns an accumulator.
        schema
            A coffea schema class; by default ``NanoAODSchema``.
        client, scheduler, progress
            As for `compute`.
        metadata
            What the processor finds in ``events.metadata`` besides
            ``dataset`` (the dataset's name), ``filename``, ``treename``,
            ``entrystart``, ``entrystop`` and ``fileuuid``.
        chunksize
            Entries of a chunk, about; by default chunks follow the clusters of
            the file and the bytes that the processor reads.
        maxchunks
            Most chunks that are processed.
        skipbadfiles
            True to leave out what cannot be read, or the exceptions to bear.
        savemetrics
            Return what it cost as well.
        retries
            Further tries of a chunk after a fault of storage or network.

        Returns
        -------
        accumulator
            The sum over all chunks, after the processor's ``postprocess``; with
            `savemetrics` a pair of it and the report.

        Raises
        ------
        MissingExtraError
            If coffea is not installed.
        UserFunctionError
            If the processor fails, with the place of the events.
        RequestError
            If the schema cannot be made of the columns.
        """
        from sxdask.processing.fileset import FilesetDataset, FilesetFile, user_metadata
        from sxdask.processing.inputs import planned
        from sxdask.processing.processor import Target

        request = planned(self.plan)
        tree = self.source.default_tree
        name = self.source.files.name
        self.source.settle(tree)
        files = tuple(
            FilesetFile(item.url, url, item.tree or tree)
            for item, url in zip(self.source.files.files, self.source.urls, strict=True)
        )
        found = FilesetDataset(name, files, user_metadata(metadata, name))
        target = Target([found], self.source.settings, request, self.source)
        return _run(
            processor,
            schema,
            target,
            {"chunksize": chunksize, "maxchunks": maxchunks, "retries": retries},
            {"client": client, "scheduler": scheduler, "progress": progress},
            skipbadfiles=skipbadfiles,
            savemetrics=savemetrics,
        )


def run_processor(  # noqa: PLR0913 - the options of coffea's Runner, by keyword
    processor: Any,
    fileset: Any,
    schema: Any = None,
    *,
    client: Any = None,
    scheduler: Any = None,
    treename: str | None = None,
    where: Any = None,
    progress: Any = None,
    chunksize: int | None = None,
    maxchunks: int | None = None,
    skipbadfiles: Skip = False,
    savemetrics: bool = False,
    retries: int = 3,
    settings: Settings | None = None,
) -> Any:
    """Run a coffea processor over a fileset, both as coffea's Runner takes them.

    Parameters
    ----------
    processor
        A coffea ``ProcessorABC``, its class, or a function of events that
        returns an accumulator.
    fileset
        ``{dataset: [files]}`` or ``{dataset: {"files": ..., "treename": ...,
        "metadata": ...}}``, files a list or a mapping to their trees; also what
        coffea's ``preprocess`` gives, or the path of either as JSON.
    schema
        A coffea schema class; by default ``NanoAODSchema``.
    client, scheduler, progress
        As for `Query.compute`.
    treename
        The tree of files that name none; by default the usual one of a file.
    where
        A native expression, or a `Query`: its conditions are applied before
        the processor sees the events, its columns are all that there is.
    chunksize, maxchunks
        Entries of a chunk, about, and most chunks of a dataset; by default
        chunks follow the clusters of the file and the bytes that are read.
    skipbadfiles
        True to leave out what cannot be read, or the exceptions to bear; the
        report lists what was left out.
    savemetrics
        Return what it cost as well.
    retries
        Further tries of a chunk after a fault of storage or network.

    Returns
    -------
    accumulator
        The sum over all chunks, after the processor's ``postprocess``; with
        `savemetrics` a pair of it and the report.

    Raises
    ------
    MissingExtraError
        If coffea is not installed.
    UserFunctionError
        If the processor fails, with the place of the events.
    RequestError
        If the fileset has no known form, or the schema cannot be made of a tree.

    Examples
    --------
    >>> import sxdask as sx
    >>> from sxdask.testing import write_nanoaod
    >>> path = str(write_nanoaod(getfixture("tmp_path") / "events.root", 100))
    >>> sx.run_processor(lambda events: {"events": len(events)}, {"test": [path]})
    {'events': 100}
    """
    from sxdask.processing.fileset import parse_fileset
    from sxdask.processing.processor import Target

    datasets = parse_fileset(fileset, treename)
    target = Target(datasets, settings or load_settings(), _request(where))
    return _run(
        processor,
        schema,
        target,
        {"chunksize": chunksize, "maxchunks": maxchunks, "retries": retries},
        {"client": client, "scheduler": scheduler, "progress": progress},
        skipbadfiles=skipbadfiles,
        savemetrics=savemetrics,
    )


def _request(where: Any) -> Request | None:
    from sxdask.processing.inputs import condition, planned

    if where is None:
        return None
    if isinstance(where, str):
        return condition(where)
    if hasattr(where, "plan"):
        return planned(where.plan)
    raise RequestError(
        f"where takes an expression or a query, and this is a {type(where).__name__}",
        hint='such as where="(nMuon >= 2) & (MET_pt > 50)"',
    )


def _run(
    processor: Any,
    schema: Any,
    target: Any,
    cut: Mapping[str, int | None],
    place: Mapping[str, Any],
    *,
    skipbadfiles: Skip,
    savemetrics: bool,
) -> Any:
    from sxdask.processing.processor import postprocessed, prepare, skippable
    from sxdask.processing.run import Policy

    for name, value in cut.items():
        if value is not None and (isinstance(value, bool) or value < (name != "retries")):
            raise RequestError(f"{name} is {value!r}", hint="use a whole number that is positive")
    policy = Policy(**cut, can_skip=skippable(skipbadfiles))  # type: ignore[arg-type]
    instance, run = prepare(processor, schema, target, policy, show=place["progress"])
    accumulator = run.result(place["client"], place["scheduler"])
    if accumulator is None:
        from sxdask.core.errors import EmptyDatasetError

        raise EmptyDatasetError(
            "all chunks were skipped", hint=f"the first one: {run.report.skipped[0]['problem']}"
        )
    found = postprocessed(instance, accumulator)
    return (found, run.report.as_dict()) if savemetrics else found
