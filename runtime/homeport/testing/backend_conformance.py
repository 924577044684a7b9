"""The contract of ``Backend``, as tests: inherit the class, say how to build your backend, run pytest.

Needs pytest and pytest-asyncio: ``pip install 'homeport[testing]'``.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, ClassVar
from uuid import uuid4

import attrs
import pytest
import pytest_asyncio

from homeport import (
    Backend,
    Capability,
    ChatPrompt,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    InvalidRequestError,
    Message,
    ModelInfo,
    ModelNotFoundError,
    PromptAccepted,
    Role,
    Sampling,
    TextDelta,
    TextPrompt,
    TokenPrompt,
    UnsupportedError,
)
from homeport.models.names import ModelName
from homeport.testing.leaks import nothing_left_behind
from homeport.testing.whole_answer import WholeAnswer

_CONCURRENT = 4
_ANSWER_TOKENS = 64
_BOUND_TOKENS = 2
_UNIT_LENGTH_TOLERANCE = 1e-4
_UNKNOWN_MODEL = "no-such-model-anywhere:latest"
_TEXTS = ("a text", "another, longer text", "a third")


class BackendConformance:
    """What every remote backend must do.

    Example:
        >>> from homeport.testing import EchoBackend
        >>> class TestEcho(BackendConformance):
        ...     text_model = "echo:latest"
        ...     embedding_model = "echo:latest"
        ...
        ...     def make_backend(self):
        ...         return EchoBackend()

    A backend that talks to a server may start one in an autouse fixture of the class and keep its address
    on ``self``.

    Attributes:
        text_model: Name, as ``models()`` lists it, of a model that answers equal requests equally when the
            temperature is 0.
        embedding_model: Name of a model that embeds; None where there is none.
        question: A prompt whose answer has at least four tokens.
        patience_seconds: How long one answer may take.
    """

    pytestmark = pytest.mark.asyncio

    text_model: ClassVar[str]
    embedding_model: ClassVar[str | None] = None
    question: ClassVar[str] = "Say these words again: one two three four five six seven"
    patience_seconds: ClassVar[float] = 60.0

    def make_backend(self) -> Backend:
        """Build a backend; called within a running event loop, closed by the kit."""
        raise NotImplementedError(f"{type(self).__name__} must define make_backend()")

    @pytest_asyncio.fixture
    async def backend(self) -> AsyncIterator[Backend]:
        """The backend under test."""
        backend = self.make_backend()
        yield backend
        await backend.aclose()

    def request(self, prompt: str | None = None, **sampling: Any) -> GenerationRequest:  # noqa: ANN401 - Sampling's fields
        """Ask the text model, greedily; each request has an id of its own."""
        chosen = {"temperature": 0.0, "seed": 0, "max_tokens": _ANSWER_TOKENS, **sampling}
        return GenerationRequest(
            id=uuid4().hex,
            model=self.text_model,
            prompt=TextPrompt(prompt or self.question),
            sampling=Sampling(**chosen),
        )

    async def answer(self, backend: Backend, request: GenerationRequest) -> WholeAnswer:
        """Read an answer to its end."""
        async with asyncio.timeout(self.patience_seconds), backend.generate(request) as events:
            return await WholeAnswer.read(events)

    async def test_models_are_listed_once_and_named_in_full(self, backend: Backend) -> None:
        """A name has its tag and nothing that can be left out, and no two differ only by case."""
        names = [model.name for model in await backend.models()]
        assert names, "models() must list at least one model"
        for name in names:
            whole = ModelName.parse(name).display
            assert name == whole, f"models() must list {whole!r}, not {name!r}"
        assert len({name.lower() for name in names}) == len(names), f"models() lists a name twice: {names}"

    async def test_models_tell_digest_backend_and_time(self, backend: Backend) -> None:
        """Clients compare digests and sort by time, so both have one form."""
        for model in await backend.models():
            assert isinstance(model, ModelInfo), f"models() must list ModelInfo, got {model!r}"
            assert re.fullmatch(r"[0-9a-f]{64}", model.digest), f"64 hexadecimal digits, got {model.digest!r}"
            assert model.backend, f"{model.name} must tell the name of its backend"
            assert model.modified_at.utcoffset() == timedelta(0), f"{model.name}: modified_at must be in UTC"

    async def test_models_stay_the_same(self, backend: Backend) -> None:
        """A digest changes with the weights only."""
        first, second = await backend.models(), await backend.models()
        assert {model.name: model.digest for model in first} == {model.name: model.digest for model in second}

    async def test_tested_models_are_listed_with_what_they_can_do(self, backend: Backend) -> None:
        """The gateway routes by what ``models()`` says."""
        listed = {model.name: model.capabilities for model in await backend.models()}
        assert Capability.COMPLETION in listed[self.text_model]
        if self.embedding_model is not None:
            assert Capability.EMBEDDING in listed[self.embedding_model]

    async def test_answer_is_text_between_one_beginning_and_one_end(self, backend: Backend) -> None:
        """``PromptAccepted`` comes first or not at all, ``Finished`` once and last, text between them."""
        answer = await self.answer(backend, self.request())
        for place, event in enumerate(answer.events):
            assert isinstance(event, GenerationEvent), f"event {place} is {event!r}"
            first_or_other = place == 0 or not isinstance(event, PromptAccepted)
            assert first_or_other, "PromptAccepted must be the first event"
        finished = [event for event in answer.events if isinstance(event, Finished)]
        assert len(finished) == 1, f"there must be one Finished, got {len(finished)}"
        assert answer.end is finished[0]
        assert answer.text, "the answer has no text"

    async def test_usage_adds_up(self, backend: Backend) -> None:
        """Counts are those of this answer: clients bill by them."""
        answer = await self.answer(backend, self.request())
        usage = answer.end.usage
        assert usage.prompt_tokens >= 1, "a prompt has tokens; estimate where the other side does not tell"
        assert 0 <= usage.cached_tokens <= usage.prompt_tokens
        assert 1 <= usage.completion_tokens <= _ANSWER_TOKENS, "max_tokens bounds what usage counts"
        assert usage.prompt_seconds >= 0
        assert usage.completion_seconds >= 0
        for event in answer.events:
            if isinstance(event, PromptAccepted):
                assert event.prompt_tokens == usage.prompt_tokens, "PromptAccepted and Usage disagree"

    async def test_max_tokens_bounds_the_answer(self, backend: Backend) -> None:
        """An answer that was cut is shorter, and says ``length``."""
        whole = await self.answer(backend, self.request())
        cut = await self.answer(backend, self.request(max_tokens=_BOUND_TOKENS))
        assert whole.end.usage.completion_tokens > _BOUND_TOKENS, "choose a question with a longer answer"
        assert cut.end.usage.completion_tokens <= _BOUND_TOKENS
        assert len(cut.text) < len(whole.text)
        assert cut.end.reason is FinishReason.LENGTH

    async def test_stop_text_ends_the_answer_and_is_left_out(self, backend: Backend) -> None:
        """The answer is what stands before the stop text, wherever tokens begin and end."""
        whole = (await self.answer(backend, self.request())).text
        middle = len(whole) // 2
        stop = whole[middle : middle + 3]
        stopped = await self.answer(backend, self.request(stop=("never said", stop)))
        assert stopped.text == whole[: whole.index(stop)]
        assert stopped.end.reason is FinishReason.STOP

    async def test_conversation_is_answered(self, backend: Backend) -> None:
        """A chat prompt with a system message and an earlier turn gets an answer."""
        messages = (
            Message(Role.SYSTEM, "Be brief."),
            Message(Role.USER, "Hello"),
            Message(Role.ASSISTANT, "Hello!"),
            Message(Role.USER, self.question),
        )
        answer = await self.answer(backend, attrs.evolve(self.request(), prompt=ChatPrompt(messages)))
        assert answer.end.reason in FinishReason
        assert answer.text, "the answer has no text"

    async def test_prompt_of_tokens_is_answered_or_refused_as_invalid(self, backend: Backend) -> None:
        """A backend that cannot take token ids says so with a typed error."""
        request = attrs.evolve(self.request(), prompt=TokenPrompt((1, 2, 3)))
        try:
            answer = await self.answer(backend, request)
        except InvalidRequestError:
            return
        assert answer.end.reason in FinishReason

    async def test_concurrent_answers_do_not_mix(self, backend: Backend) -> None:
        """Each of several answers at once is the one it would be alone."""
        prompts = [f"{self.question} {number}" for number in range(_CONCURRENT)]
        alone = [(await self.answer(backend, self.request(prompt))).text for prompt in prompts]
        async with asyncio.TaskGroup() as tasks:
            readers = [tasks.create_task(self._read_in_turns(backend, prompt)) for prompt in prompts]
        assert [reader.result() for reader in readers] == alone

    async def test_nothing_runs_on_after_a_stream_was_left(self, backend: Backend) -> None:
        """Leaving the context ends every task that worked for the answer."""
        await self.answer(backend, self.request())
        async with nothing_left_behind():
            await self._leave(backend)

    async def test_stream_that_was_left_is_over_and_the_next_one_whole(self, backend: Backend) -> None:
        """A stream tells nothing more once its context was left, and leaves no traces in the next."""
        whole = (await self.answer(backend, self.request())).text
        left = await self._leave(backend)
        async with asyncio.timeout(self.patience_seconds):
            late = await anext(left, None)
        assert late is None, f"{late!r} came after the stream had been left"
        assert (await self.answer(backend, self.request())).text == whole

    @pytest.mark.parametrize("error", [asyncio.CancelledError, KeyError])
    async def test_what_a_reader_raises_passes_through(
        self, backend: Backend, error: type[BaseException]
    ) -> None:
        """A context neither swallows nor wraps errors of the reader, a cancellation least of all."""
        with pytest.raises(error):
            await self._leave(backend, error())

    async def test_unknown_model_is_not_found(self, backend: Backend) -> None:
        """A model that is not listed is a typed error, on entry or with the first event."""
        with pytest.raises(ModelNotFoundError):
            await self.answer(backend, attrs.evolve(self.request(), model=_UNKNOWN_MODEL))
        with pytest.raises((ModelNotFoundError, UnsupportedError)):
            await backend.embed(_embedding(_UNKNOWN_MODEL))

    async def test_embeddings_are_unit_vectors_of_one_width(self, backend: Backend) -> None:
        """There is a vector for each input, in order: one alone is the same as one among others."""
        if self.embedding_model is None:
            pytest.skip("embedding_model is None")
        result = await backend.embed(_embedding(self.embedding_model))
        assert isinstance(result, EmbeddingResult)
        assert len(result.vectors) == len(_TEXTS), f"{len(_TEXTS)} inputs, {len(result.vectors)} vectors"
        assert len({len(vector) for vector in result.vectors}) == 1, "vectors differ in width"
        for vector in result.vectors:
            assert math.hypot(*vector) == pytest.approx(1, abs=_UNIT_LENGTH_TOLERANCE)
        assert result.prompt_tokens >= 1
        for text, vector in zip(_TEXTS, result.vectors, strict=True):
            alone = await backend.embed(_embedding(self.embedding_model, inputs=(text,)))
            assert alone.vectors[0] == pytest.approx(vector, abs=_UNIT_LENGTH_TOLERANCE)

    async def test_embeddings_can_be_shortened(self, backend: Backend) -> None:
        """``dimensions`` bounds the width."""
        if self.embedding_model is None:
            pytest.skip("embedding_model is None")
        result = await backend.embed(_embedding(self.embedding_model, dimensions=2))
        assert {len(vector) for vector in result.vectors} == {2}

    async def test_model_without_embeddings_says_so(self, backend: Backend) -> None:
        """Asking a chat model for vectors is a typed error."""
        listed = {model.name: model.capabilities for model in await backend.models()}
        if Capability.EMBEDDING in listed[self.text_model]:
            pytest.skip(f"{self.text_model} embeds")
        with pytest.raises(UnsupportedError):
            await backend.embed(_embedding(self.text_model))

    async def test_closed_backend_holds_nothing(self) -> None:
        """After ``aclose`` no task runs and no connection or file is open."""
        async with nothing_left_behind():
            await self._use_and_close()

    async def _use_and_close(self) -> None:
        backend = self.make_backend()
        await self.answer(backend, self.request())
        await backend.aclose()

    async def _read_in_turns(self, backend: Backend, prompt: str) -> str:
        """Read an answer, letting the others go on after each event."""
        events = []
        async with asyncio.timeout(self.patience_seconds), backend.generate(self.request(prompt)) as stream:
            async for event in stream:
                events.append(event)
                await asyncio.sleep(0)
        return WholeAnswer(tuple(events)).text

    async def _leave(
        self, backend: Backend, error: BaseException | None = None
    ) -> AsyncIterator[GenerationEvent]:
        """Leave a stream at its first text, by an error where one is given."""
        async with asyncio.timeout(self.patience_seconds), backend.generate(self.request()) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
            if error is not None:
                raise error
        return events


def _embedding(
    model: str, *, inputs: tuple[str, ...] = _TEXTS, dimensions: int | None = None
) -> EmbeddingRequest:
    return EmbeddingRequest(id=uuid4().hex, model=model, inputs=inputs, dimensions=dimensions)
