"""Checking whole answers before a client sees them."""

from collections.abc import AsyncGenerator, Sequence

from homeport.domain.errors import BackendError, PluginError, RefusedError
from homeport.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    TextDelta,
    ToolCallDelta,
)
from homeport.gateway.deadline import Deadline
from homeport.gateway.gathered_calls import GatheredCalls
from homeport.plugin.protocols import Answer, Validator, Verdict

_STAGE = "validation"


class Validation:
    """Holds answers back until every configured validator accepted them; without any, lets them stream.

    Args:
        validators: Name and object of each, in order.
    """

    def __init__(self, validators: Sequence[tuple[str, Validator]]) -> None:
        self._validators = tuple(validators)

    async def check(
        self,
        request: GenerationRequest,
        events: AsyncGenerator[GenerationEvent],
        deadline: Deadline,
    ) -> AsyncGenerator[GenerationEvent]:
        """Pass events on, once the answer they make up is accepted.

        Args:
            request: What was asked.
            events: Of the answer.
            deadline: When the checks must be over.

        Raises:
            RefusedError: A validator rejected it; says which one and why.
            PluginError: A validator failed.
            DeadlineError: The time of the request is over.
        """
        if not self._validators:
            async for event in events:
                yield event
            return
        held = [event async for event in events]
        async with deadline.stage(_STAGE, None):
            await self._accept(request, held)
        for event in held:
            yield event

    async def _accept(self, request: GenerationRequest, events: Sequence[GenerationEvent]) -> None:
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        end = next((event for event in events if isinstance(event, Finished)), None)
        if end is None:
            raise BackendError("the backend gave something else than an answer")
        calls = GatheredCalls()
        for event in events:
            if isinstance(event, ToolCallDelta):
                calls.add(event)
        answer = Answer(text, end.reason, calls.whole())
        for name, validator in self._validators:
            verdict = await _verdict(name, validator, request, answer)
            if not verdict.accepted:
                message = f"validator {name!r} rejected the answer: {verdict.reason}"
                raise RefusedError(message)


async def _verdict(name: str, validator: Validator, request: GenerationRequest, answer: Answer) -> Verdict:
    """Ask one validator; its bug says nothing about the backend, and no answer passes unseen.

    Raises:
        PluginError: It failed; names it.
    """
    try:
        verdict = await validator.check(request, answer)
    except RefusedError:
        raise
    except Exception as error:
        raise PluginError(f"validator {name!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(verdict, Verdict):
        raise PluginError(f"validator {name!r} gave {type(verdict).__name__}, which is no Verdict")
    return verdict
