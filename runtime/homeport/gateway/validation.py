"""Checking whole answers before a client sees them."""

from collections.abc import AsyncGenerator, Sequence

from homeport.domain.errors import RefusedError
from homeport.domain.generation import Finished, GenerationEvent, GenerationRequest, TextDelta
from homeport.plugin.protocols import Answer, Validator


class Validation:
    """Holds answers back until every configured validator accepted them; without any, lets them stream.

    Args:
        validators: Name and object of each, in order.
    """

    def __init__(self, validators: Sequence[tuple[str, Validator]]) -> None:
        self._validators = tuple(validators)

    async def check(
        self, request: GenerationRequest, events: AsyncGenerator[GenerationEvent]
    ) -> AsyncGenerator[GenerationEvent]:
        """Pass events on, once the answer they make up is accepted.

        Raises:
            RefusedError: A validator rejected it; says which one and why.
        """
        if not self._validators:
            async for event in events:
                yield event
            return
        held = [event async for event in events]
        await self._accept(request, held)
        for event in held:
            yield event

    async def _accept(self, request: GenerationRequest, events: Sequence[GenerationEvent]) -> None:
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        end = next(event for event in events if isinstance(event, Finished))
        answer = Answer(text, end.reason)
        for name, validator in self._validators:
            verdict = await validator.check(request, answer)
            if not verdict.accepted:
                message = f"validator {name!r} rejected the answer: {verdict.reason}"
                raise RefusedError(message)
