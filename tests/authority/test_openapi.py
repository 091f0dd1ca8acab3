"""The OpenAPI document: every route of the table, as it is."""

import json
import re
from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import Json, good

from watchword.authority.routes import ROUTES
from watchword.guard.rules import anyone


@pytest.fixture
async def document(http: AsyncClient) -> Json:
    """The document as anybody gets it."""
    found: Json = good(await http.get("/openapi.json"))
    return found


async def test_every_route_is_there_with_a_summary_and_its_own_name(document: Json) -> None:
    """Method and path of each row; a name that no other has; what it does, in a sentence."""
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert {(method, path) for method, path, _ in operations} == {(route.method, route.path) for route in ROUTES}
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"].endswith(".") for _, _, operation in operations)


async def test_every_operation_says_what_it_takes_and_gives(document: Json) -> None:
    """Parameters of path and query, a body where there is one, the right status, and who may come."""
    for route in ROUTES:
        operation: Json = document["paths"][route.path][route.method.lower()]
        parameters = operation.get("parameters", [])
        named = {(parameter["in"], parameter["name"]) for parameter in parameters}
        query = route.takes.__struct_fields__ if route.takes and not route.has_body else ()
        expected = {("path", name) for name in re.findall(r"{(\w+)}", route.path)} | {("query", name) for name in query}
        assert named == expected, route.path
        assert ("requestBody" in operation) is (route.takes is not None and route.has_body)
        assert set(operation["responses"]) == {str(route.status if route.gives else 204), "default"}
        assert (operation.get("security") == []) is (route.rule is anyone)


async def test_every_reference_leads_somewhere(document: Json) -> None:
    """No schema is named that is not among the components."""
    text = json.dumps(document)
    wanted = set(re.findall(r'"#/([^"]+)"', text))
    assert wanted
    for place in wanted:
        node: Any = document
        for name in place.split("/"):
            node = node[name]
    assert "$defs" not in text


async def test_a_made_thing_is_201_and_a_name_is_required(document: Json) -> None:
    """Where something is added the status says so, and a query parameter without a default is required."""
    for path in ("users", "roles", "audiences", "clients"):
        assert "201" in document["paths"][f"/admin/{path}"]["post"]["responses"]
    (name,) = document["paths"]["/admin/audiences"]["delete"]["parameters"]
    assert (name["in"], name["required"]) == ("query", True)
    limit = document["paths"]["/admin/users"]["get"]["parameters"][1]
    assert (limit["name"], limit["required"], limit["schema"]["default"]) == ("limit", False, 100)
