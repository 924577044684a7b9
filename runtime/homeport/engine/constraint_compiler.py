"""From the form that an answer must have to what allows its tokens one by one.

The grammars are those of llguidance (https://github.com/guidance-ai/llguidance).
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping

import attrs
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark
from loguru import logger

from homeport.domain.constraint import Constraint, ConstraintKind
from homeport.domain.errors import InvalidRequestError, UnsupportedError
from homeport.domain.tools import ToolChoice, ToolOffer
from homeport.engine.json_schema import any_object, arguments_schema, enforceable_schema, parse_schema
from homeport.engine.matcher import Matcher
from homeport.engine.tokenizer import TextTokenizer
from homeport.engine.tool_formats import ToolFormat

MOST_SOURCE_BYTES = 262_144
"""Of a schema, expression or grammar."""
MOST_GRAMMARS = 64
"""Compiled grammars that are remembered, least recently used first out."""
_FIRST_FUEL = 150_000
"""Work on expressions before the first step, which also bounds how many there may be: 40 MB of them."""
_STEP_FUEL = 50_000
"""Work on expressions in one step, about 0.1 s of it at most."""
_MOST_STATES = 50_000
"""Of the automaton of one grammar, 1 to 2 kB each."""
_TRIED_TOKENS = 3
_SHOWN_CHARACTERS = 200
_FORMAT_FIELD = "format"
_TOOLS_FIELD = "tools"


@attrs.frozen(kw_only=True)
class Grammar:
    """A form, checked as far as that is quick.

    Attributes:
        text: In the library's own format.
        field: Of the request that asks for it, for errors.
    """

    text: str
    field: str


class ConstraintCompiler:
    """Compiles the forms of answers for one model; the vocabulary is read once, before the first.

    It may be used in several threads.

    Args:
        tokenizer: Of the model.
        vocabulary_size: Length of a row of logits.
    """

    def __init__(self, tokenizer: TextTokenizer, vocabulary_size: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._vocabulary: LLTokenizer | None = None
        self._fault = ""
        self._reading = threading.Lock()
        self._compiled: OrderedDict[Grammar, LLMatcher] = OrderedDict()
        self._remembering = threading.Lock()

    def grammar(
        self, constraint: Constraint | None, offer: ToolOffer | None, tool_format: ToolFormat | None
    ) -> Grammar | None:
        """Say what form an answer must have; None where it is free.

        Where tools may be called, an answer of a form may be a call as well.

        Raises:
            InvalidRequestError: The form is broken, or cannot be enforced.
        """
        calls = None
        if offer is not None and tool_format is not None:
            calls = _calls(offer, tool_format, is_free=constraint is None)
        if calls is None:
            return (
                None if constraint is None else Grammar(text=_joined(_part(constraint)), field=_FORMAT_FIELD)
            )
        if constraint is None or (offer is not None and must_call(offer)):
            return Grammar(text=_joined(calls), field=_TOOLS_FIELD)
        return Grammar(text=_joined(calls, _part(constraint)), field=_FORMAT_FIELD)

    def known(self, grammar: Grammar) -> Matcher | None:
        """Give a matcher for a grammar that was compiled before."""
        with self._remembering:
            compiled = self._compiled.get(grammar)
            if compiled is None or self._vocabulary is None:
                return None
            self._compiled.move_to_end(grammar)
        return self._matcher(compiled, self._vocabulary, grammar)

    def compile(self, grammar: Grammar) -> Matcher:
        """Compile a grammar, which takes from 0.3 ms to seconds.

        Raises:
            InvalidRequestError: It is broken, too large, or allows no answer.
            UnsupportedError: The model's tokenizer cannot be constrained.
        """
        vocabulary = self.read_vocabulary()
        started = time.perf_counter()
        compiled = LLMatcher(vocabulary, grammar.text, log_level=0, limits=_limits())
        if compiled.is_error():
            raise _broken(grammar, compiled.get_error())
        self._try(self._matcher(compiled, vocabulary, grammar))
        logger.debug(
            "compiled a grammar of {} bytes in {:.4f} s", len(grammar.text), time.perf_counter() - started
        )
        with self._remembering:
            self._compiled[grammar] = compiled
            while len(self._compiled) > MOST_GRAMMARS:
                self._compiled.popitem(last=False)
        return self._matcher(compiled, vocabulary, grammar)

    def _try(self, matcher: Matcher) -> None:
        """Begin an answer: what explodes does so within a few tokens."""
        for _ in range(_TRIED_TOKENS):
            allowed = [
                token for token in matcher.allowed().tolist() if token not in self._tokenizer.stop_tokens
            ]
            if not allowed:
                return
            matcher.take(allowed[-1])

    def _matcher(self, compiled: LLMatcher, vocabulary: LLTokenizer, grammar: Grammar) -> Matcher:
        # All answers share one automaton, which may have grown to its bound: then it is compiled anew.
        return Matcher(
            compiled.deep_copy(),
            vocabulary,
            vocabulary_size=self._vocabulary_size,
            field=grammar.field,
            give_up=lambda: self._compiled.pop(grammar, None),
        )

    def read_vocabulary(self) -> LLTokenizer:
        """Read the vocabulary once: 0.25 s for 49,152 tokens, with Python's lock held.

        Raises:
            UnsupportedError: The model's tokenizer cannot be constrained.
        """
        with self._reading:
            if self._vocabulary is None and not self._fault:
                self._try_to_read()
            if self._vocabulary is None:
                message = f"answers of this model cannot be given a form: {self._fault}"
                raise UnsupportedError(message, field=_FORMAT_FIELD)
            return self._vocabulary

    def _try_to_read(self) -> None:
        started = time.perf_counter()
        size = max(self._vocabulary_size, self._tokenizer.size)
        ends = sorted(token for token in self._tokenizer.stop_tokens if token < size)
        try:
            definition = self._tokenizer.definition()
            self._vocabulary = LLTokenizer(definition, n_vocab=size, eos_token=ends or None)
        except Exception as error:  # noqa: BLE001 - the library has no errors of its own
            self._fault = str(error) or type(error).__name__
        logger.debug("read a vocabulary for grammars in {:.3f} s", time.perf_counter() - started)


def must_call(offer: ToolOffer) -> bool:
    """Say whether an answer to an offer has to be a call."""
    return offer.choice is ToolChoice.REQUIRED or bool(offer.name)


def _part(constraint: Constraint) -> Mapping[str, object]:
    """Write what a constraint asks for as one grammar of the library."""
    source = constraint.source
    if len(source.encode(errors="replace")) > MOST_SOURCE_BYTES:
        message = f"invalid {_FORMAT_FIELD}: expected at most {MOST_SOURCE_BYTES} bytes"
        raise InvalidRequestError(message, field=_FORMAT_FIELD)
    match constraint.kind:
        case ConstraintKind.JSON_OBJECT:
            return {"json_schema": enforceable_schema(any_object(), _FORMAT_FIELD)}
        case ConstraintKind.JSON_SCHEMA:
            schema = parse_schema(source, _FORMAT_FIELD)
            return {"json_schema": enforceable_schema(schema, _FORMAT_FIELD)}
        case ConstraintKind.REGEX:
            return {"lark_grammar": f"start: /{_slashed(source)}/"}
        case ConstraintKind.GRAMMAR:
            return {"lark_grammar": source}


def _slashed(expression: str) -> str:
    """Write an expression between slashes, with Rust's own meaning of every class."""
    return regex_to_lark(expression, use_ascii="")


