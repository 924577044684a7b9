"""The description of the API, held against what is served."""

import json
import re

import attrs
import jsonschema
import pytest
from aiohttp import hdrs

from homeport.config.settings import ServerSettings
from homeport.runtime import Runtime
from homeport.server.app import build_app
from homeport.server.endpoints import ENDPOINTS
from homeport.server.openapi import describe
from homeport.server.scopes import Scope

DOCUMENT = json.loads(json.dumps(describe(ENDPOINTS, "1.2.3")))
OPERATIONS = [
    (method, path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
QUIET = [each for each in ENDPOINTS if each.method == hdrs.METH_GET and "{" not in each.path]


def schema_of(response, kind="application/json"):
    """Give a schema that can be checked on its own."""
    return {**response["content"][kind]["schema"], "components": DOCUMENT["components"]}


def references(tree):
    """List all references in a tree."""
    if isinstance(tree, dict):
        yield from (value for key, value in tree.items() if key == "$ref")
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from references(value)


async def test_the_description_and_the_router_know_the_same_routes(settings):
    """Every route of the application is described, those of plugins too, and nothing else is."""
    async with Runtime.open(settings) as runtime:
        app = build_app(runtime)
    served = {(route.method, route.resource.canonical) for route in app.router.routes()}
    implied = {(hdrs.METH_HEAD, path) for method, path in served if method == hdrs.METH_GET}
    described = {(method.upper(), path) for method, path, _ in OPERATIONS}
    assert {each for each in served - implied if each in described or each[0] != hdrs.METH_HEAD} == described


def test_every_own_route_says_what_goes_over_the_wire():
    """None is left without its structs, and what takes a body shows one that makes sense."""
    for endpoint in ENDPOINTS:
        assert endpoint.wire is not None, endpoint.path
        assert endpoint.handler.__doc__, endpoint.path
        if endpoint.wire.request is not None:
            assert endpoint.wire.example is not None, endpoint.path


def test_names_are_unique_and_tell_no_module():
    """Each operation and each schema has a name of its own, and none of them is a path of ours."""
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert "homeport.server" not in json.dumps(DOCUMENT)
    assert all(re.fullmatch(r"[\w.-]+", name) for name in DOCUMENT["components"]["schemas"])


def test_every_reference_leads_somewhere():
    """No schema is missing."""
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(references(DOCUMENT)) <= known


@pytest.mark.parametrize("name", DOCUMENT["components"]["schemas"])
def test_every_schema_is_one(name):
    """Each is valid JSON Schema of the draft that OpenAPI 3.1 takes."""
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda each: str(each)[:40])
def test_an_example_fits_its_schema(method, path, operation):
    """What is shown as an example is valid."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])


def test_closed_routes_say_what_a_key_must_allow():
    """The scope stands with both ways to send a key; public routes need none."""
    scopes = {(each.method.lower(), re.sub(r":[^}]*", "", each.path)): each.scope for each in ENDPOINTS}
    for method, path, operation in OPERATIONS:
        scope = scopes[method, path]
        expected = [] if scope is Scope.PUBLIC else [{"bearer": [scope.value]}, {"apiKey": [scope.value]}]
        assert operation["security"] == expected
        assert scope is Scope.PUBLIC or {"401", "403"} <= set(operation["responses"])


@pytest.mark.parametrize("endpoint", QUIET, ids=lambda each: each.path)
async def test_answers_are_as_described(served, endpoint):
    """What a route really gives fits the schema that it is described with."""
    response = DOCUMENT["paths"][endpoint.path]["get"]["responses"]["200"]
    async with served.http.get(endpoint.path) as answer:
        assert answer.content_type in response["content"]
        if answer.content_type == "application/json":
            jsonschema.Draft202012Validator(schema_of(response)).validate(await answer.json())


@pytest.mark.parametrize(
    "endpoint",
    [
        each
        for each in ENDPOINTS
        if each.wire and each.wire.infers and each.wire.answer and each.scope is Scope.INFER
    ],
    ids=lambda each: each.path,
)
async def test_examples_are_answered_as_described(served, endpoint):
    """The example of a route, asked of a model that is there, gets what is described; errors too."""
    responses = DOCUMENT["paths"][endpoint.path]["post"]["responses"]
    for model in ("echo", "vectors", "nobody"):
        async with served.http.post(endpoint.path, json={**endpoint.wire.example, "model": model}) as answer:
            schema = schema_of(responses[str(answer.status)])
            jsonschema.Draft202012Validator(schema).validate(await answer.json())


async def test_the_description_is_for_those_with_a_key_and_always_the_same(settings, serving):
    """It is made once; whoever may ask models may read it."""
    async with serving(attrs.evolve(settings, server=ServerSettings(api_key="k"))) as served:
        async with served.http.get("/openapi.json") as response:
            assert response.status == 401
        texts = []
        for _ in range(2):
            async with served.http.get("/openapi.json", headers={"x-api-key": "k"}) as response:
                assert (response.status, response.content_type) == (200, "application/json")
                texts.append(await response.read())
        assert texts[0] == texts[1]
        assert json.loads(texts[0])["openapi"] == "3.1.0"
