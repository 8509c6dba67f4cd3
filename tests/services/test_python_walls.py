"""Python functions of a request run apart: bounded, without secrets, and behind walls."""

from __future__ import annotations

import os
import socket
import time
from base64 import b64encode

import psutil
import pytest
import uproot

from sxdask.core.errors import SxdaskError, UserFunctionError
from sxdask.service.transforms.attempts import Attempt, GivenUpError
from sxdask.service.transforms.limits import PythonLimits
from sxdask.service.transforms.orders import Work
from sxdask.service.transforms.sandbox import run_apart
from sxdask.service.transforms.writing import STAGING, Destination
from tests.processes import commands

ENOUGH = PythonLimits(seconds=60)


@pytest.fixture
def run(tmp_path, nanoaod_files):
    """Return a function that runs a text on a file and returns the object's place and rows."""

    def call(body, limits=ENOUGH, result_format="root-file", attempt=None):
        text = "def run_query(path):\n" + "".join(f"    {line}\n" for line in body.splitlines())
        work = Work("python", b64encode(text.encode()).decode(), result_format, python=limits)
        target = tmp_path / "results"
        to = Destination(attempt or Attempt(""), work, str(target), {}, "result.root")
        made = run_apart(work, str(nanoaod_files[0]), to)
        (staged,) = (target / STAGING).iterdir()
        assert staged.stat().st_size == made.bytes
        return staged, made.rows

    return call


def told(run, body, **options):
    """Return the text that a function gives, as the result of one row."""
    staged, _ = run(body, **options)
    with uproot.open(staged) as file:
        return str(file["servicex"]["branch"].array()[0])


def test_a_function_gives_what_it_reads(run, nanoaod_files):
    body = "import uproot\nreturn uproot.open(path)['Events'].arrays(['MET_pt'])"
    staged, rows = run(body)
    with uproot.open(staged) as found, uproot.open(nanoaod_files[0]) as source:
        expected = source["Events"]["MET_pt"].array().to_list()
        assert found["servicex"]["MET_pt"].array().to_list() == expected
        assert rows == len(expected)


def test_a_dict_becomes_one_tree_a_key_and_a_plain_array_a_branch(run):
    staged, _ = run("import awkward as ak\nreturn {'one': ak.Array([1]), 'two': ak.Array([2, 3])}")
    with uproot.open(staged) as file:
        assert file["one"]["branch"].array().to_list() == [1]
        assert file["two"]["branch"].array().to_list() == [2, 3]


def test_no_secret_is_in_its_environment(run, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret-of-the-operator")
    monkeypatch.setenv("SXDASK_SERVICE_TOKEN_SECRET", "another-secret")
    found = told(run, "import os\nreturn [repr(dict(os.environ))]")
    assert "secret" not in found
    assert str(os.environ["HOME"]) not in found.split("PATH")[0]


@pytest.mark.parametrize(
    "reach",
    [
        "open('/tmp/sxdask-wall', 'w').write('x')",
        "__import__('os').listdir(__import__('os').path.dirname(path))",
        "open(f'/proc/{__import__(\"os\").getppid()}/environ').read()",
        "__import__('os').kill(__import__('os').getppid(), 0)",
        "__import__('subprocess').run(['ls', '/root'], check=True)",
    ],
)
def test_it_reaches_nothing_but_its_file(run, reach):
    with pytest.raises(UserFunctionError, match=r"PermissionError|CalledProcessError"):
        run(f"{reach}\nreturn [1]")


def test_it_connects_to_no_server_of_this_machine(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        body = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\nreturn [1]"
        with pytest.raises(SxdaskError, match="PermissionError"):
            run(body)


def test_it_takes_no_more_memory_than_it_may(run):
    body = "import numpy as np\nreturn np.ones(1 << 32, np.uint8)"
    with pytest.raises(SxdaskError, match=r"memory|Memory|allocate"):
        run(body, limits=PythonLimits(seconds=60, memory_bytes=3 * 1024**3))


def test_it_writes_no_more_than_it_may(run):
    body = "with open('big', 'wb') as f:\n    f.write(bytes(1 << 20))\nreturn [1]"
    with pytest.raises(SxdaskError, match=r"File too large|ended with status"):
        run(body, limits=PythonLimits(seconds=60, object_bytes=1 << 16))


def test_one_that_goes_on_for_ever_is_ended_with_all_that_it_started(run, monkeypatch):
    from sxdask.service.transforms import sandbox

    monkeypatch.setattr(sandbox, "_STARTING_SECONDS", 8.0)
    began = time.monotonic()
    body = "import subprocess\nsubprocess.Popen(['sleep', '4242'])\nwhile True:\n    pass"
    with pytest.raises(UserFunctionError, match="takes more than 1 s"):
        run(body, limits=PythonLimits(seconds=1))
    assert time.monotonic() - began < 40
    assert "sleep 4242" not in commands(psutil.process_iter())


def test_one_that_nobody_waits_for_is_ended(run):
    attempt = Attempt("")
    attempt.is_over = True
    with pytest.raises(GivenUpError):
        run("import time\ntime.sleep(100)", attempt=attempt)


def test_its_error_says_the_line(run):
    with pytest.raises(UserFunctionError, match="ZeroDivisionError") as error:
        run("x = 0\nreturn [1 / x]")
    assert "line 3" in error.value.problem
    assert "Traceback" in error.value.context["traceback"]
