"""A Go template cut into text and actions, with its trim marks applied.

Source: https://pkg.go.dev/text/template
"""

import re
from collections.abc import Sequence

import attrs

from homeport.domain.errors import InvalidRequestError

_OPEN = "{{"
_BLANKS = " \t\r\n"
_COMMENT = re.compile(r"\{\{(?P<left>-[ \t\r\n]+)?/\*.*?\*/(?P<right>[ \t\r\n]+-)?\}\}", re.DOTALL)
_ACTION = re.compile(
    r"""\{\{(?P<left>-(?=[ \t\r\n]))?
    (?P<source>(?:"(?:[^"\\\n]|\\.)*+"|`[^`]*+`|'(?:[^'\\\n]|\\.)++'|[^"`'}]|\}(?!\}))*+)
    \}\}""",
    re.VERBOSE,
)
_RIGHT_MARK = re.compile(r"(?:(?<=[ \t\r\n])|^)-\Z")


@attrs.frozen
class Part:
    """A piece of a template: text as it is, or the inside of an action.

    Attributes:
        source: The text, or what stands between the braces.
        line: Where it begins, from 1.
        is_action: Whether it is an action.
    """

    source: str
    line: int
    is_action: bool


def template_error(line: int, problem: str) -> InvalidRequestError:
    """Say what is wrong with a template, and where."""
    return InvalidRequestError(f"template error: line {line}: {problem}", field="template")


def split_template(text: str) -> Sequence[Part]:
    """Cut a template into its parts; comments and empty texts are left out.

    Raises:
        InvalidRequestError: An action does not end.
    """
    parts: list[Part] = []
    place, line, trims = 0, 1, False
    while place < len(text):
        start = text.find(_OPEN, place)
        literal = text[place:] if start < 0 else text[place:start]
        found = None if start < 0 else _COMMENT.match(text, start) or _ACTION.match(text, start)
        if start >= 0 and found is None:
            line += literal.count("\n")
            raise template_error(line, f"the action {text[start : start + 20]!r} does not end")
        shown = literal.lstrip(_BLANKS) if trims else literal
        shown = shown.rstrip(_BLANKS) if found and found["left"] else shown
        if shown:
            parts.append(Part(shown, line, is_action=False))
        line += literal.count("\n")
        if found is None:
            break
        trims = _take_action(found, line, parts)
        line += found[0].count("\n")
        place = found.end()
    return parts


def _take_action(found: re.Match[str], line: int, parts: list[Part]) -> bool:
    """Add an action to the parts, and say whether blanks behind it go."""
    if found.re is _COMMENT:
        return found["right"] is not None
    source = found["source"]
    trimmed = _RIGHT_MARK.sub("", source)
    parts.append(Part(trimmed.strip(_BLANKS), line, is_action=True))
    return trimmed != source
