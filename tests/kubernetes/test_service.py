"""The chart, installed: the official client gets exact results; uninstalled, nothing is left."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import pytest
import yaml

import sxdask as sx
from sxdask.testing import write_nanoaod_files
from tests.kubernetes.images import SERVICE
from tests.kubernetes.place import eventually
from tests.servers import free_port, serve_ranges
from tests.services.official_client import official_client, servicex_python

__all__ = ["official_client", "servicex_python"]

RELEASE = "physics"
NAME = "physics-sxdask"
RECIPES = Path(__file__).parents[2] / "graphs" / "recipes"
DELIVER = """
async def main():
    queries = {name: UPROOT_RAW(text) for name, text in VALUES["raw"].items()}
    queries["adl_q4_func_adl"] = (
        FUNC_ADL().FromTree("Events")
        .Where(lambda e: e.Jet_pt.Where(lambda pt: pt > 40).Count() >= 2)
        .Select(lambda e: {"met": e.MET_pt})
    )
    files = dataset.FileList(VALUES["files"])
    samples = [Sample(Name=name, Dataset=files, Query=query) for name, query in queries.items()]
    tell(await get(samples, VALUES["cache"], general={"OutputFormat": "parquet"}))

asyncio.run(main())
"""


@pytest.fixture
def install(helm, chart, namespace, values):
    """Return a function that runs helm on the release; what a failure leaves is uninstalled."""
    commands = []

    def run(command):
        commands.append(command)
        return helm(
            *(command, RELEASE, *([] if command == "uninstall" else [str(chart)])),
            *("--namespace", namespace, "--wait", "--timeout", "5m"),
            *([] if command == "uninstall" else ["--values", str(values[0])]),
        )

    yield run
    if "uninstall" not in commands:
        run("uninstall")


@pytest.fixture
def data(tmp_path, place):
    """Serve generated files to pods; return their URLs and paths."""
    folder = tmp_path / "data"
    folder.mkdir()
    made = write_nanoaod_files(folder, 40_000, 4, entries_per_cluster=2_000)
    with serve_ranges(folder, place.outside) as server:
        yield [f"{server.url}/{path.name}" for path in made], [str(path) for path in made]


@pytest.fixture
def values(place, tag, options, tmp_path):
    """Return a file of values and the ports of its URLs: an open service, workers in pods."""
    own = {key: options[key] for key in options if key not in {"namespace", "image"}}
    image, _, _ = options["image"].partition(":")
    ports = {"service": free_port(), "objects": free_port()}
    small = {"cpu": "100m", "memory": "400Mi"}
    content = {
        "image": {"repository": SERVICE, "tag": tag},
        "auth": {"enabled": False},
        "persistence": {"enabled": False},
        "objectStore": {
            "demo": True,
            "publicEndpoint": f"http://127.0.0.1:{ports['objects']}",
        },
        "cluster": {"image": f"{image}:{tag}", "minimum": 0, "maximum": 2, "options": own},
        "resources": {"requests": small, "limits": {"cpu": "2", "memory": "1500Mi"}},
        "settings": {"hosts": [place.outside]},
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(content))
    return file, ports


def objects_left(place, namespace):
    """Return what is in the namespace, but for what every namespace has."""
    kinds = place.kubectl(
        "api-resources", "--namespaced", "--verbs=list", "--output=name", "--cached=false"
    ).split()
    kinds = [kind for kind in kinds if not kind.startswith(("events", "endpointslices", "leases"))]
    found = place.get(",".join(kinds), "--namespace", namespace)
    usual = {"default", "kube-root-ca.crt", "default-token"}
    return [
        f"{item['kind']}/{item['metadata']['name']}"
        for item in found
        if not any(item["metadata"]["name"].startswith(name) for name in usual)
    ]


def test_the_installed_service_answers_the_official_client_and_leaves_nothing(
    place, namespace, install, values, data, official_client, tmp_path
):
    _, ports = values
    urls, paths = data
    raw = {
        name: yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))["selection"]
        for name in ("servicex_cut_aliases", "servicex_filter_name")
    }
    said = install("install")
    assert f"port-forward service/{NAME} 5000:80" in said
    with (
        place.forwarded(namespace, f"service/{NAME}", 80, ports["service"]),
        place.forwarded(namespace, f"service/{NAME}-objects", 8333, ports["objects"]),
    ):
        official_client.configure(
            f"api_endpoints:\n  - endpoint: http://127.0.0.1:{ports['service']}\n"
            "    name: here\ndefault_endpoint: here\n"
        )
        found = official_client.run(
            DELIVER, files=urls, raw=raw, cache=str(official_client.home / "got")
        )
    for name in (*raw, "adl_q4_func_adl"):
        assert isinstance(found[name], list), found[name]
        assert len(found[name]) == len(urls)
        events = ak.concatenate([ak.from_parquet(path) for path in found[name]])
        expected = computed_here(name, paths, tmp_path)
        assert len(expected) > 100
        assert rows(events[expected.fields]) == rows(expected), name
    assert place.get("daskclusters", "--namespace", namespace)

    install("upgrade")
    install("uninstall")
    eventually(lambda: not objects_left(place, namespace), 90, "the release leaves objects behind")


def computed_here(name, paths, folder):
    """Return the rows that a recipe selects; histograms of them are left to the client."""
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text(encoding="utf-8"))
    recipe.pop("hist", None)
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return sx.load(file, dataset=sx.dataset(paths, tree="Events")).compute()


def rows(events):
    """Return the rows in an order that is theirs, whatever that of files is."""
    return sorted(ak.to_list(events[sorted(events.fields)]), key=repr)
