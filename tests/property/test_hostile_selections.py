"""Text that means harm: every way in refuses it as ours, soon, and runs none of it."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sxdask as sx
from sxdask.testing import write_nanoaod
from tests.watchdog import at_most, within

# Nothing here needs a file's bytes; a minute of a busy machine is far more than it takes.
SECONDS = 60

CODE = [
    "__import__('os').system('touch {mark}')",
    "open('{mark}', 'w')",
    "eval('1')",
    "exec('import os')",
    "getattr(MET_pt, '__class__')",
    "MET_pt.__class__.__base__.__subclasses__()",
    "MET_pt.layout",
    "().__class__.__mro__",
    "np.__dict__['os']",
    "np.load('{mark}')",
    "np.memmap('{mark}')",
    "numpy.lib.npyio.DataSource('{mark}')",
    "ak.to_parquet(MET_pt, '{mark}')",
    "ak.from_buffers(1, 2, 3)",
    "ak.behavior",
    "awkward._connect",
    "f'{{MET_pt.__class__}}'",
    "'{{0.__class__}}'.format(MET_pt)",
    "'%s' % MET_pt",
    "(lambda: 1)()",
    "(x := 3)",
    "[x for x in Muon_pt]",
    "sum(x for x in Muon_pt)",
    "{{x: 1 for x in Muon_pt}}",
    "(yield 1)",
    "await MET_pt",
    "max(*Muon_pt)",
    "max(**Muon_pt)",
    "print(MET_pt)",
    "globals()",
    "breakpoint()",
    "get('__class__')",
    "get(get('MET_pt'))",
    "MET_pt; import os",
    "MET_pt\nimport os",
    "import os",
    "del MET_pt",
    "MET_pt = 3",
    "...",
    "None",
    "1j",
    "b'MET_pt'",
]

LOOKALIKES = [
    "\uff2d\uff25\uff34_pt > 3",  # full-width letters, which Python's parser makes plain
    "\u041c\u0415\u0422_pt > 3",  # Cyrillic
    "MET_pt \u202e> 3",  # right-to-left override
    "MET_pt\u200b > 3",  # zero-width space
    "MET_pt \u2212 3 > 0",  # minus sign of typography
    "MET_pt > \u0663",  # an Arabic digit, which int() takes
    "\ufeffMET_pt > 3",
    "MET_pt > 3\x00",
    "MET\x00_pt > 3",
    "\x00",
    "\ud800",
    "MET_pt > 3\x1b[2J",
    "\x0c\x0b",
]

BOMBS = [
    "9**9**9**9**9 > 1",
    "10**10000000000 > 1",
    "1 << 100000000000 > 1",
    "'a' * 1000000000 == 'a'",
    "1" * 100_000 + " > 1",
    "(" * 10_000 + "MET_pt" + ")" * 10_000 + " > 1",
    "-" * 10_000 + "MET_pt > 1",
    "~" * 10_000 + "(MET_pt > 1)",
    "abs(" * 10_000 + "MET_pt" + ")" * 10_000 + " > 1",
    "MET_pt" + "[0" * 10_000 + "]" * 10_000 + " > 1",
    "MET_pt" + ".x" * 10_000,
    "+".join(["MET_pt"] * 100_000) + " > 1",
    "&".join(["(MET_pt > 1)"] * 90_000),
    "<".join(["1"] * 100_000),
    "max(" + ",".join(["MET_pt"] * 100_000) + ") > 1",
    "(MET_pt > 1) & " * 70_000 + "(MET_pt > 1)",
    "a" * 1_100_000 + " > 1",
    " " * 1_100_000 + "MET_pt > 1",
    "[" * 1_000_000,
    "[0" * 500_000 + "!!(",
    "*a" * 500_000 + "(",
    "*" * 1_000_000 + "(",
    "num(Muon_pt[:, ::0]) > 1",
    "num(Muon_pt[:, 1:2:0]) > 1",
    "num(Muon_pt[..., ::-0]) > 1",
    "num(combinations(Jet_pt, 9999999999999999999999)) > 1",
    "num(combinations(Jet_pt, -1)) > 1",
]

REGEXES = [
    "/(a+)+!/",
    "/((a+))+!/",
    "/(?:(?:[A-Za-z_]+))+!/",
    r"/(\w|[A-Za-z_])*!/",
    r"/((((\w?){30}){30}){30})!/",
    "/" + ".*" * 12 + "!/",
    "/" + r"\w?" * 40 + "!/",
    "/" + r"(\w|[A-Z_a-z])" * 40 + "!/",
    "/(a+) +!/x",
    "/(?x)(a+)#\n+!/",
    "/(a+)(?#)+!/",
    r"/(?=([A-Za-z_]+)+!)/",
    "/" + "(" * 500 + ")" * 500 + "/",
    "/[/",
    "/" + "a{65536}" * 3 + "/",
    "/a{99999999999}/",
    "[" * 1_000_000,
    "*[!" * 300_000,
    "*" * 1_000_000 + "!",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = write_nanoaod(tmp_path_factory.mktemp("hostile") / "nano.root", 500)
    return sx.dataset(path, "Events")


def ways_in(data, text):
    """Yield every way to hand `text` over as an expression."""
    yield lambda: data.where(text)
    yield lambda: data.select(text)
    yield lambda: data.select(x=text)
    yield lambda: data.select(a="MET_pt", b=text)
    for query in (
        {"cut": text, "expressions": ["event"]},
        {"expressions": text},
        {"expressions": ["event", text]},
        {"expressions": ["q"], "aliases": {"q": text}},
        {"expressions": ["q"], "aliases": {"q": "r + 1", "r": text}},
    ):
        yield lambda query=query: sx.request(
            "uproot-raw", {"treename": "Events", **query}, dataset=data
        )


def refused(call):
    """Check that `call` ends as a mistake of the user, in a message of a few lines."""
    with at_most(5), pytest.raises(sx.SxdaskError) as caught:
        call().compute(scheduler="sync")
    assert caught.value.fault == "user", str(caught.value)
    assert len(str(caught.value)) < 1_000
    return caught.value


@pytest.mark.parametrize("text", CODE)
def test_code_is_refused_and_never_runs(data, tmp_path, text):
    mark = tmp_path / "mark"
    before = set(sys.modules)
    with within(SECONDS):
        for call in ways_in(data, text.format(mark=mark)):
            refused(call)
    assert not mark.exists()
    assert "pdb" not in set(sys.modules) - before


@pytest.mark.parametrize("text", LOOKALIKES, ids=ascii)
def test_lookalikes_and_control_characters_are_refused(data, text):
    with within(SECONDS):
        for call in ways_in(data, text):
            refused(call)


@pytest.mark.parametrize("number", range(len(BOMBS)), ids=[text[:30] for text in BOMBS])
def test_bombs_are_refused_at_once(data, number):
    with within(SECONDS):
        for call in ways_in(data, BOMBS[number]):
            refused(call)


@pytest.mark.parametrize("pattern", REGEXES, ids=[text[:30] for text in REGEXES])
@pytest.mark.parametrize("key", ["filter_name", "filter_typename"])
def test_regular_expressions_end(data, key, pattern):
    query = {"treename": "Events", key: [pattern, "MET_pt"]}
    with within(SECONDS), at_most(5):
        try:
            found = sx.request("uproot-raw", query, dataset=data)
        except sx.SxdaskError as error:
            assert error.fault == "user"  # noqa: PT017 (either end will do)
        else:
            assert set(found.schema) <= set(data.schema)


@pytest.mark.parametrize(
    "pattern",
    [
        "/(Muon|Electron|Tau|Photon|Jet|FatJet)_(pt|eta|phi|mass|charge|tightId)$/",
        "/Muon_.*|Jet_.*|Electron_.*|Tau_.*|MET_.*|HLT_.*/",
        r"/HLT_(Iso)?(Tk)?Mu\d+(_eta2p1)?(_v\d+)?$/",
        "/.*jet.*(pt|eta).*/i",
        "/^n[A-Z][a-z]*$/",
    ],
)
def test_regular_expressions_of_daily_use_are_accepted(data, pattern):
    with within(SECONDS):
        found = sx.request(
            "uproot-raw", {"treename": "Events", "filter_name": pattern}, dataset=data
        )
    import uproot

    with uproot.open(data.files[0]) as file:
        assert list(found.schema) == file["Events"].keys(filter_name=pattern)


def test_long_chains_and_lists_of_requests_are_refused_by_name(data):
    with within(SECONDS):
        chain = [data.where("MET_pt > 0")]
        with pytest.raises(sx.SxdaskError, match="chain of more than") as caught:
            chain.extend(chain[-1].where("MET_pt > 0") for _ in range(5_000))
        assert caught.value.code == "SX104"
        with pytest.raises(sx.SxdaskError, match="sub-queries") as caught:
            data.request("uproot-raw", [{"treename": "Events", "filter_name": "event"}] * 100_000)
        assert caught.value.code == "SX104"
        aliases = {"a0": "MET_pt", **{f"a{n}": f"a{n - 1} + a{n - 1}" for n in range(1, 60)}}
        bomb = {"treename": "Events", "expressions": "a59", "aliases": aliases}
        assert refused(lambda: data.request("uproot-raw", bomb)).code == "SX104"
        for text in ("[" * 100_000, "{" * 100_000, '{"treename":' * 50_000, "\x00", "[[]]", "3"):
            refused(lambda text=text: data.request("uproot-raw", text))


def test_the_longest_chain_that_is_allowed_runs(data):
    query = data
    for number in range(150):
        query = query.where(f"MET_pt > {number / 100}")
    with within(SECONDS):
        assert len(query.select("event").compute()) == len(data.where("MET_pt > 1.49").compute())


RECIPES = {
    "python object": "!!python/object/apply:os.system ['touch {mark}']",
    "python name": "title: !!python/name:os.system",
    "laughs": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
    "list in itself": "select: &a [*a]",
    "merged with itself": "dataset: &a\n  <<: *a",
    "deep lists": "[" * 50_000,
    "deep maps": "{a: " * 20_000,
    "large": "title: " + "a" * 3_000_000,
    "control characters": "title: \x00",
    "number of 5000 digits": "title: " + "9" * 5_000,
    "no such day": "title: 9999-99-99",
    "same key twice": "title: a\ntitle: b",
    "empty": "",
    "unclosed": "title: 'a",
}


@pytest.mark.parametrize("kind", RECIPES)
def test_hostile_recipes_are_refused(tmp_path, kind):
    mark, path = tmp_path / "mark", tmp_path / "recipe.yaml"
    path.write_text(RECIPES[kind].replace("{mark}", str(mark)))
    with within(SECONDS):
        error = refused(lambda: sx.load(path))
    assert error.code == "SX106"
    assert str(path) in str(error)
    assert not mark.exists()


@pytest.mark.parametrize("value", [3, None, True, b"MET_pt > 3", ["MET_pt"], {"a": 1}], ids=repr)
def test_what_is_no_text_is_refused_with_an_example(data, tmp_path, value):
    for call in (
        lambda: data.where(value),
        lambda: data.select(value),
        lambda: data.select(x=value),
    ):
        error = refused(call)
        assert type(value).__name__ in error.problem
        assert error.hint
    if value is not None:
        refused(lambda: sx.dataset(data.files[0], value))
    if value in (None, ["MET_pt"]):  # these mean something there
        return
    for key in ("expressions", "filter_name", "filter_typename", "aliases", "treename"):
        query = {"treename": "Events", key: value}
        refused(lambda query=query: data.request("uproot-raw", query))


def test_a_delivery_needs_a_target(data):
    with pytest.raises(sx.SxdaskError, match="no target"):
        data.select("event").deliver("")


TRICKS = st.sampled_from(
    [
        *CODE,
        *LOOKALIKES,
        "MET_pt",
        "Muon_pt",
        "any(",
        ")",
        " > 1",
        "[:, 0]",
        "[:, ::0]",
        " & ",
        "\\",
    ]
)


@given(parts=st.lists(TRICKS, min_size=1, max_size=4), glue=st.sampled_from(["", " ", " + ", "("]))
def test_mixtures_of_tricks_are_refused_or_harmless(data, parts, glue):
    text = glue.join(parts).replace("{mark}", os.devnull)
    with within(SECONDS):
        for call in ways_in(data, text):
            try:
                found = call().compute(scheduler="sync")
            except sx.SxdaskError as error:
                assert error.fault == "user"  # noqa: PT017 (either end will do)
            else:
                assert len(found) <= 500
