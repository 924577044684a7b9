"""What all chunks of one answer share, and its usage."""

from collections.abc import Mapping

import attrs
from msgspec import UNSET, UnsetType

from homeport.domain.generation import Usage
from homeport.server.schemas import openai as schema
from homeport.server.schemas.terms import AnswerMark

Choices = list[schema.ChatChoice] | list[schema.ChatChunkChoice] | list[schema.TextChoice]


@attrs.frozen(kw_only=True)
class Envelope:
    """Wraps choices.

    Attributes:
        id: Of the answer.
        created: Unix time in seconds.
        model: The name as the client sent it.
        choices_per_prompt: Choices that share a prompt, neighbours by index.
        reports_usage: Whether a stream ends with a chunk of usage.
        whole_object: Name of the object of a whole answer.
        chunk_object: Name of the object of a chunk.
    """

    id: str
    created: int
    model: str
    choices_per_prompt: int
    reports_usage: bool
    whole_object: schema.ObjectName
    chunk_object: schema.ObjectName

    def chunk(self, choices: Choices) -> schema.Completion:
        """Wrap pieces; usage is null where a later chunk will bring it."""
        return self._wrap(self.chunk_object, choices, None if self.reports_usage else UNSET)

    def usage_chunk(self, usages: Mapping[int, Usage]) -> schema.Completion:
        """Wrap the usage of all choices."""
        return self._wrap(self.chunk_object, [], self._sum(usages))

    def restart(self, index: int) -> schema.Completion:
        """Say that what came of a choice so far is void."""
        mark = self.chunk([])
        mark.homeport = AnswerMark(restarted=True, index=index)
        return mark

    def whole(self, choices: Choices, usages: Mapping[int, Usage]) -> schema.Completion:
        """Wrap a whole answer."""
        return self._wrap(self.whole_object, choices, self._sum(usages))

    def _wrap(
        self, kind: schema.ObjectName, choices: Choices, usage: schema.Usage | UnsetType | None
    ) -> schema.Completion:
        return schema.Completion(
            id=self.id, object=kind, created=self.created, model=self.model, choices=choices, usage=usage
        )

    def _sum(self, usages: Mapping[int, Usage]) -> schema.Usage:
        """Count each prompt once and each choice in full."""
        prompts = [usage for index, usage in usages.items() if index % self.choices_per_prompt == 0]
        prompt_tokens = sum(usage.prompt_tokens for usage in prompts)
        completion_tokens = sum(usage.completion_tokens for usage in usages.values())
        return schema.Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            total_tokens=prompt_tokens + completion_tokens,
            prompt_tokens_details=schema.CachedTokens(sum(usage.cached_tokens for usage in prompts)),
            completion_tokens_details=schema.ReasoningTokens(
                sum(usage.thought_tokens for usage in usages.values())
            ),
        )
