"""A Kubernetes for a session of tests, with the operator of Dask, and a namespace for each test.

It is the cluster that ``KUBERNETES_TESTS_CONFIG`` names (a kubeconfig, with
images of the tag ``KUBERNETES_TESTS_TAG`` loaded), or one of kind, or one that
is started here, for which this has to be root.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.charts import OPERATOR as OPERATOR_CHART
from tests.charts import chart_with_operator
from tests.cluster_tools import Tools, cluster_tools
from tests.conftest import USER_CACHE_DIR
from tests.kubernetes.build import kubernetes_programs
from tests.kubernetes.images import OPERATOR, WORKER, Images, project_images
from tests.kubernetes.kind import has_kind, running_kind
from tests.kubernetes.packages import install_packages
from tests.kubernetes.place import Place, eventually, is_going, of_dask, shown, staying
from tests.kubernetes.plane import OUTSIDE, running_plane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
CACHE = USER_CACHE_DIR / "k8s"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder: it is not part of the default suite."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)
            # Debian's server is older than what the operator's library is tested with, and so
            # is Debian's Python than this one.
            for ignored in (
                "ignore:Kubernetes version:UserWarning",
                "ignore:\\nMismatched versions found",
                "ignore:Mismatched versions found",
                "ignore::ResourceWarning",
            ):
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Return helm and kubectl."""
    return cluster_tools(USER_CACHE_DIR)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that pods may mount under the same path."""
    folder = tmp_path_factory.mktemp("shared")
    for parent in (folder, *folder.parents[:3]):
        if str(parent).startswith("/tmp/"):  # noqa: S108 - where pytest makes it
            parent.chmod(parent.stat().st_mode | 0o055)  # pods are another user
    return folder


@pytest.fixture(scope="session")
def place_and_tag(
    tools: Tools, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, str]]:
    """Return the cluster and the tag of the images in it."""
    given = os.environ.get("KUBERNETES_TESTS_CONFIG")
    if given:
        yield Place(Path(given), tools.kubectl, OUTSIDE), os.environ["KUBERNETES_TESTS_TAG"]
        return
    scratch = tmp_path_factory.mktemp("kubernetes")
    if has_kind():
        images: Images = project_images(CACHE, scratch)
        with running_kind(scratch, shared, tools) as kind:
            kind.load(images)
            yield kind, images.tag
        return
    install_packages()
    programs = kubernetes_programs(CACHE)
    images = project_images(CACHE, scratch)
    with running_plane(CACHE, programs, tools) as plane:
        plane.wait_ready()
        plane.load(images)
        yield plane, images.tag


@pytest.fixture(scope="session")
def place(place_and_tag: tuple[Place, str]) -> Place:
    """Return the cluster."""
    return place_and_tag[0]


@pytest.fixture(scope="session")
def tag(place_and_tag: tuple[Place, str]) -> str:
    """Return the tag of the images of this project."""
    return place_and_tag[1]


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the chart with that of the operator in it."""
    return chart_with_operator(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def helm(
    tools: Tools, place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Return a function that runs helm as administrator."""
    home = tmp_path_factory.mktemp("helm")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [str(tools.helm), f"--kubeconfig={place.kubeconfig}", *arguments],
            capture_output=True,
            text=True,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def operator(place: Place, tag: str, chart: Path, helm: Callable[..., str]) -> str:
    """Install the operator once; return its namespace."""
    name = "dask-operator"
    helm(
        *("upgrade", "--install", "operator", str(chart / "charts" / OPERATOR_CHART)),
        *("--namespace", name, "--create-namespace"),
        *("--set", f"image.name={OPERATOR},image.tag={tag},livenessProbe.timeoutSeconds=60"),
    )
    place.kubectl("rollout", "status", "deployment", "--namespace", name, "--timeout=120s")
    return name


@pytest.fixture(scope="session")
def left_by_tests(place: Place) -> Iterator[dict[str, str]]:
    """Return the names of namespaces of tests that ended; they are empty at the end of all.

    The operator takes a minute to let go of a cluster whose scheduler does not answer,
    and the kubelet ten seconds to forget a pod: no test has to wait for that.
    """
    ended: dict[str, str] = {}
    yield ended
    end = time.monotonic() + 180
    while (left := [item for name in ended for item in of_dask(place, name)]) and (
        time.monotonic() < end
    ):
        time.sleep(0.5)
    if ended:
        place.kubectl("delete", "namespace", *ended, "--wait=false")
    assert not left, [f"{shown(item)} of {ended[item['metadata']['namespace']]}" for item in left]


@pytest.fixture
def namespace(
    place: Place, operator: str, left_by_tests: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[str]:
    """Return a namespace for one test; no cluster and no job of Dask stays in it."""
    name = f"test-{uuid4().hex[:8]}"
    place.kubectl("create", "namespace", name)
    yield name
    left = place.get("daskclusters,daskjobs", "--namespace", name)
    left_by_tests[name] = request.node.name
    assert not [item for item in left if not is_going(item)], f"left: {[*map(shown, left)]}"


@pytest.fixture
def options(
    namespace: str, tag: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return options of a small cluster in a namespace of its own."""
    monkeypatch.setenv("KUBECONFIG", str(place.kubeconfig))
    return {
        "namespace": namespace,
        "image": f"{WORKER}:{tag}",
        "cores": 0.2,
        "threads_per_worker": 1,
        "memory_limit": "900MiB",
        "scheduler_cores": 0.2,
        "scheduler_memory": "600MiB",
        "scratch": "1GiB",
    }


@pytest.fixture
def nothing_is_left(place: Place, namespace: str) -> Iterator[None]:
    """Check at the end that every object of Dask is gone, or was told to go, or its cluster was.

    `left_by_tests` sees to it that those that were told to are gone in the end.
    """
    yield
    end = time.monotonic() + 60
    while (left := staying(of_dask(place, namespace))) and time.monotonic() < end:
        time.sleep(0.3)
    assert not left, [*map(shown, left)]


@pytest.fixture
def room(place: Place) -> None:
    """Wait until pods of earlier tests have given their CPUs back."""
    everywhere = ("--all-namespaces", "--selector=dask.org/cluster-name")
    eventually(lambda: not place.get("pods", *everywhere), 120, "pods of earlier tests stay")


@pytest.fixture
def clock() -> Callable[[], float]:
    """Return a function that tells the seconds since the test began."""
    begin = time.monotonic()
    return lambda: time.monotonic() - begin
