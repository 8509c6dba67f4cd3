"""``sxdask batch``: recipes that wait for a cluster, run one after the other, and survive."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sxdask.cli.options import ClusterOptionsOption, JsonOption, cluster_options
from sxdask.cli.table import table

if TYPE_CHECKING:
    from sxdask.clusters.batch.queue import BatchJob, Queue

app = typer.Typer(no_args_is_help=True, help="A queue of recipes over one or more clusters.")

FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIRECTORY", help="Of the queue; by default the user's own."),
]
NamedOption = Annotated[
    str,
    typer.Option("--cluster", "-c", metavar="NAME|ADDRESS", help="Where the recipes run."),
]
NumbersArgument = Annotated[list[int], typer.Argument(metavar="JOB...", help="Numbers of jobs.")]


@app.command()
def submit(  # noqa: PLR0913  one parameter an option
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="Recipes.")],
    *,
    cluster: NamedOption = "local",
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DIRECTORY", help="Deliver to folders here, one a recipe."),
    ] = None,
    clusters: Annotated[
        int, typer.Option("--clusters", min=1, max=100, help="How many clusters work at once.")
    ] = 1,
    retries: Annotated[
        int, typer.Option("--retries", min=0, help="Further tries after a fault of the system.")
    ] = 3,
    cluster_option: ClusterOptionsOption = None,
    folder: FolderOption = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Queue only: 'sxdask batch work' or cron runs them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Queue recipes as they are now, and start clusters for them that outlive this command."""
    from sxdask.clusters.batch.queue import targets
    from sxdask.clusters.batch.slot import start_slots
    from sxdask.clusters.opening import open_cluster

    options = cluster_options(cluster_option)
    open_cluster(cluster, **options)  # a mistake is told here and not in a log
    queue = _queue(folder)
    jobs = [
        queue.submit(path, target, cluster=cluster, options=options, retries=retries)
        for path, target in targets(recipes, to).items()
    ]
    if not hold:
        start_slots(queue, cluster, options, min(clusters, len(jobs)))
    _show(jobs, as_json)


@app.command("list")
def list_jobs(folder: FolderOption = None, as_json: JsonOption = False) -> None:
    """List the jobs of the queue."""
    queue = _queue(folder)
    queue.recover()
    _show(queue.jobs(), as_json)


@app.command()
def logs(
    number: Annotated[int, typer.Argument(metavar="JOB", help="Number of a job.")],
    folder: FolderOption = None,
) -> None:
    """Print what a job printed, all of its attempts."""
    queue = _queue(folder)
    log = queue.log(queue.job(number).id)
    if log.exists():
        typer.echo(log.read_text(encoding="utf-8", errors="replace"), nl=False)


@app.command()
def cancel(numbers: NumbersArgument, folder: FolderOption = None) -> None:
    """Cancel jobs: those that wait at once, those that run within seconds."""
    queue = _queue(folder)
    for number in numbers:
        queue.job(number)
    for number in numbers:
        job = queue.cancel(number)
        typer.echo(f"{job.id} {'is being cancelled' if job.state == 'running' else job.state}")


@app.command()
def work(
    cluster: NamedOption = "local",
    cluster_option: ClusterOptionsOption = None,
    folder: FolderOption = None,
) -> None:
    """Be one slot: start a cluster, run what is queued for it, end when nothing is.

    For cron, systemd and a CronJob of Kubernetes; any number may run at once.
    """
    from sxdask.clusters.batch.slot import Slot

    def tell(line: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        typer.echo(f"{stamp} {line}")

    Slot(_queue(folder), cluster, cluster_options(cluster_option), tell=tell).run()


def _queue(folder: Path | None) -> Queue:
    from sxdask.clusters.batch.queue import Queue, default_folder

    return Queue((folder or default_folder()).absolute())


def _show(jobs: list[BatchJob], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(job) for job in jobs], indent=1))
        return
    rows = [
        [
            str(job.id),
            job.state,
            job.title,
            job.cluster,
            str(job.attempts),
            _seconds(job),
            job.error or job.target,
        ]
        for job in jobs
    ]
    typer.echo(table(["job", "state", "title", "cluster", "tries", "seconds", ""], rows))


def _seconds(job: BatchJob) -> str:
    if job.started is None:
        return ""
    return f"{(job.ended or time.time()) - job.started:.1f}"
