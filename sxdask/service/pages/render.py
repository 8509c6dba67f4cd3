"""Templates to pages: everything is escaped, nothing comes from another host."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from sxdask import __version__
from sxdask.service.auth.sessions import csrf_token, is_signed_in, take_said
from sxdask.service.pages import shown
from sxdask.service.rest.parts import parts_of

if TYPE_CHECKING:
    from fastapi import Request

_KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FILES: Final = ("pages.css", "pages.js", "icon.svg")


class Asset(NamedTuple):
    """A file that browsers may keep for ever: its address changes with its content."""

    url: str
    kind: str
    content: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return style sheet, script and icon by name."""
    found = {}
    for name in _FILES:
        content = (files("sxdask.service.pages") / "static" / name).read_bytes()
        stem, _, suffix = name.partition(".")
        url = f"/static/{stem}-{sha256(content).hexdigest()[:12]}.{suffix}"
        found[name] = Asset(url, _KINDS[suffix], content)
    return found


def page(request: Request, template: str, *, code: int = 200, **values: Any) -> Response:
    """Return a page; with what all pages show beside `values`."""
    common = {
        "code": code,
        "visitor": getattr(request.state, "caller", None),
        "signed_in": is_signed_in(request.session),
        "auth": parts_of(request).policy.auth,
        "path": request.url.path,
        "csrf": csrf_token(request.session),
        "said": take_said(request.session),
        "version": __version__,
        "assets": assets(),
    }
    text = _environment().get_template(template).render(common | values)
    return HTMLResponse(text, code)


@cache
def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("sxdask.service.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("count", "size", "speed", "duration", "moment", "exact", "clock"):
        found.filters[name] = getattr(shown, name)
    found.globals["nothing"] = shown.NOTHING
    return found
