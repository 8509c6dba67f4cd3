"""Create a DaskJob now: what the CronJob of `objects.scheduled_job` runs.

Jobs that ended stay until the next one is created, so that their status can be
read. The next one waits for none: a job that still runs keeps running.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sxdask.clusters.kubernetes.access import Access

VARIABLE: Final = "SXDASK_JOB"
_SCHEDULE: Final = "sxdask.org/schedule"
_ENDED: Final = frozenset({"Failed", "Successful"})


def create_job(access: Access, job: dict[str, Any], now: datetime) -> str:
    """Create `job` under a name of its own, remove those of the schedule that ended.

    Returns
    -------
    str
        The name.

    Raises
    ------
    ClusterError
        If Kubernetes refuses.
    """
    schedule = job["metadata"]["name"]
    selector = {_SCHEDULE: schedule}
    for old in access.all_of("daskjobs", f"{_SCHEDULE}={schedule}"):
        if old.get("status", {}).get("jobStatus") in _ENDED:
            access.delete("daskjobs", old["metadata"]["name"])
    name = f"{schedule}-{now:%m%d%H%M%S}"
    labels = {**job["metadata"].get("labels", {}), **selector}
    document = json.loads(json.dumps(job).replace(f'"{schedule}"', f'"{name}"'))
    document["metadata"] = {"name": name, "labels": labels}
    access.create("daskjobs", document)
    return name


def main() -> None:
    """Create the job of the environment's variable."""
    from sxdask.clusters.kubernetes.access import Access
    from sxdask.core.errors import SxdaskError

    try:
        create_job(Access(), json.loads(os.environ[VARIABLE]), datetime.now(UTC))
    except SxdaskError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
