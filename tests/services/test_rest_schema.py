"""The interface against its own description: requests made from it, right ones and wrong ones.

No reply is a defect of the service, and each is of a status, a type and a shape
that the description names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.rest_parts import open_site

EXAMPLES = int(os.environ.get("SXDASK_SCHEMA_EXAMPLES", "10"))
"""Requests for each operation, once right and once wrong ones."""

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def operations() -> list[Any]:
    """Return the operations of the interface."""
    with TemporaryDirectory() as folder, open_site(Path(folder)) as site:
        described = json.loads(json.dumps(site.app.openapi()))
    schema = schemathesis.openapi.from_dict(described)
    found: list[Any] = list(schema.get_all_operations())
    return [result.ok() for result in found]


OPERATIONS = operations()
WITH_INPUT = [item for item in OPERATIONS if item.body or list(item.iter_parameters())]


@pytest.fixture
def site(tmp_path):
    schemes = frozenset({"rucio", "xrootd"})
    with open_site(tmp_path, auth=True, allow_python=True, schemes=schemes) as made:
        yield made


def try_out(site, operation, mode: GenerationMode) -> None:
    """Send requests made from the description of an operation; in right ones, ids are known."""
    headers = site.headers(site.user("root", admin=True))
    request_id = site.submit(headers)
    site.report(request_id, True, False)
    known = {"request_id": request_id, "dataset_id": 1, "user_id": 99}

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def check(case):
        for name in case.path_parameters or {}:
            if mode is GenerationMode.POSITIVE:
                case.path_parameters[name] = known[name]
        sent = case.as_transport_kwargs(base_url="http://localhost", headers=headers)
        method, url = sent.pop("method"), sent.pop("url")
        sent.pop("cookies", None)
        if "data" in sent:
            sent["content"] = sent.pop("data")
        answer = site.client.request(method, url.removeprefix("http://localhost"), **sent)
        case.validate_response(answer, checks=CHECKS)

    check()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda item: item.label)
def test_replies_to_right_requests_are_as_described(site, operation):
    try_out(site, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize("operation", WITH_INPUT, ids=lambda item: item.label)
def test_replies_to_wrong_requests_are_as_described(site, operation):
    try_out(site, operation, GenerationMode.NEGATIVE)
