"""`environment.yml` and `pyproject.toml` ask for the same packages in the same bounds."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]

# PyPI name -> conda-forge name, where they differ.
CONDA_NAMES = {
    "confluent-kafka": "python-confluent-kafka",
    "dask": "dask-core",
    "kubernetes": "python-kubernetes",
    "duckdb": "python-duckdb",
    "matplotlib": "matplotlib-base",
    "prometheus-client": "prometheus_client",
    "types-PyYAML": "types-pyyaml",
    "xxhash": "python-xxhash",
}
# Compared with in tests, or a server in a wheel: from PyPI alone.
PYPI_ONLY = {"embedded", "peers", "services"}
# Imported only where it is already running.
AMBIENT = {"ipython"}
# Wanted in conda and not by pyproject.toml: pip installs sxdask itself.
CONDA_ONLY = {"pip"}


def split(requirement: str) -> tuple[str, frozenset[str]]:
    """Return the name and the bounds of ``name[extra]>=1,<2``."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[\w,-]+\])?\s*([<>=!~].*)?", requirement)
    assert found, requirement
    bounds = (found[2] or "").replace(" ", "").split(",")
    return found[1], frozenset(bound for bound in bounds if bound)


def from_pyproject() -> dict[str, frozenset[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].items()
    groups = [project["dependencies"], *(items for name, items in extras if name not in PYPI_ONLY)]
    wanted = dict(split(item) for group in groups for item in group)
    del wanted["sxdask"]  # extras that are made of others
    wanted = {CONDA_NAMES.get(name, name): bounds for name, bounds in wanted.items()}
    return wanted | {"python": split(f"python{project['requires-python']}")[1]}


def from_environment() -> dict[str, frozenset[str]]:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert content["channels"][0] == "conda-forge"
    pairs = [split(item) for item in content["dependencies"]]
    assert len(dict(pairs)) == len(pairs), "a package is listed twice"
    return {name: bounds for name, bounds in pairs if name not in CONDA_ONLY}


def test_the_same_packages_in_the_same_bounds() -> None:
    assert from_environment() == from_pyproject()


def test_every_package_has_a_lower_bound() -> None:
    for name, bounds in from_pyproject().items():
        assert any(bound.startswith(">=") for bound in bounds), name


def upper_bound(bounds: frozenset[str]) -> list[int]:
    """Return the parts of the version after ``<``, trailing zeros left out."""
    (bound,) = (bound[1:] for bound in bounds if re.match(r"<\d", bound))
    return [int(part) for part in re.sub(r"(\.0)+$", "", bound).split(".")]


def test_dask_is_capped_as_dask_awkward_wants_it() -> None:
    """See docs/adr/0001-dask-cap.md; when dask-awkward lifts its cap, this says so."""
    required = [item for item in requires("dask-awkward") or [] if "extra ==" not in item]
    theirs = dict(split(item.partition(";")[0].strip()) for item in required)
    ours = from_pyproject()
    assert upper_bound(ours["dask-core"]) == upper_bound(theirs["dask"])
    assert ours["distributed"] == ours["dask-core"]


def test_everything_that_is_imported_is_declared() -> None:
    """A package that only comes along with another one is gone when that one drops it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {split(item.partition(";")[0])[0].lower() for group in groups for item in group}
    owners = packages_distributions()
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "sxdask").rglob("*.py")
        for name in imported_names(path)
    }
    for module in sorted(imported - sys.stdlib_module_names - {"sxdask"}):
        names = {name.lower().replace("_", "-") for name in owners.get(module, [module])}
        assert names & (declared | AMBIENT), f"{module} is imported and not declared"


def imported_names(path: Path) -> set[str]:
    """Return the names of the modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {item.name for item in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_makefile_asks_for_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = re.findall(r"'\.\[([\w,]+)\]'", (ROOT / "Makefile").read_text())
    assert asked
    assert {extra for group in asked for extra in group.split(",")} <= set(
        project["optional-dependencies"]
    )
