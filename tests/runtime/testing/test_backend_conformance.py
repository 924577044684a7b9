import asyncio
import contextlib
import itertools
import re
import socket
from contextlib import asynccontextmanager

import attrs
import pytest

from homeport import (
    Capability,
    ChatPrompt,
    EmbeddingResult,
    Finished,
    FinishReason,
    PromptAccepted,
    TextDelta,
    TokenPrompt,
    UnsupportedError,
    Usage,
)
from homeport.testing import EchoBackend

pytest_plugins = ["pytester"]

KIT = """
import pytest
from homeport.testing.backend_conformance import BackendConformance

class TestSubject(BackendConformance):
    text_model = "echo:latest"
    embedding_model = "echo:latest"

    @pytest.fixture(autouse=True)
    def _subject(self, make_subject):
        self.make_backend = make_subject
"""


class Described(EchoBackend):
    """Lists its model otherwise."""

    async def models(self):
        return [self.describe(model) for model in await super().models()]


class Untagged(Described):
    def describe(self, model):
        return attrs.evolve(model, name="echo")


class ShortDigest(Described):
    def describe(self, model):
        return attrs.evolve(model, digest="ec")


class Local(Described):
    """Tells its time without a zone."""

    def describe(self, model):
        return attrs.evolve(model, modified_at=model.modified_at.replace(tzinfo=None))


class Anonymous(Described):
    def describe(self, model):
        return attrs.evolve(model, backend="")


class Restless(Described):
    """Another digest each time."""

    def __init__(self):
        self._digests = (f"{number:064x}" for number in itertools.count())

    def describe(self, model):
        return attrs.evolve(model, digest=next(self._digests))


class Incapable(Described):
    def describe(self, model):
        return attrs.evolve(model, capabilities=frozenset())


class Twice(EchoBackend):
    async def models(self):
        return [*await super().models(), *await super().models()]


class Listless(EchoBackend):
    async def models(self):
        return []


class Retold(EchoBackend):
    """Tells its events otherwise."""

    async def _events(self, request):
        async for event in super()._events(request):
            for told in self.retell(event):
                yield told


class Endless(Retold):
    def retell(self, event):
        return () if isinstance(event, Finished) else (event,)


class EndsTwice(Retold):
    def retell(self, event):
        return (event, event) if isinstance(event, Finished) else (event,)


class LateAcceptance(Retold):
    def retell(self, event):
        return (event, PromptAccepted(14)) if isinstance(event, TextDelta) else (event,)


class Untyped(Retold):
    def retell(self, event):
        return (event.text,) if isinstance(event, TextDelta) else (event,)


class Silent(Retold):
    def retell(self, event):
        return () if isinstance(event, TextDelta) else (event,)


class Uncounted(Retold):
    def retell(self, event):
        return (Finished(event.reason, Usage()),) if isinstance(event, Finished) else (event,)


class Miscounted(Retold):
    def retell(self, event):
        return (PromptAccepted(1),) if isinstance(event, PromptAccepted) else (event,)


class Ignoring(EchoBackend):
    """Takes no notice of some of what it is asked."""

    @asynccontextmanager
    async def generate(self, request):
        sampling = self.ignore(request.sampling)
        async with super().generate(attrs.evolve(request, sampling=sampling)) as events:
            yield events


class Unbounded(Ignoring):
    def ignore(self, sampling):
        return attrs.evolve(sampling, max_tokens=None)


class Unstoppable(Ignoring):
    def ignore(self, sampling):
        return attrs.evolve(sampling, stop=())


class NotSayingLength(Retold):
    def retell(self, event):
        return (Finished(FinishReason.STOP, event.usage),) if isinstance(event, Finished) else (event,)


class Speechless(EchoBackend):
    """Cannot chat."""

    @asynccontextmanager
    async def generate(self, request):
        if isinstance(request.prompt, ChatPrompt):
            raise UnsupportedError("no conversation")
        async with super().generate(request) as events:
            yield events


class Crude(EchoBackend):
    """Raises what it likes."""

    @asynccontextmanager
    async def generate(self, request):
        if isinstance(request.prompt, TokenPrompt):
            raise TypeError("tokens?")
        async with super().generate(request) as events:
            yield events


class Sharing(EchoBackend):
    """Keeps the answer on the backend instead of in the generation."""

    async def _events(self, request):
        self._answer = [event async for event in super()._events(request)]
        place = 0
        while place < len(self._answer):
            yield self._answer[place]
            place += 1


class Detached(EchoBackend):
    """Works for the answer in a task that nobody ends."""

    def __init__(self):
        self._tasks = []

    @asynccontextmanager
    async def generate(self, request):
        async with super().generate(request) as events:
            self._tasks.append(asyncio.create_task(asyncio.Event().wait()))
            yield events

    async def aclose(self):
        for task in self._tasks:
            task.cancel()


