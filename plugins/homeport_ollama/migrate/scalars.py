"""Texts of a configuration file, and where each lies in it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from homeport_ollama.migrate.file_kinds import FileKind
from homeport_ollama.migrate.json_grammar import json_scalars
from homeport_ollama.migrate.line_grammar import env_scalars, unit_scalars
from homeport_ollama.migrate.scalar import GrammarError, Scalar
from homeport_ollama.migrate.toml_grammar import toml_scalars
from homeport_ollama.migrate.yaml_grammar import yaml_scalars

_BOM = "\ufeff"

_GRAMMARS: Mapping[FileKind, Callable[[str], list[Scalar]]] = MappingProxyType(
    {
        FileKind.ENV: env_scalars,
        FileKind.UNIT: unit_scalars,
        FileKind.JSON: json_scalars,
        FileKind.YAML: yaml_scalars,
        FileKind.TOML: toml_scalars,
    }
)


def decoded(data: bytes) -> str:
    """Decode a file so that :func:`encoded` gives the same bytes back, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Turn a text of :func:`decoded` into its bytes."""
    return text.encode("utf-8", "surrogateescape")


def read_scalars(kind: FileKind, text: str) -> list[Scalar]:
    """List the values of a file in their order; comments and keys are none.

    Args:
        kind: By which grammar to read it.
        text: As :func:`decoded` gives it. Bytes that are no UTF-8 are read as some other character.

    Raises:
        GrammarError: It is no such file.
    """
    shift = len(_BOM) if text.startswith(_BOM) else 0
    body = "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in text[shift:])
    try:
        scalars = _GRAMMARS[kind](body)
    except RecursionError as error:
        raise GrammarError("it is nested too deeply") from error
    return [attrs.evolve(each, start=each.start + shift, end=each.end + shift) for each in scalars]
