"""Requests of somebody who means harm: each with the words that must not have an effect.

`REQUESTS` are what is sent with the token of a user (Mallory) who owns nothing
that the requests name; ``{other}`` in them is the id of a transform of another
user, ``{private}`` the address of a server on this machine that nobody may
reach.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Final

from tests.rest_parts import body

BASE: Final = "/servicex/transformation"
# Sent as secrets; no reply and no line of log may show them.
PASSWORD: Final = "hunter2-of-mallory"  # noqa: S105
CANARY: Final = "sx-canary"
"""A command that ran, or a header that was set, would leave this."""


@dataclass(frozen=True)
class Hostile:
    """One request; `content` is sent as it is, `data` as JSON."""

    name: str
    method: str = "POST"
    path: str = BASE
    data: Any = None
    content: bytes | None = None
    headers: dict[str, bytes] = field(default_factory=dict)

    def filled(self, **known: str) -> Hostile:
        """Return the request with its places filled in."""

        def fill(value: Any) -> Any:
            if isinstance(value, str):
                for name, text in known.items():
                    value = value.replace("{" + name + "}", text)
                return value
            if isinstance(value, list):
                return [fill(item) for item in value]
            if isinstance(value, dict):
                return {name: fill(item) for name, item in value.items()}
            return value

        return Hostile(
            self.name, self.method, fill(self.path), fill(self.data), self.content, self.headers
        )


def submitting(name: str, **changes: Any) -> Hostile:
    return Hostile(name, data=body(**changes))


def raw(**query: Any) -> str:
    return json.dumps([{"treename": "Events", **query}])


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_TOUCH: Final = f"touch /tmp/{CANARY}"
_EXPRESSIONS: Final = (
    f"__import__('os').system('{_TOUCH}')",
    "().__class__.__bases__[0].__subclasses__()",
    "MET_pt.__class__.__mro__",
    "(lambda: 1)()",
    "[x for x in (1,)]",
    f"eval('{_TOUCH}')",
    f"exec('{_TOUCH}')",
    "open('/etc/passwd').read()",
    "getattr(MET_pt, 'tobytes')()",
    "f'{MET_pt}'",
    "globals()",
    "(a := 1)",
    "MET_pt if 1 else 2",
    "np.load('/etc/passwd')",
    "np.fromfile('/etc/passwd')",
    "ak.from_parquet('/etc/passwd')",
    "a; import os",
    "'\\x41'",
    "a" * 300_000,
    "(" * 5_000 + "a",
    "9" * 5_000,
    "9**9**9**9" * 400,
)
_QASTLE: Final = (
    f"(call (attr (call __import__ 'os') 'system') '{_TOUCH}')",
    "(call Select (call EventDataset) (lambda (list e) (call eval 'e')))",
    "(call Select (call EventDataset) (lambda (list e) (attr e '__class__'))) (call EventDataset)",
    "(call MetaData (call EventDataset) (dict (list 'metadata_type') (list 'inject_code'))",
    "(" * 100_000,
    "(not " * 3_000 + "a" + ")" * 3_000,
)
_OTHERS: Final = (
    ("tcut", f'gSystem->Exec("{_TOUCH}")'),
    ("tcut", f".! {_TOUCH}"),
    ("tcut", "x" + "&&x" * 100_000),
    ("skyhook", "drop table transforms"),
    ("skyhook", "select * from users"),
    ("skyhook", "select " + "(" * 1_000),
    ("python", coded(f"import os\ndef run_query(path):\n    os.system('{_TOUCH}')")),
    ("topcp", "{}"),
    ("cms", "(call EventDataset)"),
    ("../../etc/passwd", "x"),
    ("uproot\r\nX-Evil: 1", raw()),
    ("' OR 1=1 --", raw()),
)
_FILES: Final = (
    "file:///etc/passwd",
    "/etc/passwd",
    "../../etc/passwd",
    "file:/etc/shadow",
    "FiLe:///etc/passwd",
    "~root/.ssh/id_rsa",
    "simplecache::file:///etc/passwd",
    "http://8.8.8.8/a.root::file:///etc/passwd",
    "s3://{other}/1.parquet",
    "memory://x",
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://127.0.0.1:22/",
    "http://localhost/a.root",
    "http://2130706433/a.root",
    "http://0x7f.1/a.root",
    "http://0177.0.0.1/a.root",
    "http://[::1]/a.root",
    "http://[::ffff:169.254.169.254]/a.root",
    "http://0/a.root",
    "{private}/secret.root",
    "root://127.0.0.1:1094//etc/passwd",
    "root://10.0.0.1//a.root",
    f"http://mallory:{PASSWORD}@8.8.8.8/a.root",
    "http://8.8.8.8#@127.0.0.1/a.root",
    "http://8.8.8.8\\@127.0.0.1/a.root",
    "http://8.8.8.8/../../a.root",
    "http://8.8.8.8/%2e%2e/%2e%2e/a.root",
    "http://8.8.8.8/a.root\r\nAuthorization: Bearer x",
    "http://8.8.8.8/\x00.root",
    "http://8.8.8.8/\u202etoor.a",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "",
)
_DIDS: Final = (
    "file:///etc/passwd",
    "xrootd://file:///etc/passwd",
    "xrootd://root://127.0.0.1//*.root",
    "xrootd://http://169.254.169.254/*",
    "unknown://x",
    "rucio://a:b\r\nX-Evil: 1",
    "rucio://a:b?files=-1",
    "rucio://a:b?files=9e99",
    "rucio://" + "a" * 10_000,
    "rucio://a:b\x00",
)
_BODIES: Final = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"\xff\xfe{}",
    b'{"selection": "\\ud800", "did": "rucio://a:b"}',
    b'{"selection": "\\u0000", "did": "rucio://a:b"}',
    b'{"selection": 1e999, "did": "rucio://a:b"}',
    b'{"workers": 99999999999999999999, "selection": "x", "did": "rucio://a:b"}',
    b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>",
)
_PATHS: Final = (
    ("GET", BASE + "/{other}"),
    ("GET", BASE + "/{other}/results"),
    ("GET", BASE + "/{other}/status?details=true"),
    ("GET", BASE + "/{other}/logs"),
    ("GET", BASE + "/{other}/cancel"),
    ("POST", BASE + "/{other}/cancel"),
    ("POST", BASE + "/{other}/resubmit-failed"),
    ("DELETE", BASE + "/{other}"),
    ("GET", BASE + "/' OR '1'='1"),
    ("GET", BASE + "/..%2f..%2f..%2fetc%2fpasswd"),
    ("GET", BASE + "/%00"),
    ("GET", BASE + "/%0d%0aX-Evil:%201"),
    ("DELETE", BASE + "/../../users/1"),
    ("GET", BASE + "?submitted_by=1"),
    ("GET", BASE + "?submitted_by=99999999999999999999"),
    ("GET", BASE + "?submitted_by=1%20OR%201=1"),
    ("GET", "/servicex/datasets/99999999999999999999"),
    ("GET", "/servicex/datasets/-1"),
    ("GET", "/servicex/datasets/..%2f1"),
    ("DELETE", "/servicex/datasets/0"),
    ("GET", "/users"),
    ("DELETE", "/users/1"),
    ("DELETE", "/pending"),
    ("GET", "/static/..%2f..%2fsettings.py"),
    ("GET", "/servicex/internal/transformation/1/files"),
    ("PUT", "/servicex/internal/transformation/{other}/file-complete"),
    ("TRACE", "/servicex"),
    ("PATCH", BASE),
)
_HEADERS: Final = (
    {"Authorization": b"Bearer " + b"x" * 50_000},
    {"Authorization": b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."},
    {"Authorization": b"Basic " + base64.b64encode(f"root:{PASSWORD}".encode())},
    {"Authorization": b"Bearer \xff\xfe"},
    {"Authorization": f"Bearer {PASSWORD}".encode()},
    {"Origin": b"https://evil.example"},
    {"Sec-Fetch-Site": b"cross-site"},
    {"Content-Length": b"99999999999"},
    {"Content-Length": b"-1"},
    {"Content-Type": b"text/plain"},
)


def _all() -> list[Hostile]:
    found = [submitting("expression", selection=raw(expressions=[text])) for text in _EXPRESSIONS]
    found += [submitting("cut", selection=raw(cut=text)) for text in _EXPRESSIONS[:8]]
    found += [submitting("qastle", codegen="uproot", selection=text) for text in _QASTLE]
    found += [submitting("language", codegen=name, selection=text) for name, text in _OTHERS]
    found += [submitting("file", file_list=[name]) for name in _FILES]
    found += [submitting("did", file_list=None, did=name) for name in _DIDS]
    found += [Hostile("body", content=content) for content in _BODIES]
    found += [Hostile("path", method, path) for method, path in _PATHS]
    found += [Hostile("header", headers=headers, data=body()) for headers in _HEADERS]
    found += [
        submitting("title", title="x" * 10_241),
        submitting("title", title="a\r\n[ERROR] root logged in"),
        submitting("title", title="\x1b[2J"),
        submitting("title", title="\u202egnp.exe"),
        submitting("both", did="rucio://a:b"),
        submitting("destination", result_destination="volume"),
        submitting("destination", result_destination="../../tmp"),
        submitting("format", result_format="pickle"),
        submitting("tree", tree_name="\x00"),
        submitting("many", file_list=["http://8.8.8.8/a.root"] * 100_001),
        submitting("hosts", file_list=[f"http://h{n}.invalid/a.root" for n in range(300)]),
        Hostile("accept", path="/accept", data={"email": "mallory@example.org"}),
        Hostile("accept", path="/accept", data={"email": {"$ne": 1}}),
        Hostile(
            "sign", path="/servicex/file-urls", data={"request_id": "{other}", "file_list": []}
        ),
        Hostile("refresh", path="/token/refresh"),
    ]
    return found


REQUESTS: Final = _all()
