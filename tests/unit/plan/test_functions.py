"""The table of functions covers the environment of uproot-raw, under canonical names."""

from __future__ import annotations

import awkward as ak
import pytest
import uproot

from sxdask.graph.ops import operation
from sxdask.plan.functions import FUNCTIONS, MODULES, NEGATIVE, find_function, function_names

# ServiceX code_generator_raw_uproot, request_translator.py
SERVICEX_TEXT = """
concatenate where flatten num count count_nonzero sum nansum prod nanprod any all min nanmin max
nanmax argmin nanargmin argmax nanargmax moment mean nanmean var nanvar std nanstd softmax sort
argsort mask is_none drop_none pad_none fill_none firsts singletons broadcast_arrays
broadcast_fields cartesian argcartesian combinations argcombinations isclose almost_equal
"""
AXIS_ONE_TEXT = """
concatenate count count_nonzero sum nansum prod nanprod any all min nanmin max nanmax argmin
nanargmin argmax nanargmax moment mean nanmean var nanvar std nanstd softmax
"""
UPROOT = uproot.language.python.PythonLanguage().default_functions


def test_every_function_of_uproot_and_servicex_is_there():
    names = set(function_names())
    assert set(UPROOT) <= names
    assert set(SERVICEX_TEXT.split()) <= names


@pytest.mark.parametrize("name", sorted(set(UPROOT) - NEGATIVE))
def test_aliases_are_the_same_function_as_in_uproot(name):
    function = find_function(name)
    assert function is not None
    canonical = UPROOT.get(function.name)
    mine = UPROOT[name]
    # gamma and tgamma are two lambdas of one formula
    assert mine is canonical or {name, function.name} == {"gamma", "tgamma"}


@pytest.mark.parametrize("name", AXIS_ONE_TEXT.split())
def test_reductions_default_to_the_event(name):
    assert FUNCTIONS[name].axis == 1
    assert FUNCTIONS["flatten"].axis == 2


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if FUNCTIONS[name].has_axis])
def test_defaults_of_awkward_are_those_of_its_signature(name):
    import inspect

    parameters = inspect.signature(getattr(ak, name)).parameters
    function = FUNCTIONS[name]
    assert parameters["axis"].default == function.awkward_axis
    for keyword in function.keywords:
        if keyword.kind != "axis" and not keyword.required:
            default = parameters[keyword.name].default
            assert default == keyword.default or (default is None and keyword.default is False)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_can_be_evaluated(name):
    assert callable(operation(name))


def test_no_function_hides_a_prefix():
    assert not MODULES & set(function_names())
