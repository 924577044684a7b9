import asyncio
from contextlib import asynccontextmanager

import attrs
import pytest

from homeport import (
    BackendError,
    BackendKind,
    BackendSpec,
    DeadlineError,
    Finished,
    GenerationRequest,
    InvalidRequestError,
    OverloadedError,
    Restarted,
    Resumed,
    Sampling,
    Settings,
    StreamFailure,
    Terms,
    TextDelta,
    TextPrompt,
    hookimpl,
)
from homeport.config.gateway_settings import GatewaySettings, RetrySettings, TimeoutSettings
from homeport.runtime import Runtime
from homeport.testing.script import Fault, Script
from homeport.testing.scripted import ScriptedBackend
from homeport.testing.virtual_time import in_virtual_time

HERE = __name__
MODEL = "m:latest"
WORDS = "one two three four five six"
BACKENDS = {}


def first():
    return BACKENDS["first"]


def second():
    return BACKENDS["second"]


class TwoBackends:
    """Registers the scripted backends of a test."""

    @hookimpl
    def homeport_backends(self):
        for name in BACKENDS:
            yield BackendSpec(name=name, kind=BackendKind.REMOTE, factory=f"{HERE}:{name}")


def scripted(name, *scripts, model=MODEL, **options):
    backend = ScriptedBackend(name, {model: scripts}, slots=8, **options)
    BACKENDS[name] = backend
    return backend


@pytest.fixture(autouse=True)
def _no_backends():
    BACKENDS.clear()


@asynccontextmanager
async def gateway(tmp_path, **settings):
    settings.setdefault("retry", RetrySettings(least_per_minute=100))
    chosen = Settings(home=tmp_path, gateway=GatewaySettings(**settings))
    async with Runtime.open(chosen, plugins={"two": TwoBackends()}) as runtime:
        yield runtime.gateway


def ask(*, temperature=0.0, model="m", seed=None, **terms):
    return GenerationRequest(
        id="r1",
        model=model,
        prompt=TextPrompt(WORDS),
        sampling=Sampling(temperature=temperature, seed=seed),
        terms=Terms(**terms),
    )


async def answer(door, request):
    async with door.generate(request) as reply:
        events = [event async for event in reply]
    return reply.route, events


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


GOOD = Script()
PASSING = [Fault.CONNECT, Fault.SERVER_ERROR, Fault.OVERLOADED, Fault.STALL, Fault.CUT, Fault.BREAK]


@pytest.mark.parametrize("fault", [*PASSING, Fault.GARBAGE, Fault.BUG], ids=str)
def test_fault_before_the_first_token_is_mended_by_the_other_backend(tmp_path, fault):
    """The client sees one whole answer and nothing of the fault."""

    @in_virtual_time
    async def run():
        scripted("first", Script(fault=fault))
        scripted("second", GOOD)
        async with gateway(tmp_path) as door:
            return await answer(door, ask())

    route, events = run()
    assert text_of(events) == WORDS
    assert isinstance(events[-1], Finished)
    assert (route.backend, route.attempts) == ("second", 2)


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_backend_without_an_equal_is_asked_again(tmp_path, fault):
    """A fault that passes costs a retry, and a second one costs another."""

    @in_virtual_time
    async def run():
        backend = scripted("first", Script(fault=fault), Script(fault=fault), GOOD)
        async with gateway(tmp_path) as door:
            _, events = await answer(door, ask())
        return backend, events

    backend, events = run()
    assert text_of(events) == WORDS
    assert len(backend.calls) == 3


@in_virtual_time
async def test_request_that_is_wrong_is_wrong_everywhere(tmp_path):
    """No second backend is bothered with it."""
    scripted("first", Script(fault=Fault.REFUSED))
    other = scripted("second", GOOD)
    async with gateway(tmp_path) as door:
        with pytest.raises(InvalidRequestError):
            await answer(door, ask())
    assert not other.calls


