"""The images agree with pyproject.toml, run as nobody in particular, and pin what they take."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sxdask import __version__

ROOT = Path(__file__).parents[2]
CONTAINERS = ROOT / "cluster/containers"
PARTS = ("service", "worker")


def text(part):
    return (CONTAINERS / part / "Containerfile").read_text(encoding="utf-8")


def constraints():
    lines = (CONTAINERS / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def required(extras):
    """Return the requirements of sxdask with extras, those of extras in extras too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    found = [Requirement(item) for item in project["dependencies"]]
    todo = list(extras)
    while todo:
        for requirement in map(Requirement, optional[todo.pop()]):
            if requirement.name == "sxdask":
                todo += requirement.extras
            else:
                found.append(requirement)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_every_package_of_an_image_is_pinned_within_its_bounds(part):
    extras = re.search(r'"\.\[([\w,]+)\]"', text(part))
    assert extras
    pinned = constraints()
    for requirement in required(extras[1].split(",")):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is not pinned"
        assert requirement.specifier.contains(pinned[name]), f"{requirement}: {pinned[name]}"


@pytest.mark.parametrize("part", PARTS)
def test_an_image_names_its_base_exactly_and_runs_as_a_user_without_rights(part):
    lines = text(part).splitlines()
    (base,) = (line.partition("=")[2] for line in lines if line.startswith("ARG BASE="))
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-\w+", base)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["1000:1000"]
    assert not [line for line in lines if re.search(r"(?i)(password|secret|token)\s*=", line)]


def test_images_are_tagged_with_the_version_of_the_chart_and_the_project():
    chart = (ROOT / "cluster/helm/sxdask/Chart.yaml").read_text(encoding="utf-8")
    found = re.search(r'(?m)^appVersion: "([^"]+)"$', chart)
    assert found
    assert found[1] == __version__
    for part in PARTS:
        assert f"ghcr.io/sxdask/{part}:{__version__}" in text(part)
