"""A sandbox for chat templates in which none runs for ever or writes a gigantic text.

Templates come with models and from clients. Jinja's immutable sandbox keeps them from our objects; this one
also counts what they do: rounds of loops, calls, and the texts they put together cost, and what exceeds its
budget is refused.
"""

import functools
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import attrs
from jinja2 import Template, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MOST_OUTPUT = 64 * 1024 * 1024
"""Characters of a rendered conversation, and of any text on the way; a request's body has half of that."""
_MOST_WRITTEN = 8 * MOST_OUTPUT
"""Characters of all texts on the way together."""
_MOST_STEPS = 1_000_000
"""Rounds of loops, calls and pieces of text; ten thousand messages take about a hundred thousand."""
_MOST_SECONDS = 4.0
_ITEM_SIZE = 16
"""What an item of a list counts, in characters."""
_GROWING = frozenset(
    {
        "center", "expandtabs", "format", "format_map", "indent", "ljust", "replace", "rjust", "tojson",
        "translate", "truncate", "urlize", "wordwrap", "xmlattr", "zfill",
    }
)  # fmt: skip
"""Filters and methods that make a text of the size of two of their arguments multiplied, at most."""
_PASSING = frozenset(
    {
        "attr", "count", "d", "default", "first", "groupby", "items", "last", "length", "map", "random",
        "reject", "rejectattr", "reverse", "select", "selectattr",
    }
)  # fmt: skip
"""Filters that neither write nor compare what the values given to them hold."""
_WIDTH = re.compile(r"\d{5}")
"""A width within a format is under 10,000."""


