import asyncio

import pytest

from homeport import (
    BackendError,
    DeadlineError,
    EmbeddingResult,
    Finished,
    FinishReason,
    GenerationRequest,
    PluginError,
    RefusedError,
    TextDelta,
    TextPrompt,
    Usage,
    Verdict,
)
from homeport.gateway.attempts.breaker import counts
from homeport.gateway.deadline import Deadline
from homeport.gateway.validation import Validation
from homeport.testing.virtual_time import in_virtual_time

REQUEST = GenerationRequest(id="r", model="m", prompt=TextPrompt("hi"))
END = Finished(FinishReason.STOP, Usage())


class Saying:
    """A validator that does what a test says."""

    def __init__(self, outcome):
        self.outcome = outcome

    async def check(self, request, answer):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Stuck:
    async def check(self, request, answer):
        await asyncio.Event().wait()


async def backend(*events):
    for event in events:
        yield event


async def seen(validator, *events, seconds=600.0):
    checked = Validation([("tested", validator)]).check(REQUEST, backend(*events), Deadline.after(seconds))
    return [event async for event in checked]


async def test_accepted_answer_is_passed_on_whole():
    """Nothing is added to an answer, and nothing is lost."""
    events = [TextDelta("a"), TextDelta("b"), END]
    assert await seen(Saying(Verdict(accepted=True)), *events) == events


@pytest.mark.parametrize("outcome", [ZeroDivisionError("oh"), BackendError("elsewhere"), None, "fine"])
async def test_bug_of_a_validator_is_not_the_backends(outcome):
    """It is named, no answer passes unseen, and neither a breaker nor a fallback hears of it."""
    with pytest.raises(PluginError, match="'tested'") as caught:
        await seen(Saying(outcome), TextDelta("a"), END)
    assert not counts(caught.value)
    assert not caught.value.falls_back


async def test_validator_may_refuse_in_its_own_words():
    """What it raises to refuse reaches the client."""
    with pytest.raises(RefusedError, match="not so"):
        await seen(Saying(RefusedError("not so")), TextDelta("a"), END)


async def test_what_is_no_answer_is_a_fault_of_the_backend():
    """A backend that gives vectors instead of text does not get past a validator."""
    with pytest.raises(BackendError):
        await seen(Saying(Verdict(accepted=True)), EmbeddingResult((), 0))


@in_virtual_time
async def test_validator_that_never_ends_holds_no_request_beyond_its_time():
    """The deadline of a request bounds its checks too."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineError):
        await seen(Stuck(), TextDelta("a"), END, seconds=5.0)
    assert asyncio.get_running_loop().time() - began == pytest.approx(5)