class Unclosed(EchoBackend):
    """Leaves its generator to the garbage collector."""

    @asynccontextmanager
    async def generate(self, request):
        if not request.model.startswith("echo"):
            async with super().generate(request) as events:
                yield events
        yield self._events(request)


class Swallowing(EchoBackend):
    @asynccontextmanager
    async def generate(self, request):
        with contextlib.suppress(KeyError, asyncio.CancelledError):
            async with super().generate(request) as events:
                yield events


class Grouping(EchoBackend):
    """Lets a task group wrap what its reader raises."""

    @asynccontextmanager
    async def generate(self, request):
        async with asyncio.TaskGroup(), super().generate(request) as events:
            yield events


class Obliging(EchoBackend):
    """Answers for any model."""

    @asynccontextmanager
    async def generate(self, request):
        async with super().generate(attrs.evolve(request, model="echo:latest")) as events:
            yield events


class Embedding(EchoBackend):
    """Embeds otherwise."""

    async def embed(self, request):
        result = await super().embed(request)
        return EmbeddingResult(self.change(request, result.vectors), result.prompt_tokens)


class OneVector(Embedding):
    def change(self, request, vectors):
        return vectors[:1]


class Long(Embedding):
    def change(self, request, vectors):
        return tuple(tuple(2 * number for number in vector) for vector in vectors)


class Uneven(Embedding):
    def change(self, request, vectors):
        return (*vectors[:-1], (*vectors[-1], 0.0))


class Mixed(Embedding):
    def change(self, request, vectors):
        return vectors[::-1]


class Wide(EchoBackend):
    async def embed(self, request):
        return await super().embed(attrs.evolve(request, dimensions=None))


class Open(EchoBackend):
    """Never closes its connection."""

    def __init__(self):
        self._socket = socket.socket()


MODELS = "test_models_are_listed_once_and_named_in_full"
FACTS = "test_models_tell_digest_backend_and_time"
LISTED = "test_tested_models_are_listed_with_what_they_can_do"
EVENTS = "test_answer_is_text_between_one_beginning_and_one_end"
USAGE = "test_usage_adds_up"
VECTORS = "test_embeddings_are_unit_vectors_of_one_width"

BROKEN = {
    Untagged: MODELS,
    Twice: MODELS,
    Listless: MODELS,
    ShortDigest: FACTS,
    Local: FACTS,
    Anonymous: FACTS,
    Restless: "test_models_stay_the_same",
    Incapable: LISTED,
    Endless: EVENTS,
    EndsTwice: EVENTS,
    LateAcceptance: EVENTS,
    Untyped: EVENTS,
    Silent: EVENTS,
    Uncounted: USAGE,
    Miscounted: USAGE,
    Unbounded: "test_max_tokens_bounds_the_answer",
    NotSayingLength: "test_max_tokens_bounds_the_answer",
    Unstoppable: "test_stop_text_ends_the_answer_and_is_left_out",
    Speechless: "test_conversation_is_answered",
    Crude: "test_prompt_of_tokens_is_answered_or_refused_as_invalid",
    Sharing: "test_concurrent_answers_do_not_mix",
    Detached: "test_nothing_runs_on_after_a_stream_was_left",
    Unclosed: "test_stream_that_was_left_is_over_and_the_next_one_whole",
    Swallowing: "test_what_a_reader_raises_passes_through",
    Grouping: "test_what_a_reader_raises_passes_through",
    Obliging: "test_unknown_model_is_not_found",
    OneVector: VECTORS,
    Long: VECTORS,
    Uneven: VECTORS,
    Mixed: VECTORS,
    Wide: "test_embeddings_can_be_shortened",
    Open: "test_closed_backend_holds_nothing",
}


@pytest.mark.parametrize(("broken", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_backend_that_breaks_a_rule_fails_the_test_of_that_rule(failures, broken, test):
    """A test that cannot fail would be a defect of the kit."""
    assert failures(KIT, broken, only=test) == {test}


def test_chat_model_that_invents_vectors_is_found_out(failures):
    """What is not listed as embedding must not embed."""
    kit = re.sub(r"embedding_model = .*", "", KIT)

    class Inventing(Described):
        def describe(self, model):
            return attrs.evolve(model, capabilities=frozenset({Capability.COMPLETION}))

    test = "test_model_without_embeddings_says_so"
    assert failures(kit, Inventing, only=test) == {test}


def test_whole_backend_fails_nothing(failures):
    """What fails above fails for its own fault."""
    assert failures(KIT, EchoBackend) == set()