@attrs.define
class Budget:
    """What is left for one rendering."""

    steps: int = _MOST_STEPS
    characters: int = _MOST_WRITTEN
    ends_at: float = attrs.field(factory=lambda: time.monotonic() + _MOST_SECONDS)

    def step(self) -> None:
        """Take a step."""
        self.steps -= 1
        if self.steps < 0:
            raise SecurityError(f"it takes more than {_MOST_STEPS} steps")
        if time.monotonic() > self.ends_at:
            raise SecurityError(f"it takes longer than {_MOST_SECONDS:g} seconds")

    def write(self, value: object) -> None:
        """Take note of a text or a list that was made."""
        self.step()
        size = len(value) if isinstance(value, str) else 0
        if isinstance(value, list | tuple):
            size = len(value) * _ITEM_SIZE
        self.characters -= size
        if size > MOST_OUTPUT or self.characters < 0:
            raise _too_long()

    def hold(self, *values: object) -> None:
        """Refuse lists and mappings that are too long as a text: what they hold twice is written twice.

        Thirty lists that each hold the one before twice are short to tell, and have 2^30 items.
        """
        known: dict[int, int] = {}
        for value in values:
            if self._whole_size(value, known) > MOST_OUTPUT:
                raise _too_long()

    def _whole_size(self, value: object, known: dict[int, int]) -> int:
        if isinstance(value, str):
            return len(value)
        if isinstance(value, Namespace):
            raise SecurityError("a namespace cannot be written or be part of a value")
        if not isinstance(value, list | tuple | Mapping):
            return 1
        if id(value) not in known:
            self.step()
            parts = (*value.keys(), *value.values()) if isinstance(value, Mapping) else value
            known[id(value)] = 1 + sum([self._whole_size(part, known) for part in parts])
        return known[id(value)]


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """Compiles templates and renders them within bounds.

    Args:
        extensions: Of Jinja.
        filters: Further ones, by name.

    Attributes:
        budget: What is left for the rendering that goes on.
    """

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, extensions: list[Any], filters: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        self.budget = Budget()
        known = {**self.filters, **filters}
        self.filters = {name: self._bounded(name, function) for name, function in known.items()}
        del self.globals["lipsum"]
        self.filters["_counted"] = _counted
        self.filters["_written"] = _written
        self.filters["_held"] = _held

    def rendered(self, template: Template, values: Mapping[str, object]) -> str:
        """Render within a budget of its own.

        Raises:
            SecurityError: It exceeds the budget.
        """
        self.budget = Budget()
        try:
            text = template.render(values)
        finally:
            self.budget = Budget()
        self._check_size(len(text))
        return text

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse, and put counters where a template goes round or writes."""
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = _filter(loop.iter, "_counted")
        for made in tree.find_all((nodes.List, nodes.Tuple, nodes.Dict)):
            _hold_parts(made)
        for joined in tree.find_all(nodes.Concat):
            joined.nodes = [_filter(node, "_written") for node in joined.nodes]
        for output in tree.find_all(nodes.Output):
            output.nodes = [_filter(_expression(node), "_written") for node in output.nodes]
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """Compute what may make a text, a list or a number grow."""
        if operator == "**":
            raise SecurityError("powers are not allowed")
        if operator == "*":
            self._check_product((left, right))
        if operator == "%" and isinstance(left, str):
            self._check_format(left)
            self._check_product((left, *(right if isinstance(right, tuple) else (right,))))
            self.budget.hold(right)
        value = super().call_binop(context, operator, left, right)
        self.budget.write(value)
        return value

    def call(self, context: Context, function: Any, /, *args: Any, **values: Any) -> Any:  # noqa: ANN401
        """Call what a template calls, and count what it gives."""
        self.budget.step()
        method = getattr(function, "__wrapped__", function)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str):
            self._check_growth(method.__name__, (owner, *args, *values.values()))
            self.budget.hold(*args, *values.values())
        result = super().call(context, function, *args, **values)
        if isinstance(result, dict):
            self.budget.hold(result)
        self.budget.write(result)
        return result

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **values: Any) -> Any:  # noqa: ANN401 - any filter
            self._check_growth(name, (*args, *values.values()))
            if name not in _PASSING:
                self.budget.hold(*args, *values.values())
            result = function(*args, **values)
            self.budget.write(result)
            return result

        return call

    def _check_growth(self, name: str, values: tuple[object, ...]) -> None:
        """Refuse what would make a text too long, before it does."""
        if name == "join":
            self._check_joined(values)
        elif name in _GROWING:
            self._check_product(values)
            for text in values:
                if name.startswith("format") and isinstance(text, str):
                    self._check_format(text)

    def _check_joined(self, values: tuple[object, ...]) -> None:
        parts = [part for value in values if isinstance(value, list | tuple) for part in value]
        between = max([_size(value) for value in values if isinstance(value, str)], default=0)
        self._check_size(sum(_size(part) for part in parts) + between * len(parts))
        self._check_product([value for value in values if isinstance(value, str)])

    def _check_product(self, values: Iterable[object]) -> None:
        sizes = sorted(max(_size(value), 1) for value in values)
        self._check_size(math.prod(sizes[-2:]))

    def _check_size(self, size: int) -> None:
        if size > MOST_OUTPUT:
            raise _too_long()

    def _check_format(self, text: str) -> None:
        if _WIDTH.search(text):
            raise SecurityError("a number within a format is under 10,000")


@pass_context
def _counted(context: Context, values: Iterable[object]) -> Iterator[object]:
    budget = _budget_of(context)
    for value in values:
        budget.step()
        yield value


@pass_context
def _written(context: Context, value: object) -> object:
    budget = _budget_of(context)
    budget.write(value)
    budget.hold(value)
    return value


@pass_context
def _held(context: Context, value: object) -> object:
    _budget_of(context).hold(value)
    return value


def _budget_of(context: Context) -> Budget:
    if not isinstance(context.environment, TemplateSandbox):
        raise SecurityError("only a sandbox counts")
    return context.environment.budget


def _filter(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _hold_parts(made: nodes.Node) -> None:
    """Let what a list or a mapping is made of be looked at."""
    if isinstance(made, nodes.Dict):
        for pair in made.items:
            pair.value = _filter(pair.value, "_held")
    elif isinstance(made, nodes.List) or (isinstance(made, nodes.Tuple) and made.ctx == "load"):
        made.items = [
            item if isinstance(item, nodes.Const) else _filter(item, "_held") for item in made.items
        ]


def _expression(node: nodes.Expr) -> nodes.Expr:
    return nodes.Const(node.data, lineno=node.lineno) if isinstance(node, nodes.TemplateData) else node


def _size(value: object) -> int:
    """Tell how much a value contributes to a text that is made of it."""
    if isinstance(value, int):
        return abs(value)
    return len(value) if isinstance(value, Sized) else 1


def _too_long() -> SecurityError:
    return SecurityError(f"it writes more than {MOST_OUTPUT} characters")
