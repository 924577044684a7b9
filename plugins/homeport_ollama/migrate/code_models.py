"""Models that Python code asks an Ollama for: arguments of calls to its clients."""

import ast
from collections.abc import Iterator, Mapping

from homeport_ollama.migrate.model_names import models_in

_PACKAGE = "ollama"
_CLIENTS = frozenset({"Client", "AsyncClient"})
_VERBS = frozenset({"chat", "generate", "embed", "embeddings", "show", "pull"})
_CLASSES = frozenset({"ChatOllama", "OllamaLLM", "OllamaEmbeddings", "Ollama", "OllamaEmbedding"})
_KEYWORDS = frozenset({"model", "model_name"})
_READERS = frozenset({"getenv", "get"})
"""Of the environment; their second argument is what they give where it says nothing."""
_READER_ARGUMENTS = 2


def code_models(tree: ast.Module) -> tuple[str, ...]:
    """List the models that are named where an Ollama is called; nothing is run.

    Args:
        tree: Of one file.
    """
    return tuple(dict.fromkeys(_Calls(tree).models()))


class _Calls:
    """Calls of one file, and what its names stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._modules: set[str] = set()
        self._members: dict[str, str] = {}
        for node in ast.walk(tree):
            self._take_import(node)
        assigned = list(_assigned(tree))
        self._values = {target: text for target, value in assigned for text in [_text(value, {})] if text}
        self._clients = {target for target, value in assigned if self._is_client(value)}

    def models(self) -> Iterator[str]:
        """Give them in their order."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and self._asks(node.func):
                named = [each.value for each in node.keywords if each.arg in _KEYWORDS]
                for value in [*named, *node.args[:1]][:1]:
                    yield from models_in(_text(value, self._values))

    def _take_import(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            self._modules |= {each.asname or each.name for each in node.names if each.name == _PACKAGE}
        elif isinstance(node, ast.ImportFrom):
            known = {each.name: each.asname or each.name for each in node.names}
            wanted = _CLASSES | (_CLIENTS | _VERBS if node.module == _PACKAGE else set())
            self._members |= {known[name]: name for name in known.keys() & wanted}

    def _asks(self, called: ast.expr) -> bool:
        if isinstance(called, ast.Name):
            return self._members.get(called.id) in _VERBS | _CLASSES
        if not isinstance(called, ast.Attribute):
            return False
        if called.attr in _CLASSES:
            return True
        owner = called.value
        is_ours = self._is_module(owner) or self._is_client(owner) or ast.unparse(owner) in self._clients
        return called.attr in _VERBS and is_ours

    def _is_module(self, owner: ast.expr) -> bool:
        return isinstance(owner, ast.Name) and owner.id in self._modules

    def _is_client(self, value: ast.expr) -> bool:
        """Whether an expression makes a client of Ollama."""
        if not isinstance(value, ast.Call):
            return False
        made = value.func
        if isinstance(made, ast.Attribute):
            return made.attr in _CLIENTS and self._is_module(made.value)
        return isinstance(made, ast.Name) and self._members.get(made.id) in _CLIENTS


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            yield from ((ast.unparse(target), node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            yield ast.unparse(node.target), node.value


def _text(value: ast.expr, values: Mapping[str, str]) -> str:
    """Give the text of an expression; empty where only running it would tell."""
    if isinstance(value, ast.Constant):
        return value.value if isinstance(value.value, str) else ""
    if isinstance(value, ast.Name | ast.Attribute):
        return values.get(ast.unparse(value), "")
    if isinstance(value, ast.Call) and len(value.args) == _READER_ARGUMENTS:
        name = getattr(value.func, "attr", getattr(value.func, "id", ""))
        return _text(value.args[1], values) if name in _READERS else ""
    return ""
