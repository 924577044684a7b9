"""``homeport show``: what is known of a model."""

from collections.abc import Iterator, Mapping

import attrs
import click

from homeport.cli import figures
from homeport.cli.answers import ModelDescription
from homeport.cli.build_facts import figure_facts
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.model_completion import installed_models
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.text import harmless, harmless_line, write_json

SECTIONS = ("license", "modelfile", "parameters", "system", "template")
"""Parts of a description that can be asked for alone."""

_LICENSE_LINES = 2
_LABEL_WIDTH = 20
_BUILD_PREFIX = "homeport.build."
_BUILD_KEPT = frozenset({"size", "bits_per_weight"})
"""Numbers of a build that no check saw."""


@attrs.frozen
class _Section:
    title: str
    lines: tuple[str, ...]


@click.command("show", epilog="\b\nExample:\n  homeport show smollm2:135m --template")
@click.argument("model", shell_complete=installed_models)
@click.option("--license", "license_", is_flag=True, help="Print its license alone.")
@click.option("--modelfile", is_flag=True, help="Print its Modelfile alone.")
@click.option("--parameters", is_flag=True, help="Print its parameters alone.")
@click.option("--system", is_flag=True, help="Print its system text alone.")
@click.option("--template", is_flag=True, help="Print its chat template alone.")
@click.option("-v", "--verbose", is_flag=True, help="Add all its figures.")
@json_option
@pass_invocation
def show(
    invocation: Invocation, /, *, model: str, license_: bool, verbose: bool, as_json: bool, **parts: bool
) -> None:
    """Describe a model: architecture, size, parameters, license."""
    wanted = [name for name, is_wanted in {"license": license_, **parts}.items() if is_wanted]
    if len(wanted) > 1:
        raise click.UsageError(f"only one of {', '.join(f'--{name}' for name in SECTIONS)} can be given")
    with connected(invocation) as client:
        answer = client.ask("POST", "/api/show", {"model": model, "verbose": verbose})
    if as_json:
        write_json(answer)
        return
    description = ModelDescription.from_wire(answer)
    click.echo(part(description, wanted[0]) if wanted else overview(description, verbose=verbose))


def part(description: ModelDescription, name: str) -> str:
    """Give one of ``SECTIONS`` as it is."""
    text: str = getattr(description, name)
    return harmless(text)


def overview(description: ModelDescription, *, verbose: bool) -> str:
    """Lay out all that is known of a model."""
    blocks = [
        "\n".join([f"  {section.title}", *(f"    {line}" for line in section.lines)])
        for section in _sections(description, verbose=verbose)
    ]
    return "\n\n".join(blocks) + "\n"


def _sections(description: ModelDescription, *, verbose: bool) -> Iterator[_Section]:
    yield _Section("Model", _pairs(_model_facts(description)))
    build = _build_facts(description)
    if build:
        yield _Section("Build", _pairs(build))
    if description.capabilities:
        yield _Section("Capabilities", tuple(harmless_line(item) for item in description.capabilities))
    if description.parameters:
        yield _Section("Parameters", _lines(description.parameters))
    if description.system:
        yield _Section("System", _lines(description.system))
    if description.license:
        lines = _lines(description.license)
        more = ("...",) if len(lines) > _LICENSE_LINES and not verbose else ()
        yield _Section("License", (lines if verbose else lines[:_LICENSE_LINES]) + more)
    if verbose:
        yield _Section(
            "Metadata", _pairs({key: str(value) for key, value in sorted(description.model_info.items())})
        )


def _model_facts(description: ModelDescription) -> dict[str, str]:
    info, details = description.model_info, description.details
    architecture = str(info.get("general.architecture") or details.get("family") or "")
    count = info.get("general.parameter_count")
    facts = {
        "architecture": architecture,
        "parameters": figures.parameter_count(count) if isinstance(count, int) and count else "",
        "context length": info.get(f"{architecture}.context_length"),
        "embedding length": info.get(f"{architecture}.embedding_length"),
        "quantization": details.get("quantization_level"),
        "stored as": _kept_as(info, "homeport.", str(info.get("homeport.weights") or "")),
    }
    return {label: str(value) for label, value in facts.items() if value}


def _build_facts(description: ModelDescription) -> dict[str, str]:
    """Tell of what the backend loads in the model's place; nothing where it loads the model itself."""
    told = {
        key.removeprefix(_BUILD_PREFIX): value
        for key, value in description.model_info.items()
        if key.startswith(_BUILD_PREFIX)
    }
    if not told:
        return {}
    if description.awaited_build:
        return {"backend": description.awaited_build, "state": "made before the model is loaded"}
    backend = str(told.get("backend") or "another backend")
    kind = f"{told.get('weights') or 'another form'} for {backend}"
    numbers = {
        name: value
        for name, value in told.items()
        if isinstance(value, int | float) and name not in _BUILD_KEPT
    }
    return {"built as": _kept_as(description.model_info, _BUILD_PREFIX, kind)} | figure_facts(numbers)


def _kept_as(info: Mapping[str, object], prefix: str, kind: str) -> str:
    """Tell in one line how weights lie on disk: those of the model, or those of its build."""
    bits, size = info.get(f"{prefix}bits_per_weight"), info.get(f"{prefix}size")
    parts = (
        kind,
        f"{bits:.2f} bits per weight" if isinstance(bits, int | float) and bits else "",
        figures.size(size) if isinstance(size, int) and size else "",
    )
    return ", ".join(filter(None, parts))


def _pairs(facts: Mapping[str, str]) -> tuple[str, ...]:
    width = max((_LABEL_WIDTH, *(len(label) + 4 for label in facts)))
    return tuple(f"{harmless_line(label):{width}}{harmless_line(value)}" for label, value in facts.items())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in harmless(text).splitlines() if line.strip())
