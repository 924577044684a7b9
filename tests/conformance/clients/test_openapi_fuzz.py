"""Whatever is sent, the server answers with what its own description says, and never with a 5xx.

The long form sends 20,000 requests: ``pytest -m nightly tests/conformance/clients``.
"""

import math
import re
import subprocess
import sys
from collections import Counter
from enum import Enum
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

schemathesis = pytest.importorskip("schemathesis")

from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import load_all_checks, not_a_server_error  # noqa: E402
from schemathesis.core.failures import FailureGroup  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

pytestmark = pytest.mark.clients

HOST = Path(__file__).parent / "echo_host.py"
START_TIMEOUT_SECONDS = 30
ANSWER_SECONDS = 10
"""Longer is a hang."""
SHORT_EXAMPLES = 400
LONG_EXAMPLES = 20_000
MARGIN = 1.1
"""Some operations have fewer examples than they are asked for."""
KEPT_SHARE = 0.3
"""Of what was drawn, laid over a body that makes sense."""
FIXED_EXAMPLES = 5
"""Of an operation that takes nothing: each is like the other."""

CONFORMANCE = [content_type_conformance, response_schema_conformance, status_code_conformance]
NOWHERE = "file does not exist|no model source"
MEANT = {
    ("POST", "/api/pull"): {500: NOWHERE},
    ("POST", "/api/create"): {500: NOWHERE},
    ("POST", "/api/push"): {501: "push is not supported"},
    ("POST", "/v1/messages/count_tokens"): {501: "cannot count tokens"},
    ("POST", "/v1/systemone"): {501: "cannot decide"},
    ("POST", "/v1/decisions"): {501: "cannot decide"},
}
"""Failures of the server that the contract asks for, and a pattern of their text."""


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where a host without a model listens."""
    with subprocess.Popen(
        [sys.executable, str(HOST), str(tmp_path_factory.mktemp("home"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process.stdout.readline().strip()
            assert process.poll() is None, "the host did not survive"
        finally:
            process.stdin.close()
            process.wait(START_TIMEOUT_SECONDS)


@pytest.fixture(scope="module")
def operations(url):
    """What the description offers."""
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    return [found.ok() for found in schema.get_all_operations()]


class Sense(Enum):
    """How much sense a body makes."""

    NONE = "as it was drawn"
    SOME = "of a model that is there"
    MUCH = "the example of the route, with some of what was drawn"


def example_of(operation):
    """Give the body that the description shows."""
    body = operation.definition.raw.get("requestBody", {})
    return body.get("content", {}).get("application/json", {}).get("example", {})


def sensible(drawn, example, chosen):
    """Make a request that gets past the first checks."""
    kept = {name: value for name, value in drawn.items() if not example or chosen.random() < KEPT_SHARE}
    return {**example, **kept, "model": "echo"}


def send_all(operations, url, count, *, derandomize):
    """Send examples of every operation, valid and broken ones; give the statuses, and tell all faults."""
    seen = Counter()
    faults = []
    takers = [operation for operation in operations if operation.body or operation.path_parameters]
    givers = [operation for operation in operations if operation not in takers]
    plan = [(operation, GenerationMode.POSITIVE, FIXED_EXAMPLES) for operation in givers]
    share = math.ceil(count * MARGIN / (2 * len(takers)))
    plan += [(operation, mode, share) for operation in takers for mode in GenerationMode]
    for operation, mode, examples in plan:
        try:
            send(operation, url, mode, examples, seen, derandomize=derandomize)
        except FailureGroup as error:
            faults.append(f"{operation.label}, {mode.value} example: {error}")
    report(seen)
    assert not faults, "\n\n".join(faults)
    return seen


def send(operation, url, mode, count, seen, *, derandomize):
    """Send examples of one operation."""

    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=derandomize,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(
        case=operation.as_strategy(generation_mode=mode),
        sense=strategies.sampled_from(Sense),
        chosen=strategies.randoms(use_true_random=False),
    )
    def example(case, sense, chosen):
        if isinstance(case.body, dict) and sense is not Sense.NONE:
            case.body = sensible(case.body, example_of(operation) if sense is Sense.MUCH else {}, chosen)
        response = case.call(base_url=url, timeout=ANSWER_SECONDS)
        seen[operation.label, response.status_code] += 1
        meant = MEANT.get((operation.method.upper(), operation.path), {}).get(response.status_code)
        if meant is None or not re.search(meant, response.text):
            case.validate_response(response, checks=[not_a_server_error, *CONFORMANCE])

    example()


def report(seen):
    """Write what was answered, for whoever looks at the output."""
    for (label, status), count in sorted(seen.items()):
        sys.stdout.write(f"{label} {status}: {count}\n")
    sys.stdout.write(f"{seen.total()} examples\n")


def test_a_few_hundred_examples_meet_no_fault(operations, url):
    """The short form: every operation, valid and broken bodies, always the same ones."""
    seen = send_all(operations, url, SHORT_EXAMPLES, derandomize=True)
    assert seen.total() >= SHORT_EXAMPLES / 2


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_twenty_thousand_examples_meet_no_fault(operations, url):
    """The long form: other examples each time."""
    seen = send_all(operations, url, LONG_EXAMPLES, derandomize=False)
    assert seen.total() >= LONG_EXAMPLES
