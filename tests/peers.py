"""What results are compared with: a part is skipped where it is missing, and fails in CI."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.conftest import IN_CI


def require_peer(module: str, *, in_ci: bool = True) -> None:
    """Skip the test where `module` is not installed; with `in_ci`, fail it there."""
    if importlib.util.find_spec(module) is None:
        told = f"{module} is not installed (extra 'peers')"
        pytest.fail(told) if IN_CI and in_ci else pytest.skip(told)


def require_root() -> None:
    """Require ROOT, of which there is a wheel for one Python alone."""
    require_peer("ROOT", in_ci=sys.platform == "linux" and sys.version_info[:2] == (3, 11))
