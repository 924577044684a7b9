"""What the classifier sees of a text: hashes of words, pairs, beginnings and endings, and of its shape."""

import re
import zlib
from itertools import pairwise

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_MOST_TOKENS = 500
"""Bounds the time: 2,000 characters of prose are about 400 tokens, of punctuation alone 2,000."""
_OPENING_TOKENS = 3
"""So many first words count once more: most requests begin with what is to be done."""
_START_LETTERS = 4
_END_LETTERS = 3
_NUMBER = "<number>"
_LENGTHS = (4, 8, 16, 32, 64, 128, 256)
"""Token counts at which a text is called longer."""
_CODE_MARKS = ("```", "{", "}", ";", "()", "==", "->", "=>", "</", "::", "+=", "    ")


def marks_of(text: str) -> set[int]:
    """Give the hashes of all marks of a text, 32 bits each (CRC-32); how often one occurs does not count."""
    tokens = [_shape(token) for token in _TOKEN.findall(text.casefold())[:_MOST_TOKENS]]
    marks = {f"w {token}" for token in tokens}
    marks.update(f"p {left} {right}" for left, right in pairwise(tokens))
    marks.update(f"s {token[:_START_LETTERS]}" for token in tokens if len(token) > _START_LETTERS)
    marks.update(f"e {token[-_END_LETTERS:]}" for token in tokens if len(token) > _START_LETTERS)
    marks.update(f"o {token}" for token in tokens[:_OPENING_TOKENS])
    marks.update(_outline(text, len(tokens)))
    crc = zlib.crc32
    return {crc(mark.encode("utf-8", "surrogatepass")) for mark in marks}


def _shape(token: str) -> str:
    return _NUMBER if token.isdigit() else token


def _outline(text: str, tokens: int) -> set[str]:
    """Describe length, layout and signs of code."""
    marks = {f"l {length}" for length in _LENGTHS if tokens >= length}
    marks.update(f"c {mark}" for mark in _CODE_MARKS if mark in text)
    if "\n" in text:
        marks.add("n line")
    if "?" in text:
        marks.add("n question")
    return marks
