"""Writing the parts of a Go template as Jinja."""

from collections.abc import Sequence

import attrs

from homeport.models.templates.actions import Part, template_error
from homeport.models.templates.expressions import (
    MAX_DEPTH,
    Expression,
    ExpressionReader,
    Token,
    quote,
    read_tokens,
)
from homeport.models.templates.kinds import ANY, NUMBER, Kind

_RESPONSE = "Response"
_REFUSED = frozenset({"define", "template", "block"})
_UNUSED = "$_"


@attrs.define
class _Block:
    """An open if, with or range: its word, what ends it, and what holds inside.

    ``items`` is what a range goes through.
    """

    word: str
    closing: str
    line: int
    dot: Expression
    variables: dict[str, Expression]
    items: str = ""
    has_else: bool = False


def fields_of(parts: Sequence[Part]) -> frozenset[str]:
    """Name all fields that actions mention.

    Raises:
        InvalidRequestError: An action cannot be read.
    """
    return frozenset(
        field
        for part in parts
        if part.is_action
        for token in read_tokens(part.source, part.line)
        if token.kind == "field"
        for field in token.text[1:].split(".")
    )


class JinjaWriter:
    """Writes one template.

    Args:
        root: What it sees.
        ends_at_response: Whether nothing is written behind what prints ``.Response``.
    """

    def __init__(self, root: Kind, *, ends_at_response: bool = False) -> None:
        self._root = Expression("root", root)
        self._cuts = ends_at_response
        self._is_cut = False
        self._lines: list[str] = ["{%- set own = namespace() -%}"]
        self._blocks = [_Block("template", "", 1, self._root, {})]
        self._count = 0

    def write(self, parts: Sequence[Part]) -> str:
        """Give the Jinja of all parts.

        Raises:
            InvalidRequestError: One cannot be translated; names its line.
        """
        for part in parts:
            if part.is_action:
                self._action(part)
            else:
                self._print(quote(part.source))
        if len(self._blocks) > 1:
            block = self._blocks[-1]
            raise template_error(block.line, f"{block.word!r} has no end")
        return "\n".join(self._lines)

    def _action(self, part: Part) -> None:
        tokens = [token for token in read_tokens(part.source, part.line) if token.kind != "blank"]
        word = tokens[0].text if tokens[0].kind == "name" else ""
        if word in _REFUSED:
            raise template_error(part.line, f"{word!r} is not supported")
        if word in ("if", "with", "range"):
            self._open(word, read_tokens(part.source.removeprefix(word), part.line), part.line)
        elif word == "else":
            self._else(part)
        elif word == "end":
            self._end(part.line)
        elif word in ("break", "continue"):
            self._jump(word, part.line)
        else:
            self._statement(read_tokens(part.source, part.line), part.line)

    def _statement(self, tokens: Sequence[Token], line: int) -> None:
        """Print a value, or keep it in a variable."""
        names, sign, rest = _declared(tokens, line)
        value = self._read(rest, line)
        if sign:
            self._keep(names, sign, value, line)
            return
        self._print(value.printed)
        if self._cuts and any(_RESPONSE in token.text.split(".") for token in rest if token.kind == "field"):
            self._is_cut = True

    def _keep(self, names: Sequence[str], sign: str, value: Expression, line: int) -> None:
        if len(names) != 1:
            raise template_error(line, f"{', '.join(names)} {sign} is only known in range")
        name = names[0]
        if sign == "=":
            self._assign(name, value, line)
        else:
            self._blocks[-1].variables[name] = self._held(value)

    def _assign(self, name: str, value: Expression, line: int) -> None:
        for block in reversed(self._blocks):
            known = block.variables.get(name)
            if known is not None:
                break
        else:
            raise template_error(line, f"the variable {name} is not defined")
        if not known.jinja.startswith("own."):
            raise template_error(line, f"{name} belongs to a range and cannot be assigned to")
        self._lines.append(f"{{%- set {known.jinja} = {value.jinja} -%}}")
        if known.kind is not value.kind:
            block.variables[name] = Expression(known.jinja, ANY)

    def _held(self, value: Expression) -> Expression:
        """Keep a value under a name of its own, which assignments in inner blocks reach too."""
        name = f"own.{self._fresh('v')}"
        self._lines.append(f"{{%- set {name} = {value.jinja} -%}}")
        return Expression(name, value.kind)

    def _open(self, word: str, tokens: Sequence[Token], line: int) -> None:
        if len(self._blocks) > MAX_DEPTH:
            raise template_error(line, f"more than {MAX_DEPTH} blocks are open")
        names, sign, rest = _declared(tokens, line)
        value = self._read(rest, line)
        if word == "range":
            self._open_range(names, sign, value, line)
            return
        variables: dict[str, Expression] = {}
        if sign or word == "with":
            value = self._held(value)
            variables = dict.fromkeys(names, value)
        self._lines.append(f"{{%- if {value.jinja} -%}}")
        dot = value if word == "with" else self._blocks[-1].dot
        self._blocks.append(_Block(word, "endif", line, dot, variables))

    def _open_range(self, names: Sequence[str], sign: str, value: Expression, line: int) -> None:
        if sign == "=" or len(names) > 2:  # noqa: PLR2004 - key and value
            raise template_error(line, "range takes up to two variables, followed by :=")
        if value.kind.item is None and value.kind is not ANY:
            raise template_error(line, f"range needs a list or a map, not a {value.kind.name}")
        item = Expression(self._fresh("x"), value.kind.item or ANY)
        key = Expression(self._fresh("k"), ANY if value.kind.is_map else NUMBER)
        if value.kind.is_map:
            self._lines.append(f"{{%- for {key.jinja}, {item.jinja} in ({value.jinja}).items() -%}}")
        else:
            self._lines.append(f"{{%- for {item.jinja} in ({value.jinja} or []) -%}}")
            self._lines.append(f"{{%- set {key.jinja} = loop.index0 -%}}")
        held = (item,) if len(names) == 1 else (key, item)
        variables = dict(zip(names, held, strict=False))
        self._blocks.append(_Block("range", "endfor", line, item, variables, value.jinja))

    def _else(self, part: Part) -> None:
        block = self._blocks[-1]
        if len(self._blocks) == 1 or block.has_else:
            raise template_error(part.line, "'else' without 'if', 'with' or 'range'")
        block.variables = {}
        block.dot = self._blocks[-2].dot
        rest = part.source.removeprefix("else").strip()
        if not rest:
            block.has_else = True
            self._lines.extend(_else_of(block))
            return
        _, sign, tokens = _declared(read_tokens(rest.removeprefix("if"), part.line), part.line)
        if not rest.startswith(("if ", "if(")) or sign or block.word == "range":
            raise template_error(part.line, f"'else {rest:.40}' is not supported after {block.word!r}")
        self._lines.append(f"{{%- elif {self._read(tokens, part.line).jinja} -%}}")

    def _end(self, line: int) -> None:
        if len(self._blocks) == 1:
            raise template_error(line, "'end' without 'if', 'with' or 'range'")
        self._lines.append(f"{{%- {self._blocks.pop().closing} -%}}")

    def _jump(self, word: str, line: int) -> None:
        if all(block.closing != "endfor" for block in self._blocks):
            raise template_error(line, f"{word!r} outside of 'range'")
        self._lines.append(f"{{%- {word} -%}}")

    def _read(self, tokens: Sequence[Token], line: int) -> Expression:
        known: dict[str, Expression] = {}
        for block in self._blocks:
            known |= block.variables
        dot = self._blocks[-1].dot
        return ExpressionReader(tokens, line, dot=dot, root=self._root, variables=known).pipeline()

    def _print(self, jinja: str) -> None:
        if not self._is_cut:
            self._lines.append(f"{{{{- {jinja} -}}}}")

    def _fresh(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"


def _else_of(block: _Block) -> Sequence[str]:
    """Begin the other branch; that of a loop is none of Jinja's, which enters it after a break too."""
    if block.word != "range":
        return ("{%- else -%}",)
    block.closing = "endif"
    return ("{%- endfor -%}", f"{{%- if not {block.items} -%}}")


def _declared(tokens: Sequence[Token], line: int) -> tuple[Sequence[str], str, Sequence[Token]]:
    """Split off the variables in front of ``:=`` or ``=``; no names and no sign where there are none."""
    signs = [place for place, token in enumerate(tokens) if token.text in (":=", "=")]
    if not signs:
        return (), "", tokens
    head = [token for token in tokens[: signs[0]] if token.kind != "blank"]
    names = [token.text for token in head if token.kind == "variable"]
    commas = [token for token in head if token.text == ","]
    if not names or len(names) + len(commas) != len(head) or len(commas) != len(names) - 1:
        raise template_error(line, f"only variables can stand before {tokens[signs[0]].text!r}")
    return names, tokens[signs[0]].text, tokens[signs[0] + 1 :]
