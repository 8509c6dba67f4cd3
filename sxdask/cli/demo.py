"""``sxdask demo``: the main job from end to end, told step by step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from sxdask.cli.options import settings
from sxdask.cli.table import table
from sxdask.core.errors import DataError, MissingExtraError, SxdaskError

if TYPE_CHECKING:
    from sxdask.api import Dataset, Query
    from sxdask.cli.demo_analysis import Spectrum

_EXTRAS: Final = ("coffea", "matplotlib")
_FILES: Final = 4
_CLUSTERS_A_FILE: Final = 5
# So small that each cluster is a partition: enough of them to watch.
_PARTITION_BYTES: Final = 1
_REAL_FILE: Final = "nano_dimuon.root"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one step cost; bytes are compressed bytes, as they lie in the files."""

    name: str
    seconds: float
    entries: int = 0
    bytes_read: int = 0
    bytes_in_files: int = 0

    def cells(self) -> list[str]:
        """Return the row of the table at the end."""
        if not self.bytes_in_files:
            return [self.name, f"{self.seconds:.2f}", "", "", "", ""]
        return [
            self.name,
            f"{self.seconds:.2f}",
            f"{self.entries:,}",
            f"{self.bytes_read / 1e6:.2f}",
            f"{self.bytes_read / max(self.seconds, 1e-9) / 1e6:.1f}",
            f"{self.bytes_read / self.bytes_in_files:.1%}",
        ]


