"""The OpenAPI document, made from the table of routes."""

import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from watchword.authority.answers import JSON, PROBLEM
from watchword.authority.http import FORM, Route
from watchword.guard.rules import anyone

_PARAMETER = re.compile(r"{([a-z_]+)}")
_TEMPLATE: Final = "#/components/schemas/{name}"


def openapi_document(issuer: str, routes: Iterable[Route]) -> dict[str, Any]:
    """The document (OpenAPI 3.1) of these routes at that address."""
    routes = list(routes)
    kinds = [kind for route in routes for kind in (route.takes, route.gives) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_TEMPLATE)
    by_kind = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Watchword authority", "version": "1"},
        "servers": [{"url": issuer}],
        "paths": paths,
        "components": {
            "schemas": components | {"Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"token": []}],
    }


_PROBLEM: Final = {
    "title": "Problem",
    "description": "A refusal (RFC 9457): code is stable, title is for people.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
    },
    "required": ["type", "title", "status", "code"],
}


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.endpoint.__name__,
        "summary": (inspect.getdoc(route.endpoint) or "").partition("\n\n")[0].replace("\n", " "),
        "responses": {**_good(route, schemas), "default": _refusal()},
    }
    if route.rule is anyone:
        operation["security"] = []
    named = _PARAMETER.findall(route.path)
    parameters = [_parameter("path", name, {"type": "string"}, required=True) for name in named]
    if route.takes is not None and route.has_body:
        content = {FORM if route.form else JSON: {"schema": schemas[repr(route.takes)]}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.takes is not None:
        query = msgspec.json.schema(route.takes)["$defs"][route.takes.__name__]
        required = query.get("required", [])
        parameters += [
            _parameter("query", name, schema, required=name in required) for name, schema in query["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    return operation


def _good(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    if route.gives is None:
        return {"204": {"description": "Done."}}
    return {str(route.status): {"description": "Done.", "content": {JSON: {"schema": schemas[repr(route.gives)]}}}}


def _refusal() -> dict[str, Any]:
    schema = {"$ref": _TEMPLATE.format(name="Problem")}
    return {"description": "Refused, with the reason.", "content": {PROBLEM: {"schema": schema}}}


def _parameter(where: str, name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"in": where, "name": name, "required": required, "schema": schema}
