"""Features of a text that make it hard, each from 0 to 1."""

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?")
_NUMERAL = re.compile(r"\d+(?:[.,]\d+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
_LIST_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*])\s", re.MULTILINE)
_CODE_SIGN = re.compile(r"```|[{};]|\w\(|==|->|=>|::|\b[a-z]+_[a-z]+\b|\b[a-z]+[A-Z]\w*\b")
_LONG_WORD_LETTERS = 9


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_NUMBER_WORDS = _words(
    "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand "
    "dozen pair once first second third"
)
_RELATION_WORDS = _words(
    "twice double triple half third quarter times each every per more less fewer than rest remaining left "
    "total altogether combined difference between average ratio equal equally share split older "
    "younger"
)
_PROPORTION_WORDS = _words("percent percentage fraction fifth sixth tenth rate interest discount ratio")
_CONDITION_WORDS = _words(
    "if unless otherwise provided assuming suppose except only least most must cannot whether either until "
    "while instead without within"
)
_NEGATION_WORDS = _words("not no never none nobody nothing neither nor without don't doesn't isn't can't")
_STEP_WORDS = _words("then after before first next finally later afterwards step steps again followed")
_REASONING_WORDS = _words(
    "why prove proof derive deduce infer justify argue argument analyse analyze analysis compare contrast "
    "evaluate assess explain reason reasoning consequence consequences assumption assumptions implication "
    "implications tradeoff tradeoffs design architecture optimise optimize optimal plan strategy "
    "estimate consider constraint constraints hypothesis paradox equilibrium induction contradiction"
)
_TIME_WORDS = _words(
    "second seconds minute minutes hour hours day days week weeks month months year years daily weekly "
    "monthly"
)
_PLAIN_WORDS = _words(
    "hi hello hey thanks thank please name define list translate spell what's when where who capital "
    "meaning tell show"
)

NAMES = (
    "words", "sentences", "long-words", "numbers", "relations", "proportions", "times", "conditions",
    "negations", "questions", "steps", "code", "reasoning", "plain",
)  # fmt: skip
"""In the order in which :func:`features` gives them."""

_HALVES = (60.0, 4.0, 8.0, 4.0, 3.0, 1.5, 2.0, 2.0, 2.0, 2.0, 3.0, 8.0, 2.0, 1.5)
"""Counts at which a feature is one half: a count n becomes n / (n + half)."""


def features(text: str) -> tuple[float, ...]:
    """Measure a text, as ``NAMES`` lists."""
    words = [word.replace("\u2019", "'") for word in _WORD.findall(text.casefold())]
    counts = (
        len(words),
        len(_SENTENCE_END.findall(text)),
        sum(len(word) >= _LONG_WORD_LETTERS for word in words),
        len(_NUMERAL.findall(text)) + _among(words, _NUMBER_WORDS),
        _among(words, _RELATION_WORDS),
        text.count("%") + text.count("/") + _among(words, _PROPORTION_WORDS),
        _among(words, _TIME_WORDS),
        _among(words, _CONDITION_WORDS),
        _among(words, _NEGATION_WORDS),
        text.count("?"),
        len(_LIST_ITEM.findall(text)) + _among(words, _STEP_WORDS),
        len(_CODE_SIGN.findall(text)),
        _among(words, _REASONING_WORDS),
        _among(words, _PLAIN_WORDS),
    )
    return tuple(count / (count + half) for count, half in zip(counts, _HALVES, strict=True))


def _among(words: Iterable[str], wanted: frozenset[str]) -> int:
    return sum(word in wanted for word in words)
