"""The store does what a model of dictionaries does, whatever is asked of it in any order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sxdask.core.errors import RequestError
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.transforms.ports import DatasetFile, FileResult, LookupStatus, NewTransform
from sxdask.service.transforms.states import (
    Broken,
    CancelAsked,
    FileDone,
    FilesFound,
    LookupDone,
    LookupFailed,
    LookupStarted,
    Resubmitted,
    State,
    Status,
    step,
)
from tests.databases import of_dataset, of_files, sqlite_database

PATHS = ("a", "b", "c", "d")
DIDS = ("rucio://s:one", "rucio://s:two")


@dataclass
class ModelDataset:
    """What the model knows of a dataset."""

    name: str
    status: str = "created"
    stale: bool = False
    paths: list[str] = field(default_factory=list)


@dataclass
class ModelTransform:
    """What the model knows of a transform; `results` are by path, in order."""

    dataset: int
    key: str
    state: State
    results: dict[str, bool] = field(default_factory=dict)
    archived: bool = False


class StoreMachine(RuleBasedStateMachine):
    """Each rule does the same to the store and to the model; invariants compare them."""

    def __init__(self, engine):
        super().__init__()
        with engine.begin() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(table.delete())
        self.store = SqlStore(engine)
        self.datasets: dict[int, ModelDataset] = {}
        self.transforms: dict[str, ModelTransform] = {}
        self.stamps: Counter[str] = Counter()

    # What is drawn are numbers; each rule takes one of what there is.
    def known(self):
        return [name for name, item in self.transforms.items() if not item.archived]

    def a_transform(self, number):
        return self.known()[number % len(self.known())]

    def with_status(self, status):
        return [key for key, item in self.datasets.items() if item.status == status]

    def a_dataset(self, number, status=None):
        known = self.with_status(status) if status else list(self.datasets)
        return known[number % len(known)]

    def a_path(self, made, number):
        paths = self.datasets[made.dataset].paths
        return paths[number % len(paths)] if paths else None

    def change(self, request_id, event):
        made = self.transforms[request_id]
        made.state = step(made.state, event)

    def tell(self, dataset_id, event):
        for made in self.transforms.values():
            waits = not made.state.looked_up and not made.state.status.is_final
            if made.dataset == dataset_id and waits and not made.archived:
                made.state = step(made.state, event)

    def result(self, made, path, ok):
        ids = {item.paths[0]: item.id for item in self.store.dataset_files(made.dataset)}
        return FileResult(ids[path], path, ok, object=f"{path}.root" if ok else "", bytes=7)

    @rule(did=st.sampled_from(DIDS))
    def submit_dataset(self, did):
        self._submitted(self.store.submit(of_dataset(did, content_key=did)), did)

    @rule(paths=st.lists(st.sampled_from(PATHS), min_size=1, max_size=4))
    def submit_list(self, paths):
        key = " ".join(paths)
        new = of_files(*paths, content_key=key)
        made = self.store.submit(new)
        if made.did_id not in self.datasets:
            unique = list(dict.fromkeys(paths))
            self.datasets[made.did_id] = ModelDataset(f"list {key}", "complete", paths=unique)
        self._submitted(made, f"list {key}", new)

    def _submitted(self, made, name, new: NewTransform | None = None):
        fresh = [key for key, item in self.datasets.items() if item.name == name and not item.stale]
        if not fresh:
            self.datasets[made.did_id] = ModelDataset(name)
        else:
            assert fresh == [made.did_id]
        of = self.datasets[made.did_id]
        state = State()
        if of.status == "looking":
            state = step(state, LookupStarted(shared=True))
        if of.paths:
            state = step(state, FilesFound(len(of.paths)))
        if of.status == "complete":
            state = step(state, LookupDone())
        key = name if new is None else new.content_key
        self.transforms[made.request_id] = ModelTransform(made.did_id, key, state)
        assert made.state == state

    @precondition(lambda self: self.with_status("created"))
    @rule(number=st.integers(0, 9))
    def begin_lookup(self, number):
        dataset_id = self.a_dataset(number, "created")
        assert self.store.begin_lookup(dataset_id)
        assert not self.store.begin_lookup(dataset_id)
        self.datasets[dataset_id].status = "looking"
        self.tell(dataset_id, LookupStarted())

    @precondition(lambda self: self.with_status("looking"))
    @rule(number=st.integers(0, 9), paths=st.lists(st.sampled_from(PATHS), max_size=5))
    def add_files(self, number, paths):
        dataset_id = self.a_dataset(number, "looking")
        of = self.datasets[dataset_id]
        new = [path for path in dict.fromkeys(paths) if path not in of.paths]
        self.store.add_files(dataset_id, [DatasetFile(0, (path, "other")) for path in paths])
        of.paths += new
        if new:
            self.tell(dataset_id, FilesFound(len(new)))

    @precondition(lambda self: self.with_status("looking"))
    @rule(number=st.integers(0, 9), good=st.booleans())
    def end_lookup(self, number, good):
        dataset_id = self.a_dataset(number, "looking")
        of = self.datasets[dataset_id]
        status: LookupStatus = "complete" if good else "does_not_exist"
        of.status = status
        of.stale = of.stale or not good
        self.store.end_lookup(dataset_id, status, "" if good else "why")
        self.tell(dataset_id, LookupDone() if good else LookupFailed("why"))

    @rule()
    def restart(self):
        looking = self.with_status("looking")
        assert sorted(self.store.renew_lookups()) == sorted(looking)
        for key in looking:
            self.datasets[key].status = "created"

    @precondition(lambda self: self.datasets)
    @rule(number=st.integers(0, 9))
    def make_stale(self, number):
        dataset_id = self.a_dataset(number)
        assert self.store.make_stale(dataset_id) != self.datasets[dataset_id].stale
        self.datasets[dataset_id].stale = True

    @precondition(lambda self: self.known())
    @rule(
        number=st.integers(0, 9),
        told=st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=4),
        together=st.booleans(),
    )
    def report(self, number, told, together):
        request_id = self.a_transform(number)
        made = self.transforms[request_id]
        named = [(self.a_path(made, which), ok) for which, ok in told]
        found = [(path, ok, self.result(made, path, ok)) for path, ok in named if path]
        expected = []
        for path, ok, _ in found:
            counts = path not in made.results and not made.state.status.is_final
            expected.append(counts)
            if counts:
                made.results[path] = ok
                self.change(request_id, FileDone(ok))
        if together:
            told_all = [(request_id, result) for _, _, result in found]
            assert self.store.report_all(told_all) == expected
        else:
            assert [self.store.report(request_id, item) for _, _, item in found] == expected

    @precondition(lambda self: self.known())
    @rule(number=st.integers(0, 9), event=st.sampled_from([CancelAsked(), Broken("why")]))
    def end(self, number, event):
        request_id = self.a_transform(number)
        if self.transforms[request_id].state.status.is_final and event == CancelAsked():
            with pytest.raises(RequestError, match="ended already"):
                self.store.apply(request_id, event)
        else:
            self.store.apply(request_id, event)
            self.change(request_id, event)

    @precondition(lambda self: self.known())
    @rule(number=st.integers(0, 9))
    def resubmit(self, number):
        request_id = self.a_transform(number)
        made = self.transforms[request_id]
        try:
            state = step(made.state, Resubmitted(made.state.failed))
        except RequestError:
            with pytest.raises(RequestError):
                self.store.resubmit_failed(request_id)
            return
        assert self.store.resubmit_failed(request_id) == made.state.failed
        of = self.datasets[made.dataset]
        if not state.looked_up:
            if len(of.paths) > state.files:
                state = step(state, FilesFound(len(of.paths) - state.files))
            if of.status == "complete":
                state = step(state, LookupDone())
            elif of.status == "does_not_exist":
                state = step(state, LookupFailed("why"))
        made.state = state
        made.results = {path: ok for path, ok in made.results.items() if ok}

    @precondition(lambda self: self.known())
    @rule(number=st.integers(0, 9), by_age=st.booleans())
    def archive(self, number, by_age):
        request_id = self.a_transform(number)
        made = self.transforms[request_id]
        may = made.state.status.is_final
        if by_age:
            assert self.store.archive_unused(request_id, datetime.now(UTC)) == may
        elif may:
            self.store.archive(request_id)
        else:
            with pytest.raises(RequestError, match="is still"):
                self.store.archive(request_id)
        if may:
            made.archived = True
            made.results = {}

    @rule(key=st.sampled_from([*DIDS, "a", "a b", "b a"]))
    def ask_for_the_same(self, key):
        good = [
            name
            for name, item in self.transforms.items()
            if item.key == key
            and (item.state.status, item.state.failed) == (Status.COMPLETE, 0)
            and not item.archived
            and not self.datasets[item.dataset].stale
        ]
        found = self.store.same_answer(key, None)
        assert (found.request_id if found else None) == (good[-1] if good else None)

    @rule()
    def forget(self):
        self.teardown()
        later = datetime.now(UTC) + timedelta(days=1)
        for _, request_id, _ in self.store.archived():
            assert self.transforms[request_id].archived
            assert self.store.forget(request_id, later)
            del self.transforms[request_id]
        while self.store.remove_dataset(later):
            pass
        used = {item.dataset for item in self.transforms.values()}
        self.datasets = {
            key: item
            for key, item in self.datasets.items()
            if key in used or item.status == "looking"
        }

    @invariant()
    def what_runs_waits_for_a_file_or_a_lookup(self):
        for made in self.transforms.values():
            if made.state.status is Status.RUNNING:
                of = self.datasets[made.dataset]
                assert made.state.remaining or of.status in {"created", "looking"}

    @invariant()
    def transforms_are_those_of_the_model(self):
        known = {name: item for name, item in self.transforms.items() if not item.archived}
        stored = {item.request_id: item for item in self.store.transforms()}
        assert {name: item.state for name, item in stored.items()} == {
            name: item.state for name, item in known.items()
        }
        unfinished = [name for name, item in known.items() if not item.state.status.is_final]
        assert [item.request_id for item in self.store.unfinished()] == unfinished
        for item in stored.values():
            assert (item.finished is not None) == item.state.status.is_final

    def teardown(self):
        self.results_are_those_of_the_model_in_the_order_of_reports()
        self.datasets_are_those_of_the_model()

    def results_are_those_of_the_model_in_the_order_of_reports(self):
        for name, made in self.transforms.items():
            rows = self.store.results(name)
            assert [(item.result.file_path, item.result.ok) for item in rows] == list(
                made.results.items()
            )
            stamps = [item.created for item in rows]
            assert stamps == sorted(set(stamps))
            if made.archived:
                continue
            paths = self.datasets[made.dataset].paths
            pending = [item.paths[0] for item in self.store.pending_files(name)]
            assert pending == [path for path in paths if path not in made.results]

    def datasets_are_those_of_the_model(self):
        stored = {item.id: item for item in self.store.datasets(with_stale=True)}
        assert {
            key: (item.lookup_status, item.is_stale, item.num_files) for key, item in stored.items()
        } == {
            key: (item.status, item.stale, len(item.paths)) for key, item in self.datasets.items()
        }


class ModelContract:
    """A subclass gives `engine`, a database with the service's tables."""

    most_examples = 50  # each has a hundred transactions

    def test_the_store_does_what_the_model_does(self, engine):
        most = min(settings().max_examples // 2, self.most_examples)
        run_state_machine_as_test(
            lambda: StoreMachine(engine),  # type: ignore[arg-type]  # a factory will do
            settings=settings(max_examples=most, stateful_step_count=40, deadline=None),
        )


class TestSqlite(ModelContract):
    @pytest.fixture
    def engine(self, tmp_path):
        with sqlite_database(tmp_path) as engine:
            yield engine
