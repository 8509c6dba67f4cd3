"""Where the links of an xAOD file lead: the class of the objects and the containers to look in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sxdask.plan.broadcast import MismatchError
from sxdask.plan.func_adl.xaod_formulas import computed
from sxdask.plan.func_adl.xaod_objects import Linked, Objects, is_valid, linked, variable
from sxdask.plan.func_adl.xaod_store import LINK_FIELDS

if TYPE_CHECKING:
    from sxdask.plan.expr import Span
    from sxdask.plan.func_adl.algebra import Algebra
    from sxdask.plan.func_adl.values import Array
    from sxdask.plan.func_adl.xaod_store import Container

METHODS: Final[dict[tuple[str, str], tuple[str, bool]]] = {
    ("Electron", "trackParticle"): ("trackParticleLinks", True),
    ("Electron", "caloCluster"): ("caloClusterLinks", True),
    ("Photon", "caloCluster"): ("caloClusterLinks", True),
    ("Photon", "vertex"): ("vertexLinks", True),
    ("Muon", "cluster"): ("clusterLink", False),
    ("Jet", "btagging"): ("btaggingLink", False),
    ("TauJet", "vertex"): ("vertexLink", False),
    ("TauTrack", "track"): ("trackLinks", True),
    ("TruthParticle", "parent"): ("parentLinks", True),
    ("TruthParticle", "child"): ("childLinks", True),
    ("TruthParticle", "prodVtx"): ("prodVtxLink", False),
    ("TruthParticle", "decayVtx"): ("decayVtxLink", False),
    ("TruthVertex", "incomingParticle"): ("incomingParticleLinks", True),
    ("TruthVertex", "outgoingParticle"): ("outgoingParticleLinks", True),
    ("Vertex", "trackParticle"): ("trackParticleLinks", True),
}
"""Class and method -> the variable with the links, and whether it is one item of a list."""

PRIMARY_TRACKS: Final = (
    "combinedTrackParticleLink",
    "inDetTrackParticleLink",
    "extrapolatedMuonSpectrometerTrackParticleLink",
    "msOnlyExtrapolatedMuonSpectrometerTrackParticleLink",
    "muonSpectrometerTrackParticleLink",
)
"""Links of a muon, in the order in which the formula of its primary track names them."""

_TARGETS: Final[dict[str, tuple[str, ...]]] = {
    "Electron.trackParticleLinks": ("GSFTrackParticles",),
    "Photon.vertexLinks": ("GSFConversionVertices",),
    "TauTrack.trackLinks": ("InDetTrackParticles",),
    "combinedTrackParticleLink": ("CombinedMuonTrackParticles",),
    "inDetTrackParticleLink": ("InDetTrackParticles", "InDetForwardTrackParticles"),
    "extrapolatedMuonSpectrometerTrackParticleLink": ("ExtrapolatedMuonTrackParticles",),
    "msOnlyExtrapolatedMuonSpectrometerTrackParticleLink": (
        "MSOnlyExtrapolatedMuonTrackParticles",
    ),
    "muonSpectrometerTrackParticleLink": ("MuonSpectrometerTrackParticles",),
    "originalTrackParticle": ("InDetTrackParticles",),
    "GhostTrack": ("InDetTrackParticles",),
}
"""Links, of any class or of one, that lead to containers of these names where there are any.

All others are looked for in every container of their class: a branch of each is read.
"""

_KINDS: Final = (
    (re.compile(r".*track\w*particle.*|ghosttrack.*", re.IGNORECASE), "TrackParticle"),
    (re.compile(r".*(prod|decay)vtx.*", re.IGNORECASE), "TruthVertex"),
    (re.compile(r".*hardscattervertex.*|.*vertex.*|.*vertices.*", re.IGNORECASE), "Vertex"),
    (re.compile(r".*truthjet.*|parent|ghost.*jets", re.IGNORECASE), "Jet"),
    (re.compile(r".*truth.*", re.IGNORECASE), "TruthParticle"),
    (re.compile(r"(calo)?cluster.*", re.IGNORECASE), "CaloCluster"),
    (re.compile(r"btagging.*", re.IGNORECASE), "BTagging"),
)
"""Class of what a link leads to by the link's name, where the file does not tell it."""

