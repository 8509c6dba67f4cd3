"""What clients of ServiceX rely on, as far as HTTP alone shows it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from sxdask.service.rest import replies
from sxdask.service.transforms.ports import DatasetFile, FileResult
from tests.rest_parts import FILES, body, open_site

if TYPE_CHECKING:
    from sxdask.service.auth.tokens import Tokens

BASE = "/servicex/transformation"
SCHEMES = frozenset({"rucio", "xrootd"})


@pytest.fixture
def site(tmp_path):
    with open_site(tmp_path, schemes=SCHEMES, allow_python=True) as made:
        yield made


def asked(site, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = site.client.get(f"{BASE}/{request_id}").json()
    return found


def test_a_transform_of_which_files_failed_is_complete_and_its_results_are_there(site):
    request_id = site.submit(file_list=[f"{FILES[0]}{n}" for n in range(3)])
    site.report(request_id, True, False, True)
    found = asked(site, request_id)
    assert (found["status"], found["files"], found["files-remaining"]) == ("Complete", 3, 0)
    assert (found["files-completed"], found["files-failed"]) == (2, 1)
    rows = site.client.get(f"{BASE}/{request_id}/results").json()["results"]
    assert len(rows) == 3


def test_an_empty_dataset_is_complete_without_files(site):
    request_id = site.submit(file_list=None, did="rucio://scope:empty")
    number = asked(site, request_id)["did_id"]
    site.store.begin_lookup(number)
    assert asked(site, request_id)["status"] == "Lookup"
    site.store.end_lookup(number)
    found = asked(site, request_id)
    assert (found["status"], found["files"]) == ("Complete", 0)
    assert found["finish-time"]
    assert site.client.get(f"{BASE}/{request_id}/results").json() == {"results": []}


@pytest.mark.parametrize("status", ["does_not_exist", "bad_name", "internal_failure"])
def test_a_dataset_that_cannot_be_had_says_why(site, status):
    """Client 3.3.1 makes its message of ``lookup_status`` of the dataset."""
    request_id = site.submit(file_list=None, did="rucio://no-scope")
    number = asked(site, request_id)["did_id"]
    site.store.begin_lookup(number)
    site.store.end_lookup(number, status, "the catalogue says no")
    found = asked(site, request_id)
    assert (found["status"], found["failure-info"]) == ("Bad Dataset", "the catalogue says no")
    dataset = site.client.get(f"/servicex/datasets/{number}").json()
    replies.Dataset.model_validate(dataset, strict=True)
    assert (dataset["lookup_status"], dataset["is_stale"]) == (status, True)
    assert asked(site, site.submit(file_list=None, did="rucio://no-scope"))["did_id"] != number


def test_two_transforms_share_a_lookup(site):
    first = site.submit(file_list=None, did="rucio://scope:name")
    number = asked(site, first)["did_id"]
    site.store.begin_lookup(number)
    second = site.submit(file_list=None, did="rucio://scope:name", title="b")
    assert asked(site, second)["status"] == "Pending Lookup"
    site.store.add_files(number, [DatasetFile(0, ("root://h//a",), "ad", 10, 5)])
    assert [asked(site, item)["status"] for item in (first, second)] == ["Running"] * 2
    site.store.end_lookup(number)
    third = asked(site, site.submit(file_list=None, did="rucio://scope:name", title="c"))
    assert (third["status"], third["files"], third["did_id"]) == ("Running", 1, number)


def test_datasets_are_listed_shown_and_looked_up_again(site):
    site.submit()
    site.submit(file_list=None, did="scope:name")
    found = site.client.get("/servicex/datasets").json()
    replies.DatasetList.model_validate(found, strict=True)
    assert {item["did_finder"] for item in found["datasets"]} == {"user", "rucio"}
    own = site.client.get("/servicex/datasets", params={"did-finder": "user"}).json()["datasets"]
    assert [item["n_files"] for item in own] == [2]
    number = own[0]["id"]
    shown = site.client.get(f"/servicex/datasets/{number}").json()
    replies.Dataset.model_validate(shown, strict=True)
    assert [item["paths"] for item in shown["files"]] == list(FILES)
    assert site.client.delete(f"/servicex/datasets/{number}").json() == {
        "dataset-id": number,
        "stale": True,
    }
    again = site.client.delete(f"/servicex/datasets/{number}")
    assert (again.status_code, "already been deleted" in again.json()["message"]) == (400, True)
    kept = site.client.get("/servicex/datasets", params={"did-finder": "user"}).json()
    assert kept == {"datasets": []}
    params = {"did-finder": "user", "show-deleted": "true"}
    assert len(site.client.get("/servicex/datasets", params=params).json()["datasets"]) == 1
    for number in (10**6, "x"):
        assert site.client.get(f"/servicex/datasets/{number}").status_code == 404
        assert site.client.delete(f"/servicex/datasets/{number}").status_code == 404


def test_a_dataset_that_is_deleted_gives_no_answer_from_before(site):
    request_id = site.submit()
    site.report(request_id, True, True)
    site.client.delete(f"/servicex/datasets/{asked(site, request_id)['did_id']}")
    assert site.submit() != request_id


def test_an_id_is_good_after_a_restart(tmp_path):
    with open_site(tmp_path) as site:
        request_id = site.submit(file_list=[f"{FILES[0]}{n}" for n in range(3)])
        site.report(request_id, True)
        first = site.client.get(f"{BASE}/{request_id}/results").json()["results"]
    with open_site(tmp_path) as site:
        assert asked(site, request_id)["status"] == "Running"
        site.report(request_id, True, True)
        later = {"later_than": first[-1]["created_at"] + "+00:00"}
        rest = site.client.get(f"{BASE}/{request_id}/results", params=later).json()["results"]
        assert len(rest) == 2
        assert asked(site, request_id)["status"] == "Complete"


def test_an_access_token_that_ended_is_replaced_by_the_refresh_token(tmp_path):
    with open_site(tmp_path, auth=True) as site:
        alice = site.user("alice")
        tokens: Tokens = site.parts.tokens
        old = tokens.access(alice.id, -1, parent=alice.token_id)
        refused = site.client.get(BASE, headers={"Authorization": f"Bearer {old}"})
        assert (refused.status_code, refused.json()["message"]) == (401, "the token has expired")
        soon = tokens.access(alice.id, 30, parent=alice.token_id)
        assert site.client.get(BASE, headers={"Authorization": f"Bearer {soon}"}).is_success
        refresh = tokens.refresh(alice.id, alice.token_id)
        answer = site.client.post("/token/refresh", headers={"Authorization": f"Bearer {refresh}"})
        made = tokens.read(answer.json()["access_token"], "access")
        assert made.user_id == alice.id


def test_a_title_has_a_limit_that_is_named(site):
    assert site.submit(title="x" * 10_240)
    answer = site.client.post(BASE, json=body(title="x" * 10_241))
    assert answer.status_code == 400
    assert "title" in answer.json()["message"]
    assert "10240" in answer.json()["message"]
    assert asked(site, site.submit(title="Größe µµ 测试"))["title"] == "Größe µµ 测试"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codegen": "uprot"}, ["no codegen 'uprot'", "uproot"]),
        ({"codegen": "cms"}, ["container", "NanoAOD"]),
        ({"codegen": "topcp"}, ["container", "TopCPToolkit"]),
        ({"did": "rucio://a:b"}, ["either a DID or a list"]),
        ({"file_list": []}, ["either a DID or a list"]),
        ({"file_list": None, "did": "gopher://x"}, ["DID scheme is not supported", "rucio"]),
        ({"file_list": None, "did": "rucio://a:b?files=none"}, ["files"]),
        ({"result_format": "csv"}, ["result-format", "parquet"]),
        ({"result_destination": "volume"}, ["volume", "object-store"]),
        ({"result_destination": "moon"}, ["result-destination"]),
        ({"selection": None}, ["selection"]),
        ({"selection": "[{}]"}, ["at least one tree"]),
        ({"selection": '[{"treename": "t", "cut": "a >"}]'}, ["not an expression", "column 4"]),
        ({"file_list": ["http://10.0.0.1/a.root"]}, ["no public address", "operator"]),
        ({"file_list": ["a.root"]}, ["no URL"]),
        ({"workers": 0}, ["workers"]),
        ({"file_list": "root://a//b"}, ["file-list"]),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(site, changes, words):
    answer = site.client.post(BASE, json=body(**changes))
    assert answer.status_code == 400
    message = answer.json()["message"]
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert site.store.transforms() == []


def test_a_function_with_letters_of_all_languages_is_taken(site):
    text = "def run_query(path):\n    größe = '测试 →'\n    return größe\n"
    selection = base64.b64encode(text.encode()).decode()
    request_id = site.submit(codegen="python", selection=selection)
    assert asked(site, request_id)["selection"] == selection


@pytest.mark.parametrize("path", ["", "/status", "/status?details=true", "/results", "/logs"])
def test_the_database_is_asked_as_often_for_one_result_as_for_many(site, path):
    few, many = (
        site.submit(file_list=[f"{FILES[0]}{n}" for n in range(count)]) for count in (2, 60)
    )
    for request_id in (few, many):
        pending = site.store.pending_files(request_id)
        made = [
            FileResult(file.id, file.paths[0], ok=number % 2 == 0, object=f"{file.id}.root")
            for number, file in enumerate(pending)
        ]
        site.store.report_all([(request_id, item) for item in made])
    counts = [questions(site, f"{BASE}/{request_id}{path}") for request_id in (few, many)]
    assert counts[0] == counts[1] <= 4


def questions(site, path: str) -> int:
    """Return how many statements a request sends to the database."""
    seen: list[str] = []

    def note(*told: Any) -> None:
        seen.append(told[2])

    event.listen(site.store.engine, "before_cursor_execute", note)
    try:
        assert site.client.get(path).status_code == 200
    finally:
        event.remove(site.store.engine, "before_cursor_execute", note)
    return sum(text.startswith("SELECT") for text in seen)
