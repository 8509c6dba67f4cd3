"""Transforms over HTTP: keys, types and errors as the official client knows them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from sxdask.service.rest import replies
from sxdask.service.transforms.ports import EngineProgress
from tests.rest_parts import FILES, RAW, S3_SECRET, body, open_site

if TYPE_CHECKING:
    from pydantic import BaseModel

BASE = "/servicex/transformation"


@pytest.fixture
def site(tmp_path):
    with open_site(tmp_path, schemes=frozenset({"rucio"}), public_url="https://sx.example") as made:
        yield made


def fits(model: type[BaseModel], content) -> None:
    """Compare a reply with its description: every key, no other, none converted."""
    model.model_validate(content, strict=True)


def test_info_names_codegens_and_capabilities(site):
    found = site.client.get("/servicex").json()
    fits(replies.Info, found)
    assert {"uproot", "uproot-raw", "tcut", "skyhook", "atlasr22"} <= set(found["code-gen-image"])
    assert "python" not in found["code-gen-image"]
    assert not {"cms", "topcp"} & set(found["code-gen-image"])
    assert all(isinstance(item, str) for item in found["code-gen-image"].values())
    assert "poll_local_transformation_results" in found["capabilities"]
    assert "long_sample_titles_10240" in found["capabilities"]
    assert site.client.get("/multiple-codegen-list").json() == found["code-gen-image"]


def test_python_is_a_codegen_where_it_is_switched_on(tmp_path):
    with open_site(tmp_path, allow_python=True) as site:
        assert "python" in site.client.get("/servicex").json()["code-gen-image"]


def test_a_status_has_every_key_from_the_first_reply(site):
    request_id = site.submit()
    assert str(uuid.UUID(request_id)) == request_id
    found = site.client.get(f"{BASE}/{request_id}").json()
    fits(replies.TransformStatus, found)
    for key in ("did", "did_id", "image", "selection", "generated-code-cm", "app-version"):
        assert found[key] is not None, key
    assert "tree-name" in found
    assert found["minio-endpoint"] == "localhost:8333"
    assert found["minio-secret-key"] == S3_SECRET
    assert found["status"] == "Running"
    assert (found["files"], found["files-remaining"], found["finish-time"]) == (2, 2, None)
    datetime.strptime(found["submit-time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert found["log-url"] == f"https://sx.example/transformation-request/{request_id}/log"
    assert site.engine.woken == 1


def test_files_remaining_is_null_while_no_file_is_known(site):
    request_id = site.submit(file_list=None, did="scope:name")
    found = site.client.get(f"{BASE}/{request_id}").json()
    assert (found["status"], found["files"], found["files-remaining"]) == ("Submitted", 0, None)
    assert found["did"] == "rucio://scope:name"


def test_a_list_leaves_out_where_results_are(site):
    first, second = site.submit(title="a"), site.submit(title="b", selection=RAW + " ")
    found = site.client.get(BASE).json()
    fits(replies.TransformList, found)
    assert [item["request_id"] for item in found["requests"]] == [second, first]
    assert S3_SECRET not in str(found)
    assert len(site.client.get(BASE, params={"most": 1}).json()["requests"]) == 1


def test_results_grow_strictly_and_are_asked_for_by_time(site):
    request_id = site.submit(file_list=[f"{FILES[0]}{n}" for n in range(5)])
    url = f"{BASE}/{request_id}/results"
    first = {"later_than": "0001-01-01T00:00:00+00:00"}
    assert site.client.get(url, params=first).json() == {"results": []}
    site.report(request_id, True, True, False, True)
    rows = site.client.get(url, params=first).json()["results"]
    fits(replies.Results, {"results": rows})
    stamps = [datetime.fromisoformat(row["created_at"]) for row in rows]
    assert stamps == sorted(set(stamps))
    assert all(len(row["created_at"]) == 26 and "Z" not in row["created_at"] for row in rows)
    assert [row["transform_status"] for row in rows] == ["success", "success", "failure", "success"]
    assert rows[2]["s3-object-name"] == "none"
    assert rows[2]["error-message"] == "no branch 'x'"
    later = stamps[1].replace(tzinfo=UTC).isoformat()
    rest = site.client.get(url, params={"later_than": later}).json()["results"]
    assert rest == rows[2:]
    last = (stamps[-1].replace(tzinfo=UTC)).isoformat()
    assert site.client.get(url, params={"later_than": last}).json() == {"results": []}
    assert len(site.client.get(url).json()["results"]) == 4


def test_names_that_succeeded_are_as_many_as_files_completed(site):
    request_id = site.submit(file_list=[FILES[0], FILES[1], FILES[0]])
    site.report(request_id, True, True)
    status = site.client.get(f"{BASE}/{request_id}").json()
    rows = site.client.get(f"{BASE}/{request_id}/results").json()["results"]
    names = {row["s3-object-name"] for row in rows if row["transform_status"] == "success"}
    assert (status["status"], status["files"]) == ("Complete", 2)
    assert len(names) == status["files-completed"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+00:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01T00:00:00 00:00",
        "2020-01-01",
        "2020-01-01 10:00:00",
        "2020-01-01T10:00:00Z",
        "2020-01-01T10:00:00.123+02:00",
    ],
)
def test_times_are_taken_as_clients_write_them(site, text):
    request_id = site.submit()
    site.report(request_id, True)
    answer = site.client.get(f"{BASE}/{request_id}/results", params={"later_than": text})
    assert len(answer.json()["results"]) == 1


def test_the_end_of_time_is_later_than_all_results(site):
    request_id = site.submit()
    site.report(request_id, True)
    late = {"later_than": "9999-12-31T23:59:59-14:00"}
    assert site.client.get(f"{BASE}/{request_id}/results", params=late).json() == {"results": []}


@pytest.mark.parametrize("text", ["yesterday", "", "2020-13-01", "12", "2020-01-01T10:00:00+99:00"])
def test_a_bad_time_is_refused(site, text):
    answer = site.client.get(f"{BASE}/{site.submit()}/results", params={"later_than": text})
    assert answer.status_code == 400
    assert "later_than" in answer.json()["message"]


def test_short_status_has_sums_and_details_group_failures(site):
    request_id = site.submit(file_list=[f"{FILES[0]}{n}" for n in range(4)])
    url = f"{BASE}/{request_id}/status"
    before = site.client.get(url).json()
    fits(replies.ShortStatus, before)
    assert (before["stats"], before["files-remaining"]) == (None, 4)
    site.report(request_id, True, True, False, False)
    found = site.client.get(url, params={"details": "true"}).json()
    fits(replies.ShortStatus, found)
    assert found["stats"] == {
        "min-time": 1.0,
        "max-time": 2.0,
        "avg-time": 1.5,
        "total-time": 3.0,
        "avg-rate": pytest.approx(20 / 3),
        "total-bytes": 200,
        "total-events": 20,
    }
    assert (found["files-processed"], found["files-skipped"]) == (2, 2)
    assert [item["transform_status"] for item in found["details"]] == ["failure", "failure"]
    assert [(item["code"], item["files"]) for item in found["causes"]] == [("SX101", 2)]
    assert "Traceback" not in str(found)


def test_deployment_status_tells_tasks_while_they_run(site):
    request_id = site.submit()
    url = f"{BASE}/{request_id}/deployment-status"
    assert site.client.get(url).status_code == 404
    site.engine.known[request_id] = EngineProgress(queued=3, reading=1, computing=2)
    found = site.client.get(url).json()
    fits(replies.Deployment, found)
    assert (found["replicas"], found["available_replicas"]) == (6, 3)
    site.report(request_id, True, True)
    assert site.client.get(url).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_transform_is_canceled_once(site, method):
    request_id = site.submit()
    answer = site.client.request(method, f"{BASE}/{request_id}/cancel")
    assert answer.json() == {"message": f"Canceled transformation request {request_id}"}
    status = site.client.get(f"{BASE}/{request_id}").json()
    assert (status["status"], status["failure-info"]) == ("Canceled", "canceled by the user")
    assert status["finish-time"]
    again = site.client.request(method, f"{BASE}/{request_id}/cancel")
    assert again.status_code == 400
    assert "ended already" in again.json()["message"]


def test_a_transform_is_deleted_when_it_has_ended(site, tmp_path):
    request_id = site.submit()
    assert site.client.delete(f"{BASE}/{request_id}").status_code == 400
    site.parts.objects["object-store"].create(request_id)
    site.report(request_id, True, True)
    answer = site.client.delete(f"{BASE}/{request_id}")
    assert "has been archived" in answer.json()["message"]
    assert not (tmp_path / "results" / request_id).exists()
    for path in ("", "/results", "/status", "/logs"):
        assert site.client.get(f"{BASE}/{request_id}{path}").status_code == 404
    signed = site.client.post(
        "/servicex/file-urls", json={"request_id": request_id, "file_list": []}
    )
    assert signed.status_code == 404


def test_failed_files_run_again_under_the_same_id(site):
    request_id = site.submit()
    url = f"{BASE}/{request_id}/resubmit-failed"
    assert site.client.post(url).status_code == 400
    site.report(request_id, True, False)
    answer = site.client.post(url)
    fits(replies.Resubmitted, answer.json())
    assert answer.json()["files"] == 1
    status = site.client.get(f"{BASE}/{request_id}").json()
    assert (status["status"], status["files-failed"], status["files-completed"]) == (
        "Running",
        0,
        1,
    )
    assert site.client.post(url).status_code == 400


def test_the_same_content_is_answered_by_the_complete_transform(site):
    request_id = site.submit()
    assert site.submit() != request_id
    site.report(request_id, True, True)
    assert site.submit(title="another name") == request_id
    assert site.submit(file_list=list(reversed(FILES))) == request_id
    assert site.submit(result_format="root-file") != request_id
    assert site.submit(selection='[{"treename": "Events"}]') != request_id


def test_what_failed_in_part_is_no_answer(site):
    request_id = site.submit()
    site.report(request_id, True, False)
    assert site.submit() != request_id


def test_signed_urls_are_of_the_transforms_own_results(site):
    request_id = site.submit()
    results = site.report(request_id, True, True)
    names = [item.object for item in results]
    asked = {"request_id": request_id, "file_list": names, "scheme": "http"}
    found = site.client.post("/servicex/file-urls", json=asked).json()
    assert set(found["uris"]) == set(names)
    url, headers, until = found["uris"][names[0]]
    assert url.endswith(f"{request_id}/{names[0]}")
    assert headers == {}
    year = datetime.now(UTC) + timedelta(days=365)
    assert abs(until - year.timestamp()) < 60
    for name in ("other.root", "../../service.db", ""):
        bad = asked | {"file_list": [name]}
        assert site.client.post("/servicex/file-urls", json=bad).status_code == 404
    assert site.client.post("/servicex/file-urls", json=asked | {"scheme": "xrootd"}).is_error


@pytest.mark.parametrize("path", ["", "/status", "/results", "/logs", "/deployment-status"])
def test_an_unknown_transform_is_404_with_a_message(site, path):
    for request_id in (str(uuid.uuid4()), "nonsense", "1", "a" * 500):
        answer = site.client.get(f"{BASE}/{request_id}{path}")
        assert answer.status_code == 404
        assert answer.json()["message"]


def test_a_slash_too_many_changes_nothing(site):
    request_id = site.submit()
    assert site.client.get("//servicex").json() == site.client.get("/servicex").json()
    assert site.client.get(f"//servicex/transformation//{request_id}").status_code == 200
    assert site.client.post("//servicex/transformation", json=body()).status_code == 200


def test_unknown_keys_mean_nothing_and_null_means_absent(site):
    request_id = site.submit(client_version="3.4", extra=[1])
    assert request_id
    answer = site.client.post(BASE, json=body() | {"did": None, "workers": None, "title": None})
    assert answer.status_code == 200
    selection = '[{"treename": "Events", "cut": null, "filter_name": null, "aliases": null}]'
    assert site.submit(selection=selection)