def _calls(offer: ToolOffer, tool_format: ToolFormat, *, is_free: bool) -> Mapping[str, object] | None:
    """Write the grammar of an answer that is calls; None where the model is free to call or not."""
    if offer.choice is ToolChoice.NONE or (is_free and not must_call(offer)):
        return None
    tools = tuple(
        attrs.evolve(tool, parameters=arguments_schema(tool.parameters, _TOOLS_FIELD))
        for tool in offer.tools
        if not offer.name or tool.name == offer.name
    )
    return {"lark_grammar": tool_format.grammar(attrs.evolve(offer, tools=tools))}


def _joined(*parts: Mapping[str, object]) -> str:
    """Write a grammar in the library's own format; an answer follows any one of several parts.

    Raises:
        InvalidRequestError: A number or a text has no place in JSON.
    """
    named = [{"name": f"part_{number}", **part} for number, part in enumerate(parts)]
    choice = " | ".join(f"@part_{number}" for number in range(len(parts)))
    try:
        return json.dumps({"grammars": [{"lark_grammar": f"start: {choice}"}, *named]}, allow_nan=False)
    except (ValueError, TypeError) as error:
        message = f"invalid {_FORMAT_FIELD}: the JSON Schema is no JSON: {error}"
        raise InvalidRequestError(message, field=_FORMAT_FIELD) from error


def _limits() -> LLParserLimits:
    return LLParserLimits(
        initial_lexer_fuel=_FIRST_FUEL,
        step_lexer_fuel=_STEP_FUEL,
        max_lexer_states=_MOST_STATES,
        verbose_errors=False,
    )


def _broken(grammar: Grammar, reason: str) -> InvalidRequestError:
    shown = " ".join(reason.split())[:_SHOWN_CHARACTERS]
    return InvalidRequestError(
        f"invalid {grammar.field}: it cannot be enforced: {shown}", field=grammar.field
    )
