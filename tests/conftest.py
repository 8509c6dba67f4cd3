"""Fixtures that every test may use: generated files, real samples, an HTTP server, a cache."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from sxdask.core.errors import SxdaskError
from sxdask.core.settings import load_settings
from tests.servers import RangeServer, serve_ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}

# Before the fixture below hides it: samples are fetched once a user, not once a run.
USER_CACHE_DIR = load_settings().cache_dir

# Generated files make an example slow now and then on a busy machine; that is no finding.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "dev", max_examples=30, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "ci",
    max_examples=1000,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=_SLOW_IS_FINE,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if IN_CI else "dev"))


GOLDEN_DIR = Path(__file__).parents[1] / "graphs" / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that writes goldens anew."""
    parser.addoption("--update-golden", action="store_true", help="write graphs/golden/*.txt anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that takes the samples, so that ``-m 'not samples'`` leaves none out."""
    for item in items:
        if "samples" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.samples)


@pytest.fixture(scope="session", autouse=True)
def own_cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep indexes and caches of the tests away from the user's, and workers from each other."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SXDASK_")]:
            if name != "SXDASK_SAMPLES":
                patch.delenv(name)
        patch.setenv("SXDASK_CACHE_DIR", str(folder))
        patch.setenv("SXDASK_CATALOG", str(folder / "catalog.json"))
        # Tests count what is read; those of the caches switch them on.
        patch.setenv("SXDASK_RESULT_CACHE_BYTES", "0")
        patch.setenv("SXDASK_COLUMN_CACHE", "off")
        yield folder


@pytest.fixture(autouse=True)
def no_client_stays_behind() -> Iterator[None]:
    """Fail a test that leaves a lost Dask client behind, and spare the tests after it.

    sxdask runs on the client that is active, so a forgotten one is part of every
    test that follows in this process. One that answers may be of a fixture of the module.
    """
    before = _living_clients(forget={"closed", "closing", "connecting", "newly-created"})
    yield
    after = _living_clients(forget={"closed"})
    left = [client for client in after if client.status != "running"]
    for client in left:
        client.close(timeout=5)
    config = sys.modules.get("dask.config")
    if config is not None and not after and config.get("scheduler", None) == "dask.distributed":
        config.config.pop("scheduler")  # the last of two that were closed in the wrong order
    assert not [client for client in left if client not in before], f"left behind: {left}"


def _living_clients(forget: set[str]) -> list[Any]:
    """Return the clients that Dask may take for the active one, but those in a state to forget."""
    found = sys.modules.get("distributed.client")
    if found is None:
        return []
    for number, client in list(found._global_clients.items()):
        if client.status in forget:
            del found._global_clients[number]
    current = found._current_client.get()
    if current is not None and current.status in forget:
        found._current_client.set(None)
    return list(found._global_clients.values())


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of the real experiment files (`sxdask.testing.sample_files`)."""
    from sxdask.testing import sample_files

    try:
        return sample_files(USER_CACHE_DIR)
    except SxdaskError as error:
        if IN_CI:
            pytest.fail(f"CI must test with the real files: {error}")
        pytest.skip(f"real experiment files: {error}")


@pytest.fixture(scope="session")
def nanoaod(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generated NanoAOD file: 20 000 events in five clusters of 4 000. Read only."""
    from sxdask.testing import write_nanoaod

    path = tmp_path_factory.mktemp("nanoaod") / "nano.root"
    return write_nanoaod(path, 20_000, entries_per_cluster=4_000)


@pytest.fixture(scope="session")
def nanoaod_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return four generated NanoAOD files of 2 500 events in clusters of 1 000. Read only."""
    from sxdask.testing import write_nanoaod_files

    folder = tmp_path_factory.mktemp("nanoaod_files")
    return write_nanoaod_files(folder, 10_000, 4, entries_per_cluster=1_000)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a function that compares a text with ``graphs/golden/<name>.txt``.

    With ``--update-golden`` it writes the file instead; review the change then.
    """

    def compare(name: str, text: str) -> None:
        path = GOLDEN_DIR / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"there is no {path.name}; write it with --update-golden and review it")
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture
def make_nanoaod(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a file of its own for this test.

    ``make_nanoaod(num_events, name="nano.root", **options of write_nanoaod)``
    """
    from sxdask.testing import write_nanoaod

    def make(num_events: int, name: str = "nano.root", **options: Any) -> Path:
        return write_nanoaod(tmp_path / name, num_events, **options)

    return make


@pytest.fixture
def range_http_server() -> Iterator[Callable[[Path], RangeServer]]:
    """Return a function that serves a folder over HTTP with byte ranges until the test ends.

    ``server = range_http_server(folder)``; then ``server.url`` and ``server.requests``.
    """
    with ExitStack() as stack:

        def start(folder: Path) -> RangeServer:
            return stack.enter_context(serve_ranges(folder))

        yield start
