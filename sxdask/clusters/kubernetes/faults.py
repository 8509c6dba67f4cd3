"""Why pods do not come, in one line, from what Kubernetes writes onto its objects. Pure functions.

Kubernetes never gives up by itself: an image that does not exist is tried
again for ever. What is found here is either final, such as a secret that is not
there, or needs somebody, such as a quota; waiting longer helps with neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Object = Mapping[str, Any]

_IMAGE: Final = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
_CONFIGURATION: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_MOUNT_S: Final = 10.0
"""A mount that fails is given this long: the secret may be made at the same time."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, with which object, and what to do."""

    line: str
    hint: str


def find_fault(
    pods: Sequence[Object],
    deployments: Sequence[Object] = (),
    events: Sequence[Object] = (),
    *,
    now: datetime | None = None,
    unschedulable_s: float = 30.0,
) -> Fault | None:
    """Return what stops the first of the objects that is stopped, or None.

    Parameters
    ----------
    pods, deployments, events
        Objects as the API server shows them, as JSON.
    now
        The time that ages are told against.
    unschedulable_s
        Seconds that a pod may wait for a node, which an autoscaler may have to start.
    """
    moment = now or datetime.now(UTC)
    for deployment in deployments:
        if fault := _deployment_fault(deployment):
            return fault
    for pod in pods:
        fault = (
            _container_fault(pod)
            or _unschedulable(pod, moment, unschedulable_s)
            or _mount_fault(pod, events, moment)
        )
        if fault:
            return fault
    return None


def _deployment_fault(deployment: Object) -> Fault | None:
    """Return why no pod is made at all: a quota, or a rule of the cluster."""
    for condition in _conditions(deployment):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = _first_line(condition.get("message", ""))
            if "exceeded quota" in message:
                quota = message.partition("exceeded quota: ")[2]
                return Fault(
                    f"the quota of the namespace is used up: {quota}",
                    "ask for less (workers, cores, memory_limit), or for more quota",
                )
            return Fault(
                f"Kubernetes refuses pods of {_name(deployment)!r}: {message}",
                "see the policies and limits of the namespace",
            )
    return None


def _container_fault(pod: Object) -> Fault | None:
    status = pod.get("status", {})
    statuses = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    for container in statuses:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason"), _first_line(waiting.get("message") or "")
        if reason in _IMAGE:
            why = f": {message}" if message and "Back-off" not in message else ""
            return Fault(
                f"image {container['image']!r} cannot be pulled ({reason}){why}",
                "correct the option image, or name a secret in pull_secrets",
            )
        if reason in _CONFIGURATION:
            return Fault(
                f"pod {_name(pod)!r} cannot start: {message or reason}",
                "create what is missing there, or correct the name in the options",
            )
        if reason == "CrashLoopBackOff":
            return _crash(pod, container)
    return None


def _crash(pod: Object, container: Object) -> Fault:
    ended = (container.get("lastState") or {}).get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return Fault(
            f"pod {_name(pod)!r} needs more memory than its limit, and is ended again and again",
            "raise memory_limit (workers) or scheduler_memory",
        )
    said = _last_line(ended.get("message") or "")
    why = f": {said}" if said else ""
    return Fault(
        f"pod {_name(pod)!r} ends as soon as it starts (exit status {ended.get('exitCode')}){why}",
        f"see kubectl logs {_name(pod)} --previous",
    )


def _unschedulable(pod: Object, now: datetime, allowed_s: float) -> Fault | None:
    for condition in _conditions(pod):
        if (
            condition["type"] == "PodScheduled"
            and condition["status"] == "False"
            and condition.get("reason") == "Unschedulable"
            and _age(condition.get("lastTransitionTime"), now) >= allowed_s
        ):
            message = _first_line(condition.get("message", ""))
            return Fault(
                f"no node takes pod {_name(pod)!r}: {message}",
                "ask for less, or correct node_selector, tolerations and volatile",
            )
    return None


def _mount_fault(pod: Object, events: Iterable[Object], now: datetime) -> Fault | None:
    if pod.get("status", {}).get("phase") != "Pending":
        return None
    if _age(pod["metadata"].get("creationTimestamp"), now) < _MOUNT_S:
        return None
    for event in events:
        about = event.get("involvedObject", {})
        if event.get("reason") == "FailedMount" and about.get("name") == _name(pod):
            message = _first_line(event.get("message", ""))
            message = message.rpartition("MountVolume.SetUp failed for ")[2] or message
            return Fault(
                f"a volume of pod {_name(pod)!r} cannot be mounted: {message}",
                "create what is missing there, or correct the name in the options",
            )
    return None


def _conditions(item: Object) -> Sequence[Object]:
    return item.get("status", {}).get("conditions") or ()


def _name(item: Object) -> str:
    name: str = item["metadata"]["name"]
    return name


def _age(stamp: str | None, now: datetime) -> float:
    """Return the seconds since `stamp`; none yet if there is no stamp."""
    if not stamp:
        return 0.0
    return (now - datetime.fromisoformat(stamp)).total_seconds()


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].strip()[:300]


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()[:300]
