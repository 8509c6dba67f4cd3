"""Faults are read from objects as API servers show them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sxdask.clusters.kubernetes.faults import find_fault

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
EARLIER = "2026-11-21T11:59:00Z"


def pod(*, waiting=None, last=None, conditions=(), phase="Pending"):
    container = {"name": "worker", "image": "registry/analysis:1", "state": {}}
    if waiting:
        container["state"] = {"waiting": waiting}
    if last:
        container["lastState"] = {"terminated": last}
    return {
        "metadata": {"name": "w-1", "creationTimestamp": EARLIER},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": [container],
        },
    }


def scheduled(message, since=EARLIER):
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": since,
    }


def replicas(message):
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": message,
    }
    return {"metadata": {"name": "w-1"}, "status": {"conditions": [condition]}}


WAITING = {
    "ErrImagePull": ("image 'registry/analysis:1' cannot be pulled (ErrImagePull): not found"),
    "ImagePullBackOff": "image 'registry/analysis:1' cannot be pulled (ImagePullBackOff)",
    "CreateContainerConfigError": "pod 'w-1' cannot start: not found",
}


@pytest.mark.parametrize("reason", WAITING)
def test_a_container_that_waits_for_ever_is_told(reason):
    message = "Back-off pulling image" if reason == "ImagePullBackOff" else "not found\nmore"
    fault = find_fault([pod(waiting={"reason": reason, "message": message})], now=NOW)
    assert fault is not None
    assert fault.line == WAITING[reason]


def test_a_container_that_is_being_made_is_no_fault():
    assert find_fault([pod(waiting={"reason": "ContainerCreating"})], now=NOW) is None


def test_a_pod_that_crashes_says_its_last_words():
    last = {"exitCode": 1, "message": "Traceback\nValueError: no scheduler"}
    fault = find_fault([pod(waiting={"reason": "CrashLoopBackOff"}, last=last)], now=NOW)
    assert fault is not None
    assert fault.line.endswith("(exit status 1): ValueError: no scheduler")
    assert "kubectl logs w-1 --previous" in fault.hint


def test_too_little_memory_is_told_from_a_crash():
    last = {"exitCode": 137, "reason": "OOMKilled"}
    fault = find_fault([pod(waiting={"reason": "CrashLoopBackOff"}, last=last)], now=NOW)
    assert fault is not None
    assert "more memory than its limit" in fault.line


def test_a_pod_without_a_node_is_given_its_time():
    waiting = pod(conditions=[scheduled("0/3 nodes are available: 3 Insufficient cpu.")])
    assert find_fault([waiting], now=NOW, unschedulable_s=61) is None
    fault = find_fault([waiting], now=NOW, unschedulable_s=60)
    assert fault is not None
    assert fault.line == "no node takes pod 'w-1': 0/3 nodes are available: 3 Insufficient cpu."


def test_a_quota_is_told_with_its_numbers():
    message = 'pods "w-1-a" is forbidden: exceeded quota: q, requested: cpu=2, used: cpu=1'
    fault = find_fault([], [replicas(message)], now=NOW)
    assert fault is not None
    assert fault.line.endswith("used up: q, requested: cpu=2, used: cpu=1")


def test_another_refusal_of_pods_is_told_as_it_is():
    fault = find_fault([], [replicas('violates PodSecurity "restricted"')], now=NOW)
    assert fault is not None
    assert fault.line == "Kubernetes refuses pods of 'w-1': violates PodSecurity \"restricted\""


def test_a_volume_that_cannot_be_mounted_is_told_for_its_pod_alone():
    def event(name):
        return {
            "reason": "FailedMount",
            "involvedObject": {"name": name},
            "message": 'MountVolume.SetUp failed for volume "x509" : secret "p" not found',
        }

    assert find_fault([pod()], (), [event("other")], now=NOW) is None
    fault = find_fault([pod()], (), [event("w-1")], now=NOW)
    assert fault is not None
    assert fault.line.endswith('cannot be mounted: volume "x509" : secret "p" not found')


def test_pods_that_run_are_no_fault():
    assert find_fault([pod(phase="Running")], [{"metadata": {}, "status": {}}], now=NOW) is None