@dataclass(slots=True)
class Story:
    """What the steps share: where to write, how to talk, what was measured."""

    output: Path
    console: Console
    steps: list[Measured] = field(default_factory=list)
    chapter: int = 0

    def head(self, title: str) -> None:
        """Begin a chapter."""
        self.chapter += 1
        self.console.print()
        self.console.rule(f"[bold]{self.chapter}  {title}", align="left")

    def say(self, text: str) -> None:
        """Print text as it is."""
        self.console.print(text, markup=False)

    def ran(self, name: str, query: Query, data: Dataset) -> None:
        """Keep what the last run of `query` over `data` cost."""
        report, seconds = query.summary.report, query.summary.seconds or 0.0
        size = sum(Path(file).stat().st_size for file in data.files)
        self.steps.append(Measured(name, seconds, report.entries_in, report.bytes_read, size))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure the time of something that reads no columns."""
        began = time.perf_counter()
        yield
        self.steps.append(Measured(name, time.perf_counter() - began))


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Directory for the picture and the Arrow files.")
    ] = Path("demo-output"),
    events: Annotated[
        int, typer.Option("--events", min=1_000, help="Number of events to generate.")
    ] = 1_000_000,
    offline: Annotated[
        bool, typer.Option("--offline", help="Without the real file, which comes from PyPI.")
    ] = False,
) -> None:
    """Show the main job: from ROOT files to a selection, Arrow files and a picture.

    A real CMS file and a million generated events, on a Dask cluster that is
    started on this machine. Takes a minute or two.
    """
    _require_extras()
    output.mkdir(parents=True, exist_ok=True)
    story = Story(output, Console(highlight=False, soft_wrap=True))
    real = None if offline else _real_file(story)
    data = _generated(story, events)
    story.head("A Dask cluster on this machine")
    from sxdask.clusters.backend import BACKENDS

    with BACKENDS.load("local")(dashboard=True) as client:
        workers = client.scheduler_info()["workers"]
        story.say(f"{len(workers)} worker processes; watch them at {client.dashboard_link}")
        with story.timed("index the files"):
            data.index()
        spectrum = _select_and_stream(story, data, client)
        _deliver(story, data, client)
        _prune(story, data, client)
        _analyse(story, data, client, spectrum)
    _finish(story, spectrum, real)


def _require_extras() -> None:
    for name in _EXTRAS:
        if find_spec(name) is None:
            raise MissingExtraError(
                f"the demonstration needs the package {name!r}",
                hint="pip install 'sxdask[demo]', or run: make demo",
            )


def _real_file(story: Story) -> Spectrum | None:
    """Inspect and query a file of CMS; None where it cannot be had."""
    import sxdask as sx
    from sxdask.cli.demo_analysis import REAL, Spectrum, pair_query
    from sxdask.testing import sample_files

    story.head("A real file: collisions that CMS recorded in 2018")
    try:
        with story.timed("fetch the real file"):
            path = sample_files() / _REAL_FILE
    except SxdaskError as error:
        story.say(f"left out: {error}")
        return None
    data = sx.dataset(path, "Events")
    size = path.stat().st_size
    story.say(f"{path}: {data.num_events} events, {len(data.schema)} branches, {size:,} bytes")
    story.say(f"some of them:\n{_some_branches(data)}")
    query = pair_query(data, low=0.0, high=REAL.high)
    found = query.compute(scheduler="sync")
    story.ran("select in the real file", query, data)
    runs = sorted(set(found["run"].tolist()))
    story.say(f"{len(found)} events of run {runs[0]} have two muons of opposite charge;")
    story.say("their masses in GeV: " + ", ".join(f"{m:.1f}" for m in found["dimuon_mass"]))
    spectrum = Spectrum.empty(REAL, f"CMS data, run {runs[0]}")
    spectrum.fill(found["dimuon_mass"])
    return spectrum


def _some_branches(data: Dataset) -> str:
    wanted = ("run", "event", "nMuon", "Muon_pt", "Muon_charge", "HLT_IsoMu24", "MET_pt")
    schema = data.schema
    rows = [[name, schema[name].type, schema[name].title] for name in wanted if name in schema]
    return table(["branch", "type", "title"], rows)


def _generated(story: Story, events: int) -> Dataset:
    """Write the generated sample, once, and return it as a dataset."""
    import sxdask as sx
    from sxdask.requests.recipe import Generate
    from sxdask.testing.generated import generated_files

    story.head(f"{events:,} generated events, in the format of NanoAOD")
    values = replace(settings(), partition_bytes=_PARTITION_BYTES)
    cluster = max(events // _FILES // _CLUSTERS_A_FILE, 1)
    spec = Generate(num_events=events, files=_FILES, seed=2026, entries_per_cluster=cluster)
    with story.timed("write the sample (once)"):
        files = generated_files(spec, values.cache_dir)
    size = sum(path.stat().st_size for path in files)
    story.say(f"{len(files)} files, {size / 1e6:.0f} MB, in {files[0].parent}")
    return sx.dataset(files, "Events", name="generated Z, W, top and jets", settings=values)


def _select_and_stream(story: Story, data: Dataset, client: Any) -> Spectrum:
    """Explain the request, then stream its partitions into a histogram."""
    from sxdask.cli.demo_analysis import GENERATED, Spectrum, z_query

    story.head("The request, and what it will read")
    query = z_query(data)
    explained = query.explain()
    story.say(explained)
    (story.output / "explain.txt").write_text(explained + "\n")
    story.head("Partitions stream back as Arrow, as they finish")
    spectrum = Spectrum.empty(GENERATED, "sxdask, streamed")
    first: float | None = None
    began = time.perf_counter()
    for part in query.stream(client=client, progress=True):
        first = first or time.perf_counter() - began
        spectrum.fill(part.table["dimuon_mass"])
    story.say(
        f"{spectrum.total:,} Z candidates; the first partition came after {first or 0.0:.2f} s"
    )
    story.ran("select and stream", query, data)
    return spectrum


def _deliver(story: Story, data: Dataset, client: Any) -> None:
    """Write the selection as Arrow files with a manifest, and check what was written."""
    from sxdask.cli.demo_analysis import z_query

    story.head("The same rows as Arrow files, all or nothing")
    query = z_query(data)
    target = story.output / "arrow"
    manifest = query.deliver(target, "arrow", client=client, progress=True, overwrite=True)
    story.ran("select and deliver", query, data)
    problems = manifest.verify()
    if problems:
        raise DataError(f"the delivery is damaged: {problems[0]}", file=str(target))
    story.say(str(manifest))
    story.say(f"read back: {manifest.rows:,} rows, every checksum fits the manifest")


def _prune(story: Story, data: Dataset, client: Any) -> None:
    """Ask for a range of events twice: reading teaches where the range cannot be."""
    story.head("What cannot match is not read")
    total = data.num_events
    low, high = total // 2, total // 2 + total // 100
    predicate = f"(event > {low}) & (event <= {high})"
    story.say(f"where {predicate}")
    for name in ("a range of events", "the same again"):
        query = data.where(predicate).select("event", "Jet_pt", "MET_pt")
        facts = _lines_of(query, "partitions", "bytes to read")
        found = query.compute(client)
        if len(found) != high - low:
            raise DataError(f"{len(found)} rows where there must be {high - low}")
        story.say(f"{name}: {len(found):,} rows\n{facts}")
        story.ran(name, query, data)
    story.say("the first time taught the minimum and maximum of every basket of 'event'")


def _lines_of(query: Query, *names: str) -> str:
    lines = [line.strip() for line in query.explain().splitlines()]
    return "\n".join(f"  {line}" for line in lines if line.startswith(names))


def _analyse(story: Story, data: Dataset, client: Any, spectrum: Spectrum) -> None:
    """Feed the partitions to a coffea processor and compare its histogram with ours."""
    from sxdask.cli.demo_analysis import COFFEA_COLUMNS, run_processor

    story.head("A coffea processor, with sxdask doing the reading")
    query = data.where("nMuon == 2").select(*COFFEA_COLUMNS)
    theirs = run_processor(query, client)
    story.ran("feed a coffea processor", query, data)
    spectrum.other = theirs
    story.say(f"{int(theirs.sum()):,} Z candidates from NanoEvents and four-vectors;")
    moved = spectrum.moved
    if int(theirs.sum()) == spectrum.total and not moved:
        story.say(f"the same counts in all {len(spectrum.values)} bins as above")
        return
    story.say(f"{moved} of them in another bin than above, where the formula is massless")
    if moved > spectrum.tolerance:
        raise DataError(f"the two histograms differ by {moved} events")


def _finish(story: Story, spectrum: Spectrum, real: Spectrum | None) -> None:
    """Draw the picture and print what everything cost."""
    from sxdask.cli.demo_picture import draw

    story.head("The picture, and the numbers")
    with story.timed("draw"):
        picture = draw(spectrum, real, story.output / "dimuon_mass.png")
    header = ["step", "seconds", "events", "MB read", "MB/s", "of the files"]
    story.say(table(header, [item.cells() for item in story.steps], right=header[1:]))
    story.say("\nMB are compressed, as in the files; seconds include planning and scheduling\n")
    story.say(f"picture      {picture}")
    story.say(f"Arrow files  {story.output / 'arrow'}")
