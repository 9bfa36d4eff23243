"""The API is what its description says, whatever it is asked."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import given as schemathesis_given
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ingestion_assets.api import openapi
from ingestion_assets.api.errors import CODES
from ingestion_assets.api.routes import ROUTES
from ingestion_assets_tests.api.given import served, service

EXAMPLES = 50  # requests an operation; the whole takes a few seconds
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def url(library, embedder):
    limits = {"api_rate": 1e6, "chat_model": "nobody", "answer_threshold": -1.0}
    with served(library, embedder, **limits) as url:
        yield url


def test_every_path_is_described_except_the_page():
    described = openapi.document()["paths"].keys()
    routes = {route.path.replace(":uuid", "") for route in ROUTES}
    assert routes - set(described) == {"/", "/page.css", "/page.js", "/openapi.json"}


def test_every_error_is_described():
    for path in openapi.document()["paths"].values():
        for operation in path.values():
            assert {"401", "403", "405", "413", "429", "500", "503"} <= operation[
                "responses"
            ].keys()
            errors = {status for status in operation["responses"] if status != "200"}
            assert errors <= {str(status) for status in CODES}


async def test_document_is_served(library, embedder):
    async with service(library, embedder) as http:
        assert (await http.get("/openapi.json")).json() == openapi.document()


def _operations() -> list[APIOperation[Any, Any, Any, Any]]:
    schema = schemathesis.openapi.from_dict(openapi.document())
    return [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", _operations(), ids=lambda operation: operation.label)
def test_no_request_breaks_it(url, operation, mode):
    takes_nothing = not operation.query and not operation.body and "{" not in operation.path
    if takes_nothing and mode is schemathesis.GenerationMode.NEGATIVE:
        return  # there is nothing that could be wrong
    sent = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @schemathesis_given(operation.as_strategy(generation_mode=mode))
    def fuzz(case):
        nonlocal sent
        sent += 1
        case.call_and_validate(base_url=url, checks=CHECKS)

    fuzz()
    assert sent
