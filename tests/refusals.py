"""What every error that a user sees must keep to."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import sxdask as sx


def error_of(call: Any, *codes: str) -> Any:
    """Return the error of ours that `call` raises; it is readable and travels."""
    with pytest.raises(sx.SxdaskError) as caught:
        call()
    error = caught.value
    assert error.code in codes, str(error)
    first, *rest = error.problem.splitlines()
    assert 10 < len(first) < 400
    assert len(rest) in {0, 2}  # or the text of the selection and a caret
    assert "Traceback" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    return error
