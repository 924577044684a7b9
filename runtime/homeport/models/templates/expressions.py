"""Pipelines of Go templates, written as Jinja expressions."""

import ast
import re
from collections.abc import Mapping, Sequence

import attrs

from homeport.models.templates.actions import template_error
from homeport.models.templates.kinds import ANY, ANY_LIST, FLAG, NUMBER, TEXT, Kind

MAX_DEPTH = 50
"""Parentheses within parentheses, and blocks within blocks."""

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)
    |(?P<text>"(?:[^"\\\n]|\\.)*+")
    |(?P<raw>`[^`]*+`)
    |(?P<char>'(?:[^'\\\n]|\\.)++')
    |(?P<number>[+-]?\d+(?:\.\d+)?\b)
    |(?P<variable>\$[A-Za-z0-9_]*)
    |(?P<field>(?:\.[A-Za-z_][A-Za-z0-9_]*)+)
    |(?P<dot>\.)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>:=|[=|(),])""",
    re.VERBOSE,
)
_COMPARISONS = {"ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_WORDS = {"true": ("true", FLAG), "false": ("false", FLAG), "nil": ("none", ANY)}
_JSON = "({} | tojson(separators=(',', ':')))"
_FORMAT_VERB = re.compile(r"%[sdv%]")
_LITERAL = re.compile(
    r"""["'](?:[^\\\n]|\\(?:[abfnrtv\\'"]|[0-7]{3}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U00[01][0-9A-Fa-f]{5}))*+"""
)
_MAX_CHARACTERS = 16_384
"""Of one expression: some forms write their value three times."""


@attrs.frozen
class Token:
    """A word of an action."""

    kind: str
    text: str


@attrs.frozen
class Expression:
    """Jinja for a value, and what it is."""

    jinja: str
    kind: Kind

    @property
    def printed(self) -> str:
        """Jinja for its text, as Go prints it."""
        if self.kind in (TEXT, NUMBER):
            return self.jinja
        if self.kind is FLAG:
            return f"('true' if {self.jinja} else 'false')"
        json = _JSON.format(self.jinja)
        return f"({self.jinja} if {self.jinja} is string else {json})" if self.kind is ANY else json


def quote(text: str) -> str:
    """Write text as a Jinja string."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"


def read_tokens(source: str, line: int) -> Sequence[Token]:
    """Cut the inside of an action into words.

    Raises:
        InvalidRequestError: A character belongs to none.
    """
    tokens: list[Token] = []
    place = 0
    while place < len(source):
        found = _TOKEN.match(source, place)
        if found is None:
            raise template_error(line, f"{source[place : place + 20]!r} cannot be read in {source!r:.80}")
        tokens.append(Token(str(found.lastgroup), found[0]))
        place = found.end()
    return [*tokens, Token("end", "")]


class ExpressionReader:
    """Reads the words of one action.

    Args:
        tokens: As ``read_tokens`` gives them.
        line: Where the action is.
        dot: What ``.`` means there.
        root: What ``$`` means.
        variables: By name, with their ``$``.
    """

    def __init__(
        self,
        tokens: Sequence[Token],
        line: int,
        *,
        dot: Expression,
        root: Expression,
        variables: Mapping[str, Expression],
    ) -> None:
        self._tokens = tokens
        self._place = 0
        self._line = line
        self._dot = dot
        self._variables = {"$": root, **variables}
        self._depth = 0

    def pipeline(self) -> Expression:
        """Read a pipeline to the end of the action.

        Raises:
            InvalidRequestError: It cannot be translated; names what and where.
        """
        value = self._pipeline()
        if self._peek().kind != "end":
            raise self._error(f"unexpected {self._peek().text!r}")
        return value

    def _pipeline(self) -> Expression:
        value = self._command(None)
        while self._take_sign("|"):
            value = self._command(value)
        if len(value.jinja) > _MAX_CHARACTERS:
            raise self._error("an expression is too long")
        return value

    def _command(self, piped: Expression | None) -> Expression:
        """Read a function and its arguments, or one value."""
        self._skip_blanks()
        head = self._peek()
        if head.kind == "name" and head.text not in _WORDS:
            self._place += 1
            arguments = self._arguments()
            return self._call(head.text, [*arguments, piped] if piped else arguments)
        value = self._operand()
        self._skip_blanks()
        if piped is not None or self._starts_operand():
            raise self._error(f"{head.text!r} is no function, so nothing can be given to it")
        return value

    def _arguments(self) -> list[Expression]:
        arguments: list[Expression] = []
        while True:
            self._skip_blanks()
            if not self._starts_operand():
                return arguments
            arguments.append(self._operand())

    def _starts_operand(self) -> bool:
        token = self._peek()
        return token.kind not in ("sign", "end") or token.text == "("

    def _operand(self) -> Expression:
        token = self._peek()
        self._place += 1
        if token.text == "(" and token.kind == "sign":
            value = self._in_parentheses()
        elif token.kind == "variable":
            if token.text not in self._variables:
                raise self._error(f"the variable {token.text} is not defined")
            value = self._variables[token.text]
        elif token.kind == "dot":
            return self._dot
        elif token.kind == "field":
            return self._chain(self._dot, token.text)
        else:
            return self._constant(token)
        if self._peek().kind == "field":
            self._place += 1
            return self._chain(value, self._tokens[self._place - 1].text)
        return value

    def _in_parentheses(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"more than {MAX_DEPTH} parentheses are open")
        value = self._pipeline()
        if not self._take_sign(")"):
            raise self._error("a parenthesis is not closed")
        self._depth -= 1
        return value

    def _constant(self, token: Token) -> Expression:
        if token.kind == "text":
            return Expression(quote(self._unescaped(token.text)), TEXT)
        if token.kind == "raw":
            return Expression(quote(token.text[1:-1]), TEXT)
        if token.kind == "char":
            return Expression(str(ord(self._unescaped(token.text)[0])), NUMBER)
        if token.kind == "number":
            return Expression(token.text.removeprefix("+"), NUMBER)
        if token.kind == "name" and token.text in _WORDS:
            return Expression(*_WORDS[token.text])
        if token.kind == "name":
            return self._call(token.text, [])
        raise self._error(f"unexpected {token.text!r}")

    def _unescaped(self, literal: str) -> str:
        if not _LITERAL.fullmatch(literal):
            raise self._error(f"{literal} is no text")
        return str(ast.literal_eval(literal))

    def _chain(self, value: Expression, fields: str) -> Expression:
        for field in fields[1:].split("."):
            value = self._field(value, field)
        return value

    def _field(self, value: Expression, field: str) -> Expression:
        if value.kind is ANY or value.kind.is_map:
            return Expression(f"{value.jinja}[{quote(field)}]", value.kind.item or ANY)
        if field not in value.kind.fields:
            known = ", ".join(f".{name}" for name in value.kind.fields) or "none"
            raise self._error(f"a {value.kind.name} has no field .{field}; known: {known}")
        jinja, kind = value.kind.fields[field]
        return Expression(jinja.format(*(value.jinja,) * jinja.count("{}")), kind)

    def _call(self, name: str, arguments: Sequence[Expression]) -> Expression:
        handlers = {
            "and": self._either,
            "or": self._either,
            "eq": self._equal,
            "index": self._index,
            "slice": self._slice,
            "printf": self._format,
        }
        if name in handlers:
            return handlers[name](name, self._at_least(name, arguments, 1))
        if name in _COMPARISONS:
            left, right = self._exactly(name, arguments, 2)
            return Expression(f"({left.jinja} {_COMPARISONS[name]} {right.jinja})", FLAG)
        if name == "currentDate":
            return Expression("strftime_now('%Y-%m-%d')", TEXT)
        if name in ("print", "println"):
            return _joined(arguments, is_line=name == "println")
        return self._one(name, arguments)

    def _one(self, name: str, arguments: Sequence[Expression]) -> Expression:
        """Call a function of one value."""
        if name not in ("not", "len", "json"):
            raise self._error(f"the function {name!r} is not supported")
        (value,) = self._exactly(name, arguments, 1)
        if name == "not":
            return Expression(f"(not {value.jinja})", FLAG)
        if name == "len":
            return Expression(f"({value.jinja} | length)", NUMBER)
        return Expression(_JSON.format(value.jinja), TEXT)

    def _either(self, name: str, arguments: Sequence[Expression]) -> Expression:
        kinds = {id(each.kind) for each in arguments}
        kind = arguments[0].kind if len(kinds) == 1 else ANY
        return Expression("(" + f" {name} ".join(each.jinja for each in arguments) + ")", kind)

    def _equal(self, name: str, arguments: Sequence[Expression]) -> Expression:
        left, *others = self._at_least(name, arguments, 2)
        text = " or ".join(f"{left.jinja} == {each.jinja}" for each in others)
        return Expression(f"({text})", FLAG)

    def _index(self, name: str, arguments: Sequence[Expression]) -> Expression:
        value, *keys = self._at_least(name, arguments, 2)
        for key in keys:
            value = Expression(f"{value.jinja}[{key.jinja}]", value.kind.item or ANY)
        return value

    def _slice(self, _: str, arguments: Sequence[Expression]) -> Expression:
        value, *bounds = arguments
        if len(bounds) > 2:  # noqa: PLR2004 - a begin and an end
            raise self._error("slice takes a list and up to two bounds")
        begin, end = ([each.jinja for each in bounds] + ["", ""])[:2]
        kind = value.kind if value.kind is TEXT or value.kind.item else ANY_LIST
        return Expression(f"{value.jinja}[{begin}:{end}]", kind)

    def _format(self, _: str, arguments: Sequence[Expression]) -> Expression:
        form, *values = arguments
        try:
            pattern = str(ast.literal_eval(form.jinja))
        except (SyntaxError, ValueError):
            raise self._error("printf needs a constant form") from None
        verbs = [verb for verb in _FORMAT_VERB.findall(pattern) if verb != "%%"]
        if "%" in _FORMAT_VERB.sub("", pattern) or len(verbs) != len(values):
            raise self._error(f"printf cannot write {pattern!r} with {len(values)} values; known: %s %d %v")
        texts = [quote(each.replace("%%", "%")) for each in re.split(r"%[sdv]", pattern)]
        pieces = [texts[0]]
        for value, text in zip(values, texts[1:], strict=True):
            pieces += [value.printed, text]
        return Expression("(" + " ~ ".join(pieces) + ")", TEXT)

    def _exactly(self, name: str, arguments: Sequence[Expression], count: int) -> Sequence[Expression]:
        if len(arguments) != count:
            raise self._error(f"{name} takes {count} values, got {len(arguments)}")
        return arguments

    def _at_least(self, name: str, arguments: Sequence[Expression], count: int) -> Sequence[Expression]:
        if len(arguments) < count:
            raise self._error(f"{name} takes at least {count} values, got {len(arguments)}")
        return arguments

    def _take_sign(self, sign: str) -> bool:
        self._skip_blanks()
        token = self._peek()
        found = token.kind == "sign" and token.text == sign
        self._place += found
        return found

    def _skip_blanks(self) -> None:
        while self._peek().kind == "blank":
            self._place += 1

    def _peek(self) -> Token:
        return self._tokens[min(self._place, len(self._tokens) - 1)]

    def _error(self, problem: str) -> Exception:
        return template_error(self._line, problem)


def _joined(values: Sequence[Expression], *, is_line: bool) -> Expression:
    """Print values: with blanks between those of a line, else between two neighbours that are no texts."""
    pieces = ["''"]
    for before, value in zip([None, *values], values, strict=False):
        is_apart = before is not None and (is_line or TEXT not in (before.kind, value.kind))
        pieces += ["' '", value.printed] if is_apart else [value.printed]
    return Expression("(" + " ~ ".join(pieces + ["'\\n'"] * is_line) + ")", TEXT)
