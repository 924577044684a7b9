"""YAML 1.1, any number of documents, read by PyYAML for its marks alone: no tag is ever constructed."""

from typing import Any

from homeport_ollama.migrate.scalar import GrammarError, Scalar

_MOST_NODES = 200_000


def yaml_scalars(text: str) -> list[Scalar]:
    """List all values that are scalars; one behind an anchor counts once, where it stands.

    Raises:
        GrammarError: It is no YAML, is too large, or PyYAML is not installed.
    """
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise GrammarError("YAML files need PyYAML: pip install 'homeport[migrate]'") from error
    try:
        documents = list(yaml.compose_all(text, yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise GrammarError(f"no YAML{where}") from error
    scalars: list[Scalar] = []
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), node) for node in reversed(documents)]
    while waiting:
        path, node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if len(seen) > _MOST_NODES:
            raise GrammarError(f"it has more than {_MOST_NODES} values")
        if isinstance(node, yaml.ScalarNode):
            start, end = node.start_mark.index, node.end_mark.index
            scalars.append(Scalar(path=path, start=start, end=end, value=node.value))
        elif isinstance(node, yaml.SequenceNode):
            below = [(str(place), each) for place, each in enumerate(node.value)]
            waiting += [((*path, key), each) for key, each in reversed(below)]
        else:
            waiting += [((*path, _key(key)), each) for key, each in reversed(node.value)]
    return scalars


def _key(node: object) -> str:
    value = getattr(node, "value", "")
    return value if isinstance(value, str) else "?"
