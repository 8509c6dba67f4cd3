"""A cluster on this machine whose scheduler is a process of its own, as its workers are.

Dask's LocalCluster has its scheduler in the process that made it, where it shares
Python's lock with whatever that process does. A service that answers many clients has
better uses for it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any, Final

from distributed import LocalCluster, Scheduler
from distributed.core import Status
from distributed.deploy.spec import ProcessInterface
from distributed.process import AsyncProcess
from distributed.utils import get_mp_context

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

_START_S: Final = 60.0
_STOP_S: Final = 10.0


class SchedulerProcess(ProcessInterface):  # type: ignore[misc]  # distributed has no types
    """A scheduler in a process that ends with this one, be it killed.

    Takes the arguments of `distributed.Scheduler`, which must be such as can be sent.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = options
        self.process: Any = None

    async def start(self) -> None:
        """Start the process; return when the scheduler can be connected to."""
        reading, writing = get_mp_context().Pipe(duplex=False)
        self.process = AsyncProcess(
            target=_serve, args=(self._options, writing), name="Dask Scheduler process"
        )
        self.process.set_exit_callback(self._ended)
        try:
            await self.process.start()
            writing.close()  # so that an end of the process is the end of what is read
            self.address = await asyncio.wait_for(asyncio.to_thread(_read, reading), _START_S)
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            raise RuntimeError("the process of the scheduler did not start") from error
        finally:
            reading.close()
        await super().start()

    async def close(self) -> None:
        """End the process: by itself if its scheduler was told to, else by force."""
        process, self.process = self.process, None
        if process is not None and process.pid is not None:
            try:
                await process.join(_STOP_S if self.address else 0)
            except TimeoutError:
                await process.kill()
                await process.join()
            process.close()
        await super().close()

    def _ended(self, _: Any) -> None:
        self.status = Status.closed  # workers that are closed later need not be signed off


class ApartCluster(LocalCluster):  # type: ignore[misc]  # distributed has no types
    """A LocalCluster whose scheduler is a `SchedulerProcess`."""

    scheduler_spec: dict[str, Any]

    async def _start(self) -> None:
        self.scheduler_spec = {**self.scheduler_spec, "cls": SchedulerProcess}
        await super()._start()


def _read(pipe: Connection) -> str:
    address: str = pipe.recv()
    return address


def _serve(options: Mapping[str, Any], told: Connection) -> None:
    # A terminal interrupts every process of a job; this one is ended by who started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    asyncio.run(_schedule(options, told))


async def _schedule(options: Mapping[str, Any], told: Connection) -> None:
    scheduler = await Scheduler(**options)
    told.send(scheduler.address)
    told.close()
    await scheduler.finished()
