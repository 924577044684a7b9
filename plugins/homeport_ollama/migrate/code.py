"""Python code, read as a syntax tree: it is never imported, run or edited."""

import ast
import re
import warnings
from collections.abc import Iterator

from homeport_ollama.migrate.addresses import find_addresses, is_composed
from homeport_ollama.migrate.finding import Finding, State, shown
from homeport_ollama.migrate.scalar import GrammarError
from homeport_ollama.migrate.variables import advice

_PACKAGES = frozenset({"ollama", "langchain_ollama", "llama_index.llms.ollama", "llm_ollama"})
_CLASS = re.compile(r"(Chat)?Ollama(LLM|Embeddings?|Chat)?")


def parsed_code(data: bytes) -> ast.Module:
    """Parse a file.

    Raises:
        GrammarError: It is no Python; names the line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that is none is no business of ours
            return ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        where = f" at line {line}" if line else ""
        raise GrammarError(f"cannot be read as Python{where}; look for yourself") from error


def code_findings(path: str, tree: ast.Module, sources: frozenset[str]) -> Iterator[Finding]:
    """Find imports of Ollama's clients, addresses in texts, and variables that have no effect."""
    passed = _documents(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(path, node)
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
            yield from _text(path, node.lineno, _joined(node), sources)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            yield from _text(path, node.lineno, node.value, sources)


def _joined(node: ast.JoinedStr) -> str:
    """Write an f-string with its variables by name, or as text where they are constants."""
    return "".join(
        str(value.value) if isinstance(value, ast.Constant) else f"{{{ast.unparse(value)}}}"
        for part in node.values
        for value in [part.value if isinstance(part, ast.FormattedValue) else part]
    )


def _imports(path: str, node: ast.Import | ast.ImportFrom) -> Iterator[Finding]:
    if isinstance(node, ast.Import):
        found = [each.name for each in node.names if each.name.split(".")[0] in _PACKAGES]
    else:
        module = node.module or ""
        is_client = module.split(".")[0] in _PACKAGES or module in _PACKAGES
        found = [f"{module}.{each.name}" for each in node.names if is_client or _CLASS.fullmatch(each.name)]
    for name in found:
        yield Finding(
            path=path,
            line=node.lineno,
            setting="import",
            value=shown(name),
            state=State.READY,
            reason="works with homeport as it is; where it asks is up to OLLAMA_HOST or its base_url",
        )


def _text(path: str, line: int, text: str, sources: frozenset[str]) -> Iterator[Finding]:
    told = advice(text)
    if told:
        reason = f"has no effect in homeport: {told}"
    elif any(find_addresses(text, sources)):
        reason = "an address in the code; take it from a setting, or change it by hand"
    elif is_composed(text):
        reason = "its host comes from a variable, its port is Ollama's; change it by hand"
    else:
        return
    yield Finding(path=path, line=line, value=shown(text), state=State.ATTENTION, reason=reason)


def _documents(tree: ast.AST) -> set[int]:
    """Say which texts are documentation."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                found.add(id(first.value))
    return found
