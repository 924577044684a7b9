"""Whatever form is asked for, an answer that ends has it."""

import functools
import json
import re
from datetime import datetime

import attrs
import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema

from homeport import Constraint, ConstraintKind, Finished, GenerationRequest, LoadPlan, Sampling, TextPrompt
from homeport.engine.engine import Engine
from homeport.engine.tokenizer import TextTokenizer
from homeport.testing.tiny_model import ChecksumModel
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel

PLAN = LoadPlan(context_length=512, slots=8, threads=1)
MOST_TOKENS = 400
PATTERNS = ["^[a-f]{2,6}$", "^\\d{3}-\\d{2}$", "x", "^(red|green)( \\w{1,4})?$", "^[^a-z]{0,4}$"]
NAMES = ["a", "b", "c", "long name"]
FORMATS = ["date", "date-time", "time", "uuid", "ipv4", "ipv6", "duration"]


def schema_of_schemas(depth):
    """Describe the schemas to draw, as a JSON Schema: an object is told as a list of its pairs.

    hypothesis-jsonschema 0.23 draws no objects with hypothesis 6.170, whose inner parts it uses.
    """
    leaves = [
        _pairs(type={"const": "string"}, minLength=_whole(0, 3), maxLength=_whole(3, 12)),
        _pairs(type={"const": "string"}, pattern={"enum": PATTERNS}, maxLength=_whole(6, 9)),
        _pairs(type={"const": "string"}, format={"enum": FORMATS}),
        _pairs(type={"const": "integer"}, minimum=_whole(-99, 5), maximum=_whole(5, 999)),
        _pairs(type={"const": "integer"}, multipleOf=_whole(1, 50), maximum=_whole(50, 999)),
        _pairs(type={"const": "number"}, exclusiveMinimum=_whole(-5, 5), maximum=_whole(6, 9)),
        _pairs(type={"enum": ["integer", "number", "boolean", "null", ["boolean", "null"]]}),
        _pairs(enum=_several(SMALL_VALUES, 1, 4)),
        _pairs(const=SMALL_VALUES),
    ]
    if not depth:
        return {"anyOf": leaves}
    inner = schema_of_schemas(depth - 1)
    property_pair = {"type": "array", "items": [{"enum": NAMES}, inner], "minItems": 2, "maxItems": 2}
    composed = [
        _pairs(type={"const": "array"}, items=inner, minItems=_whole(0, 2), maxItems=_whole(2, 3)),
        _pairs(type={"const": "array"}, prefixItems=_several(inner, 1, 2), items={"const": False}),
        _pairs(anyOf=_several(inner, 1, 3)),
        _pairs(
            type={"const": "object"},
            properties=_several(property_pair, 0, 4),
            required={"type": "array", "items": {"enum": NAMES}, "uniqueItems": True},
            additionalProperties={"const": False},
        ),
    ]
    return {"anyOf": [*composed, *composed, *leaves]}


def _pairs(**values):
    pairs = [
        {"type": "array", "items": [{"const": name}, value], "minItems": 2, "maxItems": 2}
        for name, value in values.items()
    ]
    return {"type": "array", "items": pairs, "minItems": len(pairs), "maxItems": len(pairs)}


def _several(schema, least, most):
    return {"type": "array", "items": schema, "minItems": least, "maxItems": most}


def _whole(least, most):
    return {"type": "integer", "minimum": least, "maximum": most}


def schema_of(pairs):
    """Give the schema that a list of pairs tells."""
    if not isinstance(pairs, list):
        return pairs
    schema = dict(pairs)
    for keyword in ("anyOf", "prefixItems"):
        if keyword in schema:
            schema[keyword] = [schema_of(each) for each in schema[keyword]]
    if "items" in schema:
        schema["items"] = schema_of(schema["items"])
    if "properties" in schema:
        schema["properties"] = {name: schema_of(each) for name, each in schema["properties"]}
    return schema


SMALL_VALUES = {
    "anyOf": [
        {"type": "string", "maxLength": 6, "pattern": "^[ -~\u00c0-\u00ff]*$"},
        {"type": "integer", "minimum": -1000, "maximum": 1000},
        {"enum": [None, True, False, [], {}, [1, "x"], {"k": 1.5}]},
    ]
}


@functools.cache
def schemas():
    """Draw schemas; getting ready to takes seconds."""
    draft = {"$schema": "http://json-schema.org/draft-07/schema#"}
    return from_schema({**draft, **schema_of_schemas(2)}).map(schema_of)


DRAWING = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@attrs.frozen
class Outcome:
    """What came of one request."""

    text: str
    finished: Finished | None
    error: Exception | None


def answers(engine, constraints, sampling):
    """Ask for all forms at once, and give what came of each."""
    texts = dict.fromkeys(map(str, range(len(constraints))), "")
    ends, errors = {}, {}
    told = []
    for number, constraint in enumerate(constraints):
        sampled = attrs.evolve(sampling, seed=number)
        prompt = TextPrompt(f"Answer number {number}:\n")
        told += engine.submit(
            GenerationRequest(
                id=str(number), model="", prompt=prompt, sampling=sampled, constraint=constraint
            )
        )
    while told or engine.busy:
        for event in told:
            match event.event:
                case Finished() as finished:
                    ends[event.request_id] = finished
                case Exception() as error:
                    errors[event.request_id] = error
                case delta:
                    texts[event.request_id] += getattr(delta, "text", "")
        told = engine.step() if engine.busy else []
    return [Outcome(text, ends.get(name), errors.get(name)) for name, text in texts.items()]


