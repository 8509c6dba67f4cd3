"""The role of the chart: enough, and nothing that could be left out.

`scenario` does in a pod all that a service does. It passes with the role as the
chart renders it, and fails when any verb of any resource is taken away.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.place import eventually, staying

CHART = Path(__file__).parents[2] / "cluster/helm/sxdask"
SCENARIO = Path(__file__).with_name("scenario.py")
ACCOUNT = "service"


def chart_rules():
    """Return the rules of the chart's role, without rendering: they have no templates."""
    text = (CHART / "templates/access.yaml").read_text(encoding="utf-8")
    rules = text.partition("\nrules:\n")[2].partition("\n---")[0]
    return yaml.safe_load(rules)


def every_verb():
    return [
        (resource, verb)
        for rule in chart_rules()
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(resource, verb):
    """Return the rules but for one verb of one resource."""
    rules = copy.deepcopy(chart_rules())
    for rule in rules:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    return [rule for rule in rules if rule["verbs"]]


@pytest.fixture
def outcome(place, namespace, options):
    """Return a function that runs the scenario under rules; it says how it ended, and why."""

    def run(rules):
        about = {"name": ACCOUNT}
        group = "rbac.authorization.k8s.io"
        place.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about},
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": about, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": about,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
                "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
            },
            namespace=namespace,
        )
        place.apply(pod(options), namespace=namespace)
        place_pod = ("pods", "--namespace", namespace, "--field-selector=metadata.name=scenario")
        ended = eventually(
            lambda: [
                item["status"]["phase"]
                for item in place.get(*place_pod)
                if item["status"]["phase"] in {"Succeeded", "Failed"}
            ],
            240,
            "the scenario does not end",
        )
        said = place.kubectl("logs", "scenario", "--namespace", namespace)
        # What could not be removed without the right to, goes with its owner.
        place.kubectl("delete", "pod", "scenario", "--namespace", namespace)
        eventually(
            lambda: not staying(place.get("daskclusters", "--namespace", namespace)),
            60,
            "the cluster does not go with its pod",
        )
        return ended[0], said

    return run


def pod(options):
    resources = {"requests": {"cpu": "100m", "memory": "200Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "scenario"},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": ACCOUNT,
            "containers": [
                {
                    "name": "scenario",
                    "image": options["image"],
                    "command": ["python3", "-W", "ignore", "-c", SCENARIO.read_text()],
                    "args": [json.dumps(options | {"workers": 1, "timeout_s": 60})],
                    "resources": resources,
                }
            ],
        },
    }


@pytest.mark.usefixtures("nothing_is_left")
def test_the_role_of_the_chart_is_enough(outcome):
    how, said = outcome(chart_rules())
    assert how == "Succeeded", said
    assert "all of it worked" in said


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize(("resource", "verb"), every_verb())
def test_the_role_is_not_enough_without(outcome, resource, verb):
    how, said = outcome(without(resource, verb))
    assert how == "Failed", f"{verb} of {resource} is not needed: {said}"
    assert f'cannot {verb} resource "{resource}"' in said