@in_virtual_time
async def test_attempts_end_with_the_settings(tmp_path):
    """A backend that always fails is asked as often as the settings say, and its error told."""
    backend = scripted("first", Script(fault=Fault.SERVER_ERROR))
    async with gateway(tmp_path, retry=RetrySettings(extra_attempts=1, least_per_minute=100)) as door:
        with pytest.raises(BackendError) as caught:
            await answer(door, ask())
    assert len(backend.calls) == 2
    assert caught.value.partial is None


@in_virtual_time
async def test_retries_stay_within_their_share_of_the_traffic(tmp_path):
    """A backend that is down gets little more than what was asked for."""
    backend = scripted("first", Script(fault=Fault.CONNECT, first_token_seconds=0.001))
    async with gateway(tmp_path, retry=RetrySettings(traffic_share=0.1, least_per_minute=3)) as door:
        for _ in range(100):
            with pytest.raises(BackendError):
                await answer(door, ask())
    assert len(backend.calls) <= 110


@in_virtual_time
async def test_overloaded_backend_is_left_alone_for_as_long_as_it_asks(tmp_path):
    """Its Retry-After is waited for; one beyond the bound is an error at once."""
    backend = scripted("first", Script(fault=Fault.OVERLOADED, retry_after_seconds=20), GOOD)
    async with gateway(tmp_path) as door:
        await answer(door, ask())
        first_call, second_call = backend.calls
        assert 20 <= second_call.began_at - first_call.ended_at < 21
        scripted_late = Script(fault=Fault.OVERLOADED, retry_after_seconds=31)
        backend._scripts[MODEL] = iter([scripted_late])
        with pytest.raises(OverloadedError):
            await answer(door, ask())


@in_virtual_time
async def test_greedy_answer_that_breaks_off_is_continued(tmp_path):
    """Another backend with the same weights goes on behind the last token, and the stream says so once."""
    scripted("first", Script(fault=Fault.BREAK, at_token=3), continues=True)
    scripted("second", GOOD, continues=True)
    async with gateway(tmp_path) as door:
        route, events = await answer(door, ask())
    assert text_of(events) == WORDS
    assert sum(isinstance(event, Resumed) for event in events) == 1
    assert not any(isinstance(event, Restarted) for event in events)
    assert events[-1].usage.completion_tokens == len(WORDS.split())
    assert events[-1].usage.prompt_tokens == len(WORDS.split())
    assert route.attempts == 2


@pytest.mark.parametrize("fault", [Fault.BREAK, Fault.CUT, Fault.STALL], ids=str)
def test_answer_left_to_chance_breaks_off_honestly(tmp_path, fault):
    """Without a seed the rest would be of another answer: the error says what was used."""

    @in_virtual_time
    async def run():
        scripted("first", Script(fault=fault, at_token=3), continues=True)
        other = scripted("second", GOOD, continues=True)
        seen = []
        async with gateway(tmp_path) as door:
            with pytest.raises((BackendError, DeadlineError)) as caught:
                async with door.generate(ask(temperature=1.0)) as reply:
                    async for event in reply:
                        seen.append(event)  # noqa: PERF401 - what came before the error counts
        return seen, caught.value, other

    seen, error, other = run()
    assert text_of(seen) == "one two three"
    assert error.partial.completion_tokens == 3
    assert not other.calls


@in_virtual_time
async def test_answer_starts_again_only_for_those_who_asked_for_it(tmp_path):
    """What came before is declared void by a mark."""
    scripted("first", Script(fault=Fault.BREAK, at_token=3))
    scripted("second", GOOD)
    async with gateway(tmp_path) as door:
        request = ask(temperature=1.0, on_stream_failure=StreamFailure.RESTART)
        _, events = await answer(door, request)
    mark = next(place for place, event in enumerate(events) if isinstance(event, Restarted))
    assert text_of(events[:mark]) == "one two three"
    assert text_of(events[mark:]) == WORDS
    assert events[-1].usage.completion_tokens == len(WORDS.split())


