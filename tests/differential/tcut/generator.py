"""Cuts at random, over the columns of `conftest.write_shapes`, in the grammar of TTree::Draw."""

from __future__ import annotations

from hypothesis import strategies as st

SCALARS = ["i", "j", "u", "f", "d", "b", "U", "uc", "sc"]
LISTS = ["x", "y", "k", "h"]
FIXED = ["v", "w[0]", "w[][1]"]
NUMBERS = ["0", "1", "2", "3", "0.5", "0.3", "1.5", "2.5", "10", "1e3", "0x3"]
COMPARISONS = ["<", ">", "<=", ">=", "==", "!="]
# Functions whose last digit is the same everywhere.
ONE = ["abs", "sqrt", "int", "sq", "floor", "ceil", "sign", "TMath::Abs", "TMath::Sqrt"]
TWO = ["min", "max", "TMath::Max", "TMath::Min"]
WHOLE = ["i", "j", "u", "uc", "k", "b", "2", "3"]

_names = st.one_of(
    st.sampled_from(SCALARS),
    st.sampled_from(LISTS),
    st.sampled_from(LISTS),
    st.sampled_from(FIXED),
    st.builds("{}[{}]".format, st.sampled_from(LISTS), st.sampled_from([0, 0, 1, 2])),
    st.builds("{}[{}]".format, st.sampled_from(LISTS), st.sampled_from(["k", "j", "i", "k[0]"])),
    st.sampled_from(["Iteration$", "Length$", "Entry$"]),
)
_leaves = st.one_of(_names, _names, st.sampled_from(NUMBERS))


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return formulas one level deeper.

    ROOT reads no branch that it first meets in the part of ``?:`` that is not
    taken, even if it needs it afterwards: the last part is a number here.
    """
    part = inner.map("({})".format)
    condition = st.builds("{}{}{}".format, inner, st.sampled_from(COMPARISONS), part)
    whole = st.sampled_from(WHOLE)
    return st.one_of(
        st.builds("{}{}{}".format, part, st.sampled_from("+-*/"), part),
        st.builds("{}{}{}".format, inner, st.sampled_from("+-*/"), _leaves),
        st.builds("{}{}{}".format, inner, st.sampled_from(["<", ">", "==", "+", "-"]), part),
        st.builds("({}{}{})".format, whole, st.sampled_from(["&", "|", "<<", ">>"]), whole),
        st.builds("({}%{})".format, part, st.sampled_from(["2", "3", "7"])),
        st.builds("{}({})".format, st.sampled_from(ONE), inner),
        st.builds("{}({},{})".format, st.sampled_from(TWO), inner, inner),
        st.builds("!{}".format, part),
        st.builds("(-{})".format, part),
        st.builds("({}?{}:{})".format, condition, inner, st.sampled_from(NUMBERS)),
        st.builds("{}({})".format, st.sampled_from(["Sum$", "Length$", "Max$", "Min$"]), inner),
        st.builds("{}({},{})".format, st.sampled_from(["MaxIf$", "MinIf$"]), inner, condition),
        condition,
        st.builds("({})".format, st.lists(condition, min_size=2, max_size=3).map(" && ".join)),
        st.builds("({})".format, st.lists(condition, min_size=2, max_size=3).map(" || ".join)),
    )


_formulas = st.recursive(_leaves, _grown, max_leaves=5)
_conditions = st.builds("{} {} {}".format, _formulas, st.sampled_from(COMPARISONS), _formulas)


def cuts() -> st.SearchStrategy[str]:
    """Return cuts, most of them one to three comparisons."""
    return st.one_of(
        _conditions,
        st.lists(_conditions, min_size=2, max_size=3).map(" && ".join),
        st.lists(_conditions, min_size=2, max_size=3).map(" || ".join),
        _formulas,
    )
