"""Settings of the service: where they come from, and how mistakes are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from sxdask.core.errors import FileMissingError, RequestError
from sxdask.service.settings import PREFIX, SECRETS, ServiceSettings, load_service_settings
from sxdask.service.transforms.limits import EngineLimits

_SET_ELSEWHERE = {"allow_python", "places"}
SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105  of no service


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    def make(text, mode=0o600):
        file = tmp_path / "service.yaml"
        file.write_text(text)
        file.chmod(mode)
        return file

    return make


def test_flags_go_before_the_environment_and_that_before_the_file(write, monkeypatch):
    file = write("port: 1\nworkers: 1\nlookups: 1\n")
    monkeypatch.setenv(f"{PREFIX}PORT", "2")
    monkeypatch.setenv(f"{PREFIX}WORKERS", "2")
    found = load_service_settings(file, port=3, host=None)
    assert (found.port, found.workers, found.lookups) == (3, 2, 1)
    assert found.host == "127.0.0.1"


def test_lists_are_written_with_commas_in_the_environment(monkeypatch):
    monkeypatch.setenv(f"{PREFIX}ROOTS", "/data, s3://atlas/open")
    assert load_service_settings().roots == ["/data", "s3://atlas/open"]


def test_limits_are_merged_from_file_and_environment(write, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}LIMITS__TRIES", "7")
    found = load_service_settings(write("limits: {files: 3, python: {seconds: 9}}\n"))
    assert (found.limits.files, found.limits.tries, found.limits.python.seconds) == (3, 7, 9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prot: 1\n", "no setting 'prot'"),
        ("port: x\n", "port: Input should be a valid integer"),
        ("port: 70000\n", "port: Input should be less than or equal to 65535"),
        ("limits: {fils: 1}\n", "no limit 'fils': did you mean 'files'"),
        ("limits: {tries: 0}\n", "tries"),
        ("limits: {allow_python: true}\n", "no limit 'allow_python'"),
        ("public_url: here\n", "public_url: write a URL"),
        ("s3_endpoint: https://me:it@host\n", "without credentials"),
        ("keep_bytes: many\n", "keep_bytes: "),
        ("a: [\n", "line 2 is no YAML"),
        ("- port\n", "is no mapping"),
        ("host: 0.0.0.0\n", "lets other machines in without a token: set auth"),
        ("host: 0.0.0.0\nauth: true\n", "results would lie on this one alone: set s3_endpoint"),
        ("s3_endpoint: http://s3:1\n", "needs s3_access_key and s3_secret_key"),
        ("s3_access_key: a\ns3_secret_key: b\n", "set s3_endpoint as well"),
        ("tls_cert: a.pem\n", "tls_cert and tls_key go together"),
        ("token_secret: short\n", "fewer than 32 characters"),
        ("oidc_url: https://login/x\nauth: true\n", "needs oidc_client_id"),
        ("cluster: tcp://there:8786\n", "on this machine alone"),
        ("token_secret_file: /nowhere\n", "token_secret_file: /nowhere cannot be read"),
    ],
)
def test_a_mistake_is_said_with_what_to_do(write, text, problem):
    with pytest.raises(RequestError) as caught:
        load_service_settings(write(text))
    assert problem in str(caught.value)
    assert caught.value.hint


def test_several_mistakes_have_a_line_each(write):
    with pytest.raises(RequestError) as caught:
        load_service_settings(write("port: x\nworkers: 0\n"))
    lines = caught.value.problem.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["port", "workers"]


def test_a_variable_that_means_nothing_is_refused(monkeypatch):
    monkeypatch.setenv(f"{PREFIX}DATABSE_URL", "x")
    with pytest.raises(RequestError, match="no setting 'databse_url'") as caught:
        load_service_settings()
    assert "database_url" in str(caught.value.hint)


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileMissingError, match="cannot be read"):
        load_service_settings(tmp_path / "none.yaml")


def test_secrets_are_refused_in_a_file_that_others_may_read(write):
    text = f"token_secret: {SECRET}\n"
    assert load_service_settings(write(text)).secret("token_secret") == SECRET
    with pytest.raises(
        RequestError, match="holds token_secret and may be read by others"
    ) as caught:
        load_service_settings(write(text, mode=0o644))
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_a_secret_comes_from_the_file_that_is_named(write, tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    found = load_service_settings(write(f"token_secret_file: {tmp_path / 'secret'}\n", mode=0o644))
    assert found.secret("token_secret") == SECRET


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_is_shown(name, monkeypatch):
    keys = {"s3_endpoint": "http://s3:1", "s3_access_key": "a", "s3_secret_key": "b"}
    more = {"s3_reader_key": "c", "s3_reader_secret": "d", "oidc_client_id": "e"}
    for variable, value in ({**keys, **more, name: SECRET}).items():
        monkeypatch.setenv(f"{PREFIX}{variable.upper()}", value)
    found = load_service_settings()
    assert found.secret(name) == SECRET
    assert SECRET not in f"{found!r} {found} {found.model_dump_json()}"


def test_a_mistake_beside_a_secret_does_not_show_it(write):
    with pytest.raises(RequestError) as caught:
        load_service_settings(write(f"port: x\ndatabase_url: postgresql://u:{SECRET}@h/n\n"))
    assert SECRET not in str(caught.value)


def test_there_is_no_secret_by_default():
    settings = load_service_settings()
    assert {name: getattr(settings, name) for name in SECRETS} == dict.fromkeys(SECRETS)


def test_every_setting_and_limit_is_described():
    text = (Path(__file__).parents[3] / "docs" / "how-to" / "service.md").read_text()
    names = list(ServiceSettings.model_fields)
    described = [f"| `{name}`, or `_file` |" for name in SECRETS]
    described += [f"| `{name}` |" for name in names if name.removesuffix("_file") not in SECRETS]
    limits = [name for name in EngineLimits.__dataclass_fields__ if name not in _SET_ELSEWHERE]
    described += [f"`{name}`" for name in limits]
    assert [item for item in described if item not in text] == []
