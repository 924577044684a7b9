"""``GET /openapi.json``: the API described by the structs that read and write it (OpenAPI 3.1.0)."""

import asyncio
import http
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from homeport.server.dialects import dialect_of
from homeport.server.routes import Endpoint
from homeport.server.scopes import Scope
from homeport.server.wire import JSON, SSE, Wire

OPENAPI_VERSION = "3.1.0"

_REFERENCE = "#/components/schemas/"
_VARIABLE = re.compile(r"{(\w+)(?::[^{}]*)?}")
_MODULE = re.compile(r"homeport\.server\.schemas\.(\w+)\.(\w+)")
_END_OF_EVENTS = "[DONE]"
_KEYS = ("bearer", "apiKey")
_ALWAYS = (401, 403, 500, 503)
"""No key or the wrong one, a fault of ours, and a host that is stopping."""
_WITH_BODY = (400, 404, 408, 413, 415)
_WITH_VARIABLE = (400, 404)
_INFERRING = (429, 501, 502, 504)

JsonObject = dict[str, Any]


class Description:
    """The document of one application, made when it is first asked for.

    Args:
        endpoints: All routes.
        version: Of homeport.
    """

    def __init__(self, endpoints: Sequence[Endpoint], version: str) -> None:
        self._endpoints = endpoints
        self._version = version
        self._encoded: bytes | None = None
        self._turn = asyncio.Lock()

    async def encoded(self) -> bytes:
        """Give the document as JSON."""
        async with self._turn:
            if self._encoded is None:
                self._encoded = await asyncio.to_thread(self._encode)
            return self._encoded

    def _encode(self) -> bytes:
        return msgspec.json.encode(describe(self._endpoints, self._version))


DESCRIPTION: web.AppKey[Description] = web.AppKey("description", Description)


async def openapi(request: web.Request) -> web.StreamResponse:
    """Describe this API."""
    encoded = await request.app[DESCRIPTION].encoded()
    return web.Response(body=encoded, content_type=JSON, charset="utf-8")


def describe(endpoints: Iterable[Endpoint], version: str) -> JsonObject:
    """Build the document.

    Args:
        endpoints: What is described.
        version: Of homeport.
    """
    endpoints = tuple(endpoints)
    writer = _Writer(endpoints)
    paths: dict[str, JsonObject] = {}
    for endpoint in endpoints:
        path = _VARIABLE.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = writer.operation(endpoint)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "homeport",
            "version": version,
            "summary": "The Ollama and the OpenAI API, and what homeport adds to them",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": writer.schemas, "securitySchemes": _security_schemes()},
    }


class _Writer:
    """Describes routes with references to the schemas of their structs."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        errors = (dialect_of(endpoint.path).answer for endpoint in endpoints)
        wires = (endpoint.wire.structs for endpoint in endpoints if endpoint.wire is not None)
        structs = tuple(dict.fromkeys((*errors, *(struct for each in wires for struct in each))))
        references, schemas = msgspec.json.schema_components(structs, ref_template=f"{_REFERENCE}{{name}}")
        self.schemas: JsonObject = _renamed(schemas)
        self._references: dict[type, JsonObject] = dict(
            zip(structs, (_renamed(reference) for reference in references), strict=True)
        )

    def operation(self, endpoint: Endpoint) -> JsonObject:
        """Describe one verb on one path."""
        wire = endpoint.wire or Wire()
        variables = _VARIABLE.findall(endpoint.path)
        told: JsonObject = {
            "operationId": _operation_id(endpoint),
            "summary": (endpoint.handler.__doc__ or "").partition("\n")[0],
            "security": []
            if endpoint.scope is Scope.PUBLIC
            else [{key: [endpoint.scope.value]} for key in _KEYS],
            "responses": self._responses(endpoint, wire, has_variable=bool(variables)),
        }
        if variables:
            told["parameters"] = [_parameter(name) for name in variables]
        if wire.request is not None or wire.sends != JSON:
            told["requestBody"] = self._body(wire)
        return told

    def _body(self, wire: Wire) -> JsonObject:
        content: JsonObject = {}
        if wire.request is not None:
            content["schema"] = self._references[wire.request]
        if wire.example is not None:
            content["example"] = wire.example
        return {"required": True, "content": {wire.sends: content}}

    def _responses(self, endpoint: Endpoint, wire: Wire, *, has_variable: bool) -> JsonObject:
        told = {str(wire.status): self._success(wire, has_schema=endpoint.wire is not None)}
        for status, struct in wire.others.items():
            told[str(status)] = _response(status, {} if struct is None else {JSON: self._schema(struct)})
        error = {JSON: self._schema(dialect_of(endpoint.path).answer)}
        for status in _failures(endpoint, wire, has_variable=has_variable):
            told.setdefault(str(status), _response(status, error))
        return dict(sorted(told.items()))

    def _success(self, wire: Wire, *, has_schema: bool) -> JsonObject:
        content: JsonObject = {}
        if wire.answer is not None:
            content[wire.media_type] = self._schema(wire.answer)
        elif wire.media_type != JSON:
            content[wire.media_type] = {"schema": {"type": "string"}}
        elif not has_schema:
            content[JSON] = {}
        if wire.chunks:
            piece = {"anyOf": [self._references[struct] for struct in wire.chunks]}
            content[wire.streams_as] = {"schema": _event(piece) if wire.streams_as == SSE else piece}
        return _response(wire.status, content)

    def _schema(self, struct: type[msgspec.Struct]) -> JsonObject:
        return {"schema": self._references[struct]}


def _failures(endpoint: Endpoint, wire: Wire, *, has_variable: bool) -> Iterable[int]:
    """List the statuses of what may go wrong."""
    if endpoint.scope is Scope.PUBLIC:
        return (403, 500)
    failures = [*_ALWAYS]
    if wire.request is not None or wire.sends != JSON:
        failures += _WITH_BODY
    if endpoint.wire is None or has_variable:
        failures += _WITH_VARIABLE
    if wire.infers:
        failures += _INFERRING
    return sorted(set(failures))


def _response(status: int, content: JsonObject) -> JsonObject:
    told: JsonObject = {"description": http.HTTPStatus(status).phrase}
    return {**told, "content": content} if content else told


def _event(piece: JsonObject) -> JsonObject:
    """Describe a server-sent event, whose data is JSON but for the mark of the end."""
    encoded = {"type": "string", "contentMediaType": JSON, "contentSchema": piece}
    data = {"anyOf": [{"const": _END_OF_EVENTS}, encoded]}
    return {"type": "object", "properties": {"event": {"type": "string"}, "data": data}, "required": ["data"]}


def _parameter(name: str) -> JsonObject:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _operation_id(endpoint: Endpoint) -> str:
    words = re.findall(r"\w+", _VARIABLE.sub(r"\1", endpoint.path))
    return "_".join((endpoint.method.lower(), *words))


def _security_schemes() -> JsonObject:
    return {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }


def _renamed(tree: Any) -> Any:  # noqa: ANN401 - any JSON
    """Name structs that two dialects call alike after their dialect, and tell no module."""
    if isinstance(tree, dict):
        return {_public(key): _renamed(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_renamed(value) for value in tree]
    return _public(tree) if isinstance(tree, str) else tree


def _public(text: str) -> str:
    return _MODULE.sub(lambda found: found[1].title() + found[2], text)
