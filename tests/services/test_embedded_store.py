"""SeaweedFS beside the service, and buckets of transforms in it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sxdask.core.errors import AccessDeniedError, RequestError, SxdaskError
from sxdask.deliver.store import open_store
from sxdask.service.objects.profiles import worker_profile
from sxdask.service.objects.s3 import S3Objects
from sxdask.service.objects.seaweed import SeaweedServer
from tests.processes import is_gone

YEAR = 365 * 24 * 3600


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with SeaweedServer(tmp_path_factory.mktemp("embedded") / "objects") as running:
        yield running


@pytest.fixture
def objects(server):
    return server.objects()


@pytest.fixture
def request_id(objects):
    found = str(uuid.uuid4())
    yield found
    objects.remove(found)


def put(objects: S3Objects, request_id: str, name: str, data: bytes) -> None:
    objects._client.put_object(Bucket=request_id, Key=name, Body=data)


def test_a_bucket_is_made_listed_and_removed_each_as_often_as_one_likes(objects, request_id):
    assert objects.sizes(request_id) == {}
    objects.create(request_id)
    objects.create(request_id)
    put(objects, request_id, "a b#1.root", b"abc")
    objects._client.create_multipart_upload(Bucket=request_id, Key="half.root")
    assert objects.sizes(request_id) == {"a b#1.root": 3}
    objects.remove(request_id)
    objects.remove(request_id)
    assert objects.sizes(request_id) == {}


def test_more_objects_than_one_page_holds_are_listed_and_removed(objects, request_id):
    objects.create(request_id)
    with ThreadPoolExecutor(8) as pool:
        names = (f"{number}.root" for number in range(1005))
        list(pool.map(lambda name: put(objects, request_id, name, b"x"), names))
    assert len(objects.sizes(request_id)) == 1005
    objects.remove(request_id)
    assert objects.sizes(request_id) == {}


@pytest.mark.parametrize("signature", ["v2", "v4"])
def test_a_signed_url_opens_one_object_without_credentials(objects, request_id, signature):
    objects.create(request_id)
    put(objects, request_id, "a b#1.root", b"abc")
    signing = replace(objects, signature=signature)
    url = signing.sign(request_id, ["a b#1.root"], YEAR)["a b#1.root"]
    assert ("AWSAccessKeyId=" in url) == (signature == "v2")
    assert request_id in url.partition("?")[0]
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"abc"
    for wrong in (url.partition("?")[0], url.replace("Signature=", "Signature=x")):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(wrong)
        caught.value.close()
        assert caught.value.code == 403


def test_a_signed_url_ends(objects, request_id):
    objects.create(request_id)
    put(objects, request_id, "a.root", b"abc")
    url = objects.sign(request_id, ["a.root"], -1)["a.root"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    caught.value.close()


def test_urls_and_clients_get_the_public_endpoint_and_the_service_the_inner_one(server, objects):
    public = server.objects(public_endpoint="https://s3.example.org:8443")
    access = public.client_access()
    assert (access.endpoint, access.secured) == ("s3.example.org:8443", True)
    url = public.sign(str(uuid.uuid4()), ["a.root"], 60)["a.root"]
    assert url.startswith("https://s3.example.org:8443/")
    public.ping()
    assert objects.client_access().endpoint == server.endpoint.removeprefix("http://")


def test_what_clients_get_reads_and_lists_and_changes_nothing(server, objects, request_id):
    objects.create(request_id)
    put(objects, request_id, "a.root", b"abc")
    access = objects.client_access()
    theirs = S3Objects(
        endpoint=server.endpoint, access_key=access.access_key, secret_key=access.secret_key
    )
    assert theirs.sizes(request_id) == {"a.root": 3}
    client, where = theirs._client, {"Bucket": request_id}
    changes = [
        lambda: client.put_object(**where, Key="b.root", Body=b"x"),
        lambda: client.delete_object(**where, Key="a.root"),
        lambda: client.create_multipart_upload(**where, Key="b.root"),
        lambda: client.copy_object(**where, Key="b.root", CopySource=f"{request_id}/a.root"),
        lambda: client.put_bucket_acl(**where, ACL="public-read-write"),
        lambda: client.delete_bucket(**where),
        lambda: client.create_bucket(Bucket=str(uuid.uuid4())),
    ]
    for change in changes:
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            change()
    with pytest.raises(AccessDeniedError):
        theirs.create(str(uuid.uuid4()))
    assert objects.sizes(request_id) == {"a.root": 3}
    assert objects.check() == "clients may only read"


def test_keys_for_clients_that_may_write_are_found_out(server):
    keys = server.keys
    loose = replace(server.objects(), reader_key=keys.access_key, reader_secret=keys.secret_key)
    with pytest.raises(RequestError, match="may write to the object store"):
        loose.check()


def test_a_worker_finds_its_credentials_by_the_name_of_a_profile(
    server, objects, request_id, tmp_path, monkeypatch
):
    own = tmp_path / "own-config"
    own.write_text("[profile mine]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(own))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-another-store")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-another-store")
    objects.create(request_id)
    keys = server.keys
    with worker_profile(tmp_path, keys.access_key, keys.secret_key) as name:
        options = dict(server.objects(profile=name).storage_options())
        assert keys.secret_key not in str(options)
        open_store(objects.target(request_id), options).write("a.root", b"abc")
        file = Path(os.environ["AWS_CONFIG_FILE"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "profile mine" in file.read_text()
    assert objects.sizes(request_id) == {"a.root": 3}
    assert os.environ["AWS_CONFIG_FILE"] == str(own)
    assert not file.exists()


def test_keys_are_made_once_are_the_owners_alone_and_are_shown_nowhere(server):
    again = SeaweedServer(server.folder).keys
    assert again == server.keys
    for secret in (again.secret_key, again.reader_secret):
        assert secret not in f"{server.objects()!r} {again!r} {server.objects().client_access()!r}"
        arguments = psutil.Process(server.pid).cmdline()
        assert secret not in " ".join(arguments)
    for name in ("keys.json", "s3.json"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700


def test_it_listens_on_the_loopback_interface_alone(server):
    found = psutil.Process(server.pid).net_connections("tcp")
    assert {item.laddr.ip for item in found if item.status == "LISTEN"} == {"127.0.0.1"}


def test_a_store_that_is_gone_is_said_with_what_to_do(tmp_path):
    gone = S3Objects(endpoint="http://127.0.0.1:9", access_key="a", secret_key="b")  # noqa: S106
    with pytest.raises(SxdaskError, match=r"127\.0\.0\.1:9") as caught:
        gone.ping()
    assert "--check" in str(caught.value.hint)


def test_results_ports_and_keys_outlive_a_service_that_is_killed(tmp_path):
    folder = tmp_path / "objects"
    code = f"""