def check(schema, text):
    """Fail where an answer is no JSON or not what its schema allows."""
    value = json.loads(text)
    jsonschema.Draft202012Validator(schema, format_checker=FORMAT_CHECKER).validate(value)
    return value


FORMAT_CHECKER = jsonschema.FormatChecker(formats=["date", "uuid", "ipv4", "ipv6"])


@FORMAT_CHECKER.checks("date-time", raises=ValueError)
def _is_moment(value):
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def schema_constraint(schema):
    return Constraint(ConstraintKind.JSON_SCHEMA, json.dumps(schema))


@pytest.fixture(scope="module")
def engine(tiny_folder):
    """An engine around the checksum model, whose answers are noise."""
    model = ChecksumModel()
    return Engine(model, model.load(tiny_folder, PLAN), TextTokenizer(tiny_folder), PLAN)


def hold(engine, schemas, sampling, tally):
    """Check that the answers to schemas are valid, and count how they ended."""
    asked = answers(engine, [schema_constraint(schema) for schema in schemas], sampling)
    for schema, outcome in zip(schemas, asked, strict=True):
        if outcome.error is not None:
            assert getattr(outcome.error, "field", None) == "format", outcome.error
            tally["refused"] += 1
        elif outcome.finished.reason == "length":
            tally["cut"] += 1
        else:
            check(schema, outcome.text)
            tally["valid"] += 1
    return tally


def hold_drawn(engine, sampling, *, examples, together=8):
    """Check answers to drawn schemas, some at a time, and count how they ended."""
    tally = {"valid": 0, "cut": 0, "refused": 0}

    @settings(DRAWING, max_examples=examples)
    @given(st.lists(schemas(), min_size=together, max_size=together))
    def hold_all(drawn):
        hold(engine, drawn, sampling, tally)

    hold_all()
    return tally


@pytest.mark.parametrize("examples", [70, pytest.param(2000, marks=pytest.mark.nightly)])
def test_noise_that_ends_is_valid_for_any_schema(engine, examples):
    """A model of noise answers 500 schemas, eight at a time: what ends is valid, and nearly all ends."""
    noise = Sampling(temperature=1, top_p=1, max_tokens=MOST_TOKENS)
    tally = hold_drawn(engine, noise, examples=examples)
    assert tally["valid"] > 7 * examples
    assert tally["cut"] <= tally["valid"] / 100


@pytest.mark.parametrize(
    "expression", ["(yes|no|maybe)", "[0-9]{4}-[0-9]{2}", "[a-z]{3,9}(, [a-z]{3,9}){0,3}", "(é|日本)+x", "a?"]
)
def test_noise_that_ends_matches_a_regular_expression(engine, expression):
    """Each of 100 answers is matched as a whole, choices among them."""
    asked = [Constraint(ConstraintKind.REGEX, expression)] * 100
    for outcome in answers(engine, asked, Sampling(temperature=1.5, top_p=1, max_tokens=200)):
        assert outcome.finished.reason == "stop"
        assert re.fullmatch(expression, outcome.text)


def test_grammar_is_kept(engine):
    """Sums that balance their brackets are nothing that a regular expression could ask for."""
    grammar = """
        start: sum
        sum: term ("+" term)~0..2
        term: /[0-9]{1,3}/ | "(" sum ")"
    """
    asked = [Constraint(ConstraintKind.GRAMMAR, grammar)] * 50
    outcomes = answers(engine, asked, Sampling(temperature=1, top_p=1, max_tokens=200))
    ended = [outcome.text for outcome in outcomes if outcome.finished.reason == "stop"]
    assert len(ended) > 40
    for text in ended:
        assert re.fullmatch(r"[0-9+()]+", text)
        # A sum of numbers, each without the zeros that Python does not take before others.
        assert isinstance(eval(re.sub(r"\b0+(?=\d)", "", text)), int)


def test_any_json_object_is_an_object_and_compact(engine):
    """Without a schema an answer is one object, and no blank is written that can be left out."""
    asked = [Constraint(ConstraintKind.JSON_OBJECT)] * 40
    outcomes = answers(engine, asked, Sampling(temperature=3, top_p=1, max_tokens=MOST_TOKENS))
    ended = [outcome.text for outcome in outcomes if outcome.finished.reason == "stop"]
    assert ended
    for text in ended:
        assert isinstance(json.loads(text), dict)
        assert "\n" not in text


@pytest.mark.model
@pytest.mark.slow
def test_starter_model_answers_200_drawn_schemas_with_valid_json(starter_folder):
    """Of 200 answers of the real starter model, eight at a time, every one is valid for its schema."""
    model = TransformersModel(TransformersConfig())
    plan = LoadPlan(context_length=1024, slots=8, threads=2)
    engine = Engine(model, model.load(starter_folder, plan), TextTokenizer(starter_folder), plan)
    tally = hold_drawn(engine, Sampling(max_tokens=300), examples=27)
    assert tally["valid"] >= 200
    assert tally["cut"] <= 2
