"""Results in a mounted folder."""

from __future__ import annotations

import uuid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sxdask.core.errors import RequestError
from sxdask.service.objects.volume import VolumeObjects


@pytest.fixture
def request_id() -> str:
    return str(uuid.uuid4())


def test_what_is_in_the_folder_is_listed_with_its_size(tmp_path, request_id):
    objects = VolumeObjects(tmp_path)
    objects.create(request_id)
    objects.create(request_id)
    folder = Path(objects.target(request_id))
    (folder / "a.root").write_bytes(b"abc")
    (folder / ".half").write_bytes(b"not published")
    (folder / ".sxdask").mkdir()
    assert objects.sizes(request_id) == {"a.root": 3}


def test_a_folder_is_removed_with_all_that_is_in_it_and_only_it(tmp_path, request_id):
    objects = VolumeObjects(tmp_path)
    other = str(uuid.uuid4())
    for name in (request_id, other):
        objects.create(name)
        (Path(objects.target(name)) / "a.root").write_bytes(b"abc")
    objects.remove(request_id)
    objects.remove(request_id)
    assert objects.sizes(request_id) == {}
    assert objects.sizes(other) == {"a.root": 3}


@pytest.mark.parametrize("name", ["..", "", "/etc", "../../etc", "A" * 36, "x/y"])
def test_nothing_but_a_request_id_leads_to_a_folder(tmp_path, name):
    objects = VolumeObjects(tmp_path / "results")
    for call in (objects.create, objects.target, objects.sizes, objects.remove):
        with pytest.raises(RequestError, match="no id of a transform"):
            call(name)


@pytest.mark.parametrize("name", ["../a.root", "a/b.root", "", ".hidden", "a\nb", "x" * 2000])
def test_no_place_is_told_for_what_is_no_name(tmp_path, request_id, name):
    with pytest.raises(RequestError, match="no name of a result"):
        VolumeObjects(tmp_path).sign(request_id, [name], 60)


def test_the_place_of_a_file_is_its_url(tmp_path, request_id):
    objects = VolumeObjects(tmp_path)
    objects.create(request_id)
    path = Path(objects.target(request_id)) / "a b#1.root"
    path.write_bytes(b"abc")
    url = objects.sign(request_id, [path.name], 60)[path.name]
    assert Path(unquote(urlsplit(url).path)) == path


def test_users_get_the_public_place_where_there_is_one(tmp_path, request_id):
    objects = VolumeObjects(tmp_path, public_url="root://door.example.org//results/")
    found = objects.sign(request_id, ["a.root"], 60)
    assert found == {"a.root": f"root://door.example.org//results/{request_id}/a.root"}
