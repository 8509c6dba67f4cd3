"""A small schema, rows and a schema source that the planner's tests share."""

from __future__ import annotations

from sxdask.core.errors import UnknownTreeError
from sxdask.core.settings import Settings, load_settings
from sxdask.core.types import Field, FixedList, ListOf, Primitive, Schema, String

LIMITS: Settings = load_settings({})


def number(dtype):
    """Return the type of one number per event."""
    return Primitive(dtype)


def jagged(dtype):
    """Return the type of a list of numbers per event."""
    return ListOf(Primitive(dtype))


EVENTS = Schema(
    (
        Field("run", number("uint32"), typename="uint32_t"),
        Field("event", number("uint64"), typename="uint64_t"),
        Field("MET_pt", number("float32"), typename="float"),
        Field("weight", number("float64"), typename="double"),
        Field("HLT_A", number("bool"), typename="bool"),
        Field("HLT_B", number("bool"), typename="bool"),
        Field("nMuon", number("int32"), typename="int32_t"),
        Field("year", number("int16"), typename="int16_t"),
        Field("Muon_pt", jagged("float32"), typename="float[]"),
        Field("Muon_eta", jagged("float32"), typename="float[]"),
        Field("Muon_charge", jagged("int32"), typename="int32_t[]"),
        Field("Muon_nStations", jagged("int8"), typename="int8_t[]"),
        Field("Muon_flags", jagged("uint8"), typename="uint8_t[]"),
        Field("Muon_isGood", jagged("bool"), typename="bool[]"),
        Field("Muon_mass", jagged("float64"), typename="double[]"),
        Field("Jet_pt", jagged("float32"), typename="float[]"),
        Field("Jet_tracks", ListOf(jagged("float32")), typename="vector<vector<float>>"),
        Field("cells", FixedList(number("float32"), 3), typename="float[3]"),
        Field("matrix", FixedList(FixedList(number("float64"), 2), 3), typename="double[3][2]"),
        Field("label", String(), typename="string"),
        Field("Jets.fPt", number("float32"), typename="float"),
        Field("odd name/x", number("int64"), typename="int64_t"),
        Field("sqrt", number("float32"), typename="float"),
        Field("broken", number("float32"), reason="AsObjects of TRef", typename="TRef"),
    ),
    tree="Events",
    aliases=(("Jets/Jets.fPt", "Jets.fPt"),),
)


class Source:
    """Two trees in memory, as a frontend sees them."""

    trees = ("Events", "Runs")
    default_tree = "Events"

    def cycles(self, tree):
        """Return the cycles of `tree`, newest first."""
        return {"Events": (75, 74), "Runs": (1,)}[tree]

    def schema(self, tree):
        """Return the columns of `tree`."""
        if tree == "Events":
            return EVENTS
        if tree == "Runs":
            return Schema(
                (Field("run", number("uint32")), Field("lumi", number("float64"))), "Runs"
            )
        raise UnknownTreeError.among(tree, self.trees, file="memory.root")
