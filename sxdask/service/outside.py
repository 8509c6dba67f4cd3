"""What a service needs beside itself: a place for results and a cluster, started together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from distributed import wait

from sxdask.service.computing import Computing
from sxdask.service.from_settings import embedded_store, own_store
from sxdask.service.objects.profiles import worker_profile
from sxdask.service.objects.seaweed import SeaweedServer
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.transforms.imports import make_ready

if TYPE_CHECKING:
    from contextlib import ExitStack

    from sxdask.service.objects.s3 import S3Objects
    from sxdask.service.settings import ServiceSettings

OBJECT_STORE: Final = "object-store"
VOLUME: Final = "volume"
_NOBODYS: Final = "00000000-0000-4000-8000-000000000000"  # the id of no transform
_READY_S: Final = 20.0
_NICENESS: Final = 10  # of workers on the machine of the service


def open_outside(settings: ServiceSettings, stack: ExitStack) -> tuple[dict[str, Any], Computing]:
    """Return the destinations of results by name, and the cluster; `stack` closes both.

    Raises
    ------
    SxdaskError
        If one of them does not start.
    """
    options: dict[str, Any] = {"workers": settings.workers, **settings.cluster_options}
    if settings.cluster == "local":
        # Clients give a reply five seconds: on one machine, answers go before work, and
        # what schedules it shares no lock of Python's with what answers.
        options.setdefault("apart", True)
        options["worker"] = {"niceness": _NICENESS, **options.get("worker", {})}
    else:
        options.setdefault("wait_s", 0.0)  # requests wait for workers, the service does not
    computing = Computing(settings.cluster, **options)
    if settings.embeds_store:
        store = _embedded(settings, stack, computing)
    else:
        keys = own_store(settings, "")
        store = own_store(settings, _profile(settings, stack, keys))
        stack.callback(computing.close)
        computing.client()
    objects: dict[str, Any] = {OBJECT_STORE: store}
    if settings.volume is not None:
        objects[VOLUME] = VolumeObjects(settings.volume, public_url=settings.volume_url)
    return objects, computing


def _embedded(settings: ServiceSettings, stack: ExitStack, computing: Computing) -> S3Objects:
    server = SeaweedServer(settings.data_dir / "objects")
    profile = _profile(settings, stack, server.keys)
    stack.callback(server.stop)
    stack.callback(computing.close)
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(server.start)
        computing.client()
        starting.result()
    store = embedded_store(settings, server, profile)
    if settings.cluster == "local":
        _make_ready(computing, store)
    return store


def _make_ready(computing: Computing, store: S3Objects) -> None:
    """Let the first request find workers and this process with all that they need at hand."""
    client, target = computing.client(), store.target(_NOBODYS)
    asked = [
        client.submit(make_ready, target, store.storage_options(), workers=[worker], pure=False)
        for worker in client.nthreads()
    ]
    make_ready(target, store.storage_options(here=True))
    with suppress(TimeoutError):
        wait(asked, timeout=_READY_S)


def _profile(settings: ServiceSettings, stack: ExitStack, keys: Any) -> str:
    """Return the name under which this process finds the keys of the object store."""
    return stack.enter_context(worker_profile(settings.data_dir, keys.access_key, keys.secret_key))
