"""A request for text and the events that answer it."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum

import attrs

from homeport.domain.constraint import Constraint
from homeport.domain.messages import Message
from homeport.domain.terms import Terms
from homeport.domain.tools import ToolOffer


@attrs.frozen(kw_only=True)
class Sampling:
    """How the next token is chosen; the defaults are Ollama's.

    Attributes:
        temperature: 0 is greedy; otherwise logits are divided by it, > 0.
        top_k: Keep the k likeliest tokens; 0 keeps all.
        top_p: Keep the smallest set of tokens whose probability reaches p, in (0, 1].
        min_p: Drop tokens below p times the likeliest one, in [0, 1].
        typical_p: Keep the tokens whose surprise is closest to the one expected, until their probability
            reaches p, in [0, 1]; 1 is off.
        repeat_penalty: Divides positive and multiplies negative logits of tokens seen in the last
            ``repeat_last_n`` ones; 1 is off (Keskar et al. 2019, CTRL).
        repeat_last_n: Window of the three penalties in tokens; 0 is off, -1 the whole sequence.
        presence_penalty: Subtracted once from the logit of each token seen.
        frequency_penalty: Subtracted once per occurrence.
        seed: Equal seeds give equal tokens; None draws one.
        stop: Texts that end the generation; they are not part of the answer.
        max_tokens: Bound of generated tokens; None runs until a stop or the end of the window.
        top_logprobs: None reports no log-probabilities, otherwise how many alternatives, 0 to 20.
        prompt_logprobs: Whether those of the prompt's tokens are reported too, by ``PromptScored``.
        logit_bias: Pairs of a token id and what is added to its logit before anything else.
        labels: Where given, one of these texts is the answer: each is one token of its own, the likeliest is
            chosen, and the log-probabilities of all, normalised among themselves, are reported as its
            alternatives, in this order. Nothing else of the sampling counts.
        ignores_end: Whether the model's own end of an answer does not end it.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    top_logprobs: int | None = None
    prompt_logprobs: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    labels: tuple[str, ...] = ()
    ignores_end: bool = False


@attrs.frozen
class ChatPrompt:
    """Messages for the model's own chat template.

    Attributes:
        messages: The conversation, oldest first.
        context: Token ids of an earlier exchange, put before the rendered messages.
        tools: What the model may call; None is nothing.
        thinks: Whether it thinks before it answers; None leaves that to the model. One that cannot think
            ignores it.
        effort: How much it thinks, for templates that know ``reasoning_effort``; empty leaves it to them.
        template: A template in Jinja that takes the place of the model's own; empty keeps that one.
        template_values: Further values for the template, by name.
        is_plain: Whether what the messages say is text even where it spells a special token.
    """

    messages: tuple[Message, ...]
    context: tuple[int, ...] = ()
    tools: ToolOffer | None = attrs.field(default=None, kw_only=True)
    thinks: bool | None = attrs.field(default=None, kw_only=True)
    effort: str = attrs.field(default="", kw_only=True)
    template: str = attrs.field(default="", kw_only=True)
    template_values: Mapping[str, object] = attrs.field(factory=dict, kw_only=True)
    is_plain: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen
class TextPrompt:
    """Text that reaches the model as it is, without a template."""

    text: str


@attrs.frozen
class TokenPrompt:
    """Ids of the model's own vocabulary."""

    tokens: tuple[int, ...]


@attrs.frozen
class FillPrompt:
    """Text with a gap for the model to fill, by the tokens its vocabulary has for that."""

    prefix: str
    suffix: str


Prompt = ChatPrompt | TextPrompt | TokenPrompt | FillPrompt