_LINK_CLASS: Final = re.compile(r"ElementLink<DataVector<xAOD::(\w+?)(?:_v\d+)?>")
_AMBIGUITY: Final = {"Electron": "Photon", "Photon": "Electron"}


def follow_link(algebra: Algebra, objects: Objects, name: str, span: Span | None) -> Objects:
    """Return what the links in variable `name` of each object lead to.

    Without a container in the file that they could lead to the objects can be
    counted, and have no variables.
    """
    kind = _kind_of(objects, name)
    targets = _targets(objects, name, kind)
    record = variable(algebra, objects, name, span)
    if record is not None:
        key, index = (algebra.field(record, part, span) for part in LINK_FIELDS)
    else:
        parts = [variable(algebra, objects, f"{name}.{part}", span) for part in LINK_FIELDS]
        key, index = (part for part in parts if part is not None)
    return linked(key, index, Linked(kind or "IParticle", targets), objects.store)


def _kind_of(objects: Objects, name: str) -> str | None:
    if name == "ambiguityLink" and objects.kind in _AMBIGUITY:
        return _AMBIGUITY[objects.kind]
    for container in objects.containers:
        column = container.columns.get(name)
        found = _LINK_CLASS.search(objects.store.field(column).typename) if column else None
        if found and found[1] != "IParticle":
            return found[1]
    return next((kind for pattern, kind in _KINDS if pattern.fullmatch(name)), None)


def _targets(objects: Objects, name: str, kind: str | None) -> tuple[Container, ...]:
    store = objects.store
    found = store.particles() if kind is None else store.containers_of(kind)
    known = tuple(item for item in found if item.key is not None)
    names = _TARGETS.get(f"{objects.kind}.{name}", _TARGETS.get(name, ()))
    return tuple(item for item in known if item.name in names) or known


def _has_targets(objects: Objects, name: str) -> bool:
    names = [item.name for item in objects.store.containers_of("TrackParticle")]
    return name in objects.links() and not set(names).isdisjoint(_TARGETS[name])


def primary_track(algebra: Algebra, objects: Objects, span: Span | None) -> Objects:
    """Return the track that a muon's momentum is from, which depends on its type.

    Combined and forward muons have a combined track, tagged ones that of the
    inner detector, stand-alone ones the first of three that is there.
    """
    found = {
        name: follow_link(algebra, objects, name, span)
        for name in PRIMARY_TRACKS
        if _has_targets(objects, name)
    }
    alone = [found[name] for name in PRIMARY_TRACKS[2:] if name in found]
    if not set(PRIMARY_TRACKS[:2]) <= set(found) or not alone:
        raise MismatchError("the file lacks the links of muons to their tracks")
    names = [f"alone{number}" for number in range(len(alone))]
    text = names[-1]
    for name in reversed(names[:-1]):
        text = f"where({name}_valid, {name}, {text})"
    text = f"where((type == 2) | (type == 3), inner, {text})"
    text = f"where((type == 0) | (type == 4), combined, {text})"
    kind = variable(algebra, objects, "muonType", span)
    if kind is None:
        raise MismatchError("the file does not tell the types of muons: there is no 'muonType'")
    combined, inner = (found[name] for name in PRIMARY_TRACKS[:2])

    def part(position: int) -> Array:
        values = {
            "type": kind,
            "combined": combined.arrays[position],
            "inner": inner.arrays[position],
            **{name: item.arrays[position] for name, item in zip(names, alone, strict=True)},
            **{
                f"{name}_valid": is_valid(algebra, item, span)
                for name, item in zip(names, alone, strict=True)
            },
        }
        return computed(algebra, text, values.__getitem__, span)

    targets = tuple(dict.fromkeys(item for one in found.values() for item in one.containers))
    return linked(part(0), part(1), Linked("TrackParticle", targets), objects.store)