import time
from pathlib import Path
from sxdask.service.objects.seaweed import SeaweedServer
server = SeaweedServer(Path({str(folder)!r}))
server.start()
print(server.endpoint, server.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as first:
        try:
            assert first.stdout is not None
            endpoint, pid = first.stdout.readline().split()
            objects = S3Objects(endpoint=endpoint, **_admin(folder))
            names = [str(uuid.uuid4()) for _ in range(20)]
            for name in names:
                objects.create(name)
                put(objects, name, "a.root", name.encode() * 100)
        finally:
            first.kill()
    assert not is_gone(int(pid))
    with SeaweedServer(folder) as second:
        assert is_gone(int(pid))
        assert second.endpoint == endpoint
        assert all(second.objects().sizes(name) == {"a.root": 3600} for name in names)
        third = psutil.Process(second.pid)
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert not third.is_running()


def test_a_process_that_got_the_number_of_an_old_server_is_left_alone(tmp_path):
    server = SeaweedServer(tmp_path / "objects")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        try:
            server.keys  # noqa: B018  makes the folder
            record = {"pid": other.pid, "started": time.time(), "mark": server._mark}
            (server.folder / "process.json").write_text(json.dumps(record))
            server._end_leftover()
            assert other.poll() is None
        finally:
            other.send_signal(signal.SIGKILL)


def _admin(folder):
    keys = SeaweedServer(folder).keys
    return {"access_key": keys.access_key, "secret_key": keys.secret_key}


def test_a_server_that_ends_by_itself_is_started_again_on_its_ports(tmp_path):
    with SeaweedServer(tmp_path / "objects") as running:
        objects, name = running.objects(), str(uuid.uuid4())
        objects.create(name)
        put(objects, name, "a.root", b"abc")
        first = running.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                assert objects.sizes(name) == {"a.root": 3}
                break
            except SxdaskError:
                time.sleep(0.5)
        assert running.pid not in {None, first}
        assert objects.sizes(name) == {"a.root": 3}