class Priority(IntEnum):
    """How urgent a request is; one that waits becomes more urgent with time."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3
    BACKGROUND = 4


@attrs.frozen(kw_only=True)
class GenerationRequest:
    """One sequence to generate.

    Attributes:
        id: Names the request in logs and cancels it.
        model: The name as the client sent it.
        prompt: What to continue.
        sampling: How to choose tokens.
        context_length: Window wanted in tokens; None takes the configured one.
        truncate: Cut a prompt that exceeds the window (True) or refuse it (False).
        keep_alive_seconds: How long the model stays after its last request; None takes the configured
            time, infinity is for ever.
        priority: How urgent it is.
        owner: Who asks: owners share a model fairly, and one never sees from the time an answer takes what
            another asked. Empty where clients are not told apart.
        begun: Text that the answer has already; the model goes on behind it and does not repeat it.
        terms: Conditions that the gateway sees to; backends need not look at them.
        constraint: Form that the answer must have; None leaves it free. Thoughts before it are free.
    """

    id: str
    model: str
    prompt: Prompt
    sampling: Sampling = Sampling()
    context_length: int | None = None
    truncate: bool = True
    keep_alive_seconds: float | None = None
    priority: Priority = Priority.NORMAL
    owner: str = ""
    begun: str = ""
    terms: Terms = Terms()
    constraint: Constraint | None = None


class FinishReason(StrEnum):
    """Why a generation ended: a stop token or text, or a bound of length."""

    STOP = "stop"
    LENGTH = "length"


@attrs.frozen
class TokenLogprob:
    """A generated token and its natural log-probability before sampling filters.

    Attributes:
        token: Text of the token alone; may hold U+FFFD where it is part of a character.
        logprob: At most 0.
        alternatives: The likeliest tokens at this place with theirs, best first.
    """

    token: str
    logprob: float
    alternatives: tuple[tuple[str, float], ...] = ()


@attrs.frozen(kw_only=True)
class Usage:
    """What a generation used; seconds are measured by the engine.

    Attributes:
        prompt_tokens: All tokens of the prompt, cached ones too.
        cached_tokens: Those of them that needed no computation.
        prompt_seconds: Time spent on the uncached ones.
        completion_tokens: Tokens generated.
        completion_seconds: From the first generated token to the last.
        thought_tokens: Those of the generated ones that were thoughts.
        drafted_tokens: Guessed ahead and checked.
        accepted_tokens: Those of them that were right.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompt_seconds: float = 0.0
    completion_tokens: int = 0
    completion_seconds: float = 0.0
    thought_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@attrs.frozen
class PromptAccepted:
    """First event: the model is in memory and knows the prompt.

    Attributes:
        prompt_tokens: Length of the prompt in tokens.
        truncated: True when the prompt was cut to fit the window.
    """

    prompt_tokens: int
    truncated: bool = False


@attrs.frozen
class PromptScored:
    """How likely the prompt was, where that was asked for; comes before the answer.

    Attributes:
        logprobs: One entry per token of the prompt; the first one's is 0, for nothing stands before it.
    """

    logprobs: tuple[TokenLogprob, ...]


@attrs.frozen
class ThoughtDelta:
    """A further piece of what the model thinks before it answers.

    Attributes:
        text: Whole characters.
        logprobs: One entry per token when they were asked for.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@attrs.frozen(kw_only=True)
class ToolCallDelta:
    """A piece of a call: the first one of each names the tool, the arguments of all add up.

    Attributes:
        index: Which call of the answer, from 0.
        id: Of the call; only on its first piece.
        name: Of the tool; only on its first piece.
        arguments: A further piece of the JSON text of its arguments.
        logprobs: One entry per token when they were asked for.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()


@attrs.frozen
class TextDelta:
    """A further piece of the answer.

    Attributes:
        text: Whole characters; may be empty where only log-probabilities are reported.
        logprobs: One entry per token when they were asked for.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@attrs.frozen
class Finished:
    """Last event of a generation that ended well.

    Attributes:
        reason: Why it ended.
        usage: What it used.
        context: Token ids of prompt and answer, for a client that wants to continue them.
        stopped_by: The stop text that was reached; empty where none was.
    """

    reason: FinishReason
    usage: Usage
    context: tuple[int, ...] = ()
    stopped_by: str = ""


AnswerDelta = TextDelta | ThoughtDelta | ToolCallDelta
"""A piece of an answer."""

GenerationEvent = PromptAccepted | PromptScored | AnswerDelta | Finished
"""What a backend gives."""


@attrs.frozen
class Restarted:
    """What came of the answer so far is void: it begins again. Only for requests that asked for it."""


@attrs.frozen
class Resumed:
    """Another backend goes on with the answer where the one before it broke off."""


ReplyEvent = GenerationEvent | Restarted | Resumed
"""What the gateway hands on: what backends give, and marks where one took over from another."""
