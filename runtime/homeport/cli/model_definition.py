"""What a Modelfile defines: the fields of ``POST /api/create``, and what cannot be had."""

import math
import re
from collections.abc import Callable, Iterable, Mapping

import attrs

from homeport.cli.modelfile import Instruction, ModelfileError, instructions

_SEMVER = re.compile(r"v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?")
_BAD_VERSION = "requires must be a valid semver (e.g. 0.14.0)"
_UNSUPPORTED = frozenset({"adapter", "draft", "renderer", "parser"})
_TRUTHS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def _integer(text: str) -> int:
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _truth(text: str) -> bool:
    truth = _TRUTHS.get(text.lower())
    if truth is None:
        raise ValueError(text)
    return truth


_KINDS: Mapping[Callable[[str], object], tuple[str, tuple[str, ...]]] = {
    _integer: (
        "an integer",
        (
            "num_ctx", "num_predict", "num_keep", "num_batch", "num_thread", "num_gpu", "main_gpu", "top_k",
            "repeat_last_n", "seed", "draft_num_predict",
        ),
    ),
    _number: (
        "a number",
        (
            "temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty",
            "frequency_penalty",
        ),
    ),
    _truth: ("true or false", ("use_mmap",)),
    str: ("a text", ("stop",)),
}  # fmt: skip
_READERS = {name: (read, kind) for read, (kind, names) in _KINDS.items() for name in names}
PARAMETERS = frozenset(_READERS)
"""Names of parameters that there are."""
DEPRECATED = frozenset({
    "mirostat", "mirostat_eta", "mirostat_tau", "tfs_z", "penalize_newline", "low_vram", "f16_kv",
    "logits_all", "vocab_only", "use_mlock", "embedding_only", "numa",
})  # fmt: skip
"""Parameters that older Modelfiles hold and that have no effect any more."""


@attrs.frozen(kw_only=True)
class ModelDefinition:
    """A model as its Modelfile describes it.

    Attributes:
        sources: Values of ``FROM``, in order: names of models, or paths of files.
        fields: Further fields of the request that makes it.
        warnings: What has no effect, one line each.
    """

    sources: tuple[str, ...]
    fields: Mapping[str, object]
    warnings: tuple[str, ...] = ()


def parameter_value(name: str, text: str) -> object:
    """Read the value of a parameter.

    Raises:
        ValueError: There is no such parameter, or it is of another kind; says so for people.
    """
    if name in DEPRECATED:
        raise ValueError(f"parameter {name} is deprecated, it has no effect")
    if name not in _READERS:
        raise ValueError(f"unknown parameter '{name}'")
    read, kind = _READERS[name]
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"parameter {name} must be {kind}, got {text!r:.80}") from error


def read_definition(text: str) -> ModelDefinition:
    """Read a Modelfile.

    Raises:
        ModelfileError: It breaks the grammar, or asks for what is not there; names every line at fault.
    """
    found = instructions(text)
    faults = list(_faults(found))
    if faults:
        raise ModelfileError("\n".join(faults))
    texts = {each.command: each.value for each in found if each.command in {"template", "system", "requires"}}
    licenses = [each.value for each in found if each.command == "license"]
    messages = [{"role": each.key, "content": each.value} for each in found if each.command == "message"]
    fields = {**texts, "license": licenses, "messages": messages, "parameters": _parameters(found)}
    return ModelDefinition(
        sources=tuple(each.value for each in found if each.command == "from"),
        fields={name: value for name, value in fields.items() if value or name in texts},
        warnings=tuple(
            each.fault(f"parameter {each.key} is deprecated, it has no effect")
            for each in _named(found, DEPRECATED)
        ),
    )


def _faults(found: Iterable[Instruction]) -> Iterable[str]:
    for each in found:
        if each.command in _UNSUPPORTED:
            yield each.fault(f"{each.command.upper()} is not supported")
        elif each.command == "requires" and not _SEMVER.fullmatch(each.value):
            yield each.fault(_BAD_VERSION)
        elif each.command == "from" and not each.value:
            yield each.fault("FROM names no model")
        elif each.command == "parameter":
            yield from _parameter_faults(each)


def _parameter_faults(each: Instruction) -> Iterable[str]:
    if each.key in DEPRECATED:
        return
    try:
        parameter_value(each.key, each.value)
    except ValueError as error:
        yield each.fault(str(error))


def _parameters(found: Iterable[Instruction]) -> Mapping[str, object]:
    """Collect the values; the last one counts, but texts to stop at add up."""
    values: dict[str, object] = {}
    stops: list[str] = []
    for each in _named(found, _READERS.keys()):
        if each.key == "stop":
            stops.append(each.value)
        else:
            values[each.key] = _READERS[each.key][0](each.value)
    return {**values, "stop": stops} if stops else values


def _named(found: Iterable[Instruction], names: Iterable[str]) -> Iterable[Instruction]:
    wanted = frozenset(names)
    return (each for each in found if each.command == "parameter" and each.key in wanted)
