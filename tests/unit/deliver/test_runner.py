"""Which runner is chosen."""

from __future__ import annotations

import subprocess
import sys

import dask
import dask.threaded
import pytest

from sxdask.core.errors import RequestError, UnknownLanguageError
from sxdask.deliver.runner import RUNNERS, choose_runner
from sxdask.deliver.runners.get import GetRunner
from sxdask.deliver.runners.processes import ProcessRunner
from sxdask.deliver.runners.sync import SyncRunner
from sxdask.deliver.runners.threads import ThreadRunner


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [
        (None, ThreadRunner),
        ("threads", ThreadRunner),
        ("threading", ThreadRunner),
        ("processes", ProcessRunner),
        ("multiprocessing", ProcessRunner),
        ("sync", SyncRunner),
        ("single-threaded", SyncRunner),
        (dask.threaded.get, GetRunner),
    ],
)
def test_the_names_that_dask_users_know(scheduler, kind):
    assert type(choose_runner(scheduler=scheduler)) is kind
    with dask.config.set(scheduler=scheduler):
        assert type(choose_runner()) is kind


def test_the_configured_number_of_workers_holds():
    with dask.config.set(num_workers=3):
        assert ThreadRunner().num_threads == 3
        assert ProcessRunner().num_processes == 3


def test_an_unknown_name_is_refused_with_a_hint():
    with pytest.raises(UnknownLanguageError, match="did you mean 'threads'"):
        choose_runner(scheduler="thread")


def test_distributed_without_a_client_is_refused():
    with pytest.raises(RequestError, match="no distributed Client"):
        choose_runner(scheduler="distributed")


def test_every_registered_runner_can_be_loaded():
    assert {RUNNERS.load(name) for name in RUNNERS.names()} == {
        ThreadRunner,
        ProcessRunner,
        SyncRunner,
    }


def test_choosing_does_not_import_distributed():
    code = (
        "import sys; from sxdask.deliver.runner import choose_runner; choose_runner();"
        "sys.exit('distributed' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_closed_client_left_in_the_configuration_asks_for_nothing() -> None:
    with dask.config.set(scheduler="dask.distributed"):
        assert isinstance(choose_runner(), ThreadRunner)