@in_virtual_time
async def test_deadline_of_a_request_holds_over_all_attempts(tmp_path):
    """It ends with an error that names the stage, soon after its time."""
    scripted("first", Script(first_token_seconds=50.0))
    scripted("second", Script(first_token_seconds=50.0))
    async with gateway(tmp_path) as door:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineError) as caught:
            await answer(door, ask(deadline_seconds=7.0))
        assert asyncio.get_running_loop().time() - began == pytest.approx(7.0, abs=0.01)
    assert caught.value.stage == "total"


@in_virtual_time
async def test_silent_backend_is_given_up_after_the_stall_time(tmp_path):
    """The next one takes over long before the whole time is up."""
    scripted("first", Script(fault=Fault.STALL, at_token=2), continues=True)
    second_one = scripted("second", GOOD, continues=True)
    times = TimeoutSettings(stall_seconds=5.0)
    async with gateway(tmp_path, timeouts=times) as door:
        _, events = await answer(door, ask())
    assert text_of(events) == WORDS
    assert second_one.calls[0].began_at < 10


@in_virtual_time
async def test_fallback_model_answers_for_the_one_that_was_asked(tmp_path):
    """When the model fails, the configured other one serves, and the trace says so."""
    scripted("first", Script(fault=Fault.SERVER_ERROR))
    scripted("second", GOOD, model="other:latest")
    async with gateway(tmp_path, fallbacks=("other",)) as door:
        route, events = await answer(door, ask())
    assert text_of(events) == WORDS
    assert (route.backend, route.model, route.reason) == ("second", "other:latest", "fallback")


@in_virtual_time
async def test_client_that_leaves_frees_the_backend(tmp_path):
    """Closing the answer ends the call, and that is no failure of the backend."""
    backend = scripted("first", GOOD)
    async with gateway(tmp_path) as door:
        async with door.generate(ask()) as reply:
            async for event in reply:
                if isinstance(event, TextDelta):
                    break
        assert backend.running[MODEL] == 0
        assert door.admission.stats().active == 0
        assert all(stats.failed_requests == 0 for stats in door.breakers.stats())


@in_virtual_time
async def test_policy_of_running_requests_stays(tmp_path):
    """A change of the settings is for those that come later."""
    backend = scripted("first", Script(tokens_per_second=1.0))
    async with gateway(tmp_path) as door:
        async with door.generate(ask()) as reply:
            events = aiter(reply)
            await anext(events)
            settings = attrs.evolve(door._policy.settings, timeouts=TimeoutSettings(stall_seconds=0.1))
            door.adopt(attrs.evolve(door._policy, settings=settings))
            rest = [event async for event in events]
        assert isinstance(rest[-1], Finished)
        with pytest.raises(DeadlineError):
            await answer(door, ask(temperature=1.0))
    assert len(backend.calls) == 2


@in_virtual_time
async def test_answer_is_continued_by_whoever_can(tmp_path):
    """An equal that cannot go on behind the text is passed over, and so is a fallback of other weights."""
    first_one = scripted("first", Script(fault=Fault.BREAK, at_token=3), GOOD, continues=True)
    second_one = scripted("second", GOOD, continues=False)
    async with gateway(tmp_path, fallbacks=("other",)) as door:
        route, events = await answer(door, ask())
    assert text_of(events) == WORDS
    assert (route.backend, len(first_one.calls), len(second_one.calls)) == ("first", 2, 0)


@in_virtual_time
async def test_answer_that_lacks_only_its_end_is_whole(tmp_path):
    """A break behind the last token that was wanted costs no further attempt, and counts as an answer."""
    backend = scripted("first", Script(fault=Fault.BREAK, at_token=2), continues=True)
    request = ask()
    request = attrs.evolve(request, sampling=attrs.evolve(request.sampling, max_tokens=2))
    async with gateway(tmp_path) as door:
        _, events = await answer(door, request)
    assert text_of(events) == "one two"
    assert events[-1].usage.completion_tokens == 2
    assert len(backend.calls) == 1
