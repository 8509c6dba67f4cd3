"""Clusters for users: one call for every place where workers may run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.clusters.opening import Cluster


def cluster(
    name: str = "local", /, *, resources: Mapping[str, Any] | None = None, **options: Any
) -> Cluster:
    """Return a Dask cluster as a context manager whose value is its distributed Client.

    Nothing is started before the ``with`` (or `start`). Python, dask, awkward,
    uproot and sxdask are compared between here, scheduler and workers.

    Parameters
    ----------
    name
        ``"local"`` (processes of this machine), ``"kubernetes"``, ``"gateway"``, the
        address of a scheduler (``"tcp://host:8786"``), or a name from
        ``~/.config/sxdask/clusters.yaml`` (or the file that ``SXDASK_CLUSTERS`` names).
    resources
        What a request asks for: the keys ``workers``, ``minimum``, ``maximum``,
        ``threads_per_worker``, ``memory_limit``, ``image``; what a place does not let
        choose is passed over. `options` win over it.
    **options
        `workers` for a number that stays, or `minimum` and `maximum` for one that
        follows the bytes that are queued (`queue_s` seconds of work, 20 by default).
        `threads_per_worker` and `memory_limit` (bytes, or text such as ``"4GiB"``) of
        each worker. `worker` is a mapping of names of credentials, caches and
        limits (`sxdask.clusters.worker.WorkerSettings`). `wait_s` is how many
        seconds to wait for the first worker (300), `allowed_failures` how many workers
        may die with a task (3). The others go to the backend.

    Returns
    -------
    Cluster
        With `start`, `close`, `adapt` and `dashboard` (the link for a browser).

    Raises
    ------
    RequestError
        If there is no such cluster or option, or an option is a secret.
    MissingExtraError
        If the backend needs a package that is not installed.

    Examples
    --------
    >>> import sxdask as sx
    >>> with sx.cluster("local", workers=1, processes=False) as client:
    ...     client.submit(pow, 2, 10).result()
    1024
    """
    from sxdask.clusters.opening import open_cluster

    return open_cluster(name, resources=resources, **options)
