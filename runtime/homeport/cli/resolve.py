"""``homeport models resolve``: which model a name means, and why."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import click

from homeport.cli.answers import InstalledModel, ModelDescription, listed
from homeport.cli.application import EXIT_FAILED
from homeport.cli.client import AnswerError, Client, JsonObject, NoServerError
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.machine_memory import MachineMemory
from homeport.cli.options import json_option, pass_invocation
from homeport.cli.resolution_report import Finding, report
from homeport.cli.text import harmless_line, write_json
from homeport.domain.errors import HomeportError
from homeport.domain.models import Capability, ModelInfo
from homeport.gateway.routing.tiers import tier_of, word_of
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName
from homeport.models.resolution import expected_model, find_pair, memory_need

ALIASES_FILE = "aliases.toml"
_PROGRAM = "ollama"
_EPILOG = """\b
Examples:
  homeport models resolve tinyllama --explain
  homeport models resolve deepseek-r1:8b --json"""


class UnknownNameError(HomeportError):
    """A name that means nothing here; never guessed at."""

    code = "unknown_name"

    def __init__(self, message: str, *, suggestions: Sequence[str] = (), hint: str | None = None) -> None:
        near = f"Did you mean {' or '.join(suggestions)}?" if suggestions else None
        super().__init__(message, hint=" ".join(filter(None, (hint, near))) or None)
        self.suggestions = tuple(suggestions)


@attrs.frozen(kw_only=True)
class _Offer:
    """What a server offers, as far as it can be asked."""

    installed: Mapping[ModelName, JsonObject]
    routes: Sequence[JsonObject]
    client: Client | None

    def describe(self, name: ModelName) -> ModelInfo | None:
        """Describe the model that bears exactly this name; None where none does."""
        row = self.installed.get(name)
        if row is None or self.client is None:
            return None
        answer = self.client.ask("POST", "/api/show", {"model": row["name"]})
        return _model(InstalledModel.from_wire(row), ModelDescription.from_wire(answer))

    def route(self, word: str) -> JsonObject | None:
        """Find a tier or a route, also by the word that agents use for a tier."""
        tier = tier_of(word)
        wanted = word if tier is None else tier.value
        return next((each for each in self.routes if str(each.get("name")).lower() == wanted), None)


@click.command("resolve", epilog=_EPILOG)
@click.argument("name")
@click.option("--explain", is_flag=True, help="Tell evidence, confidence, licence, gate and memory too.")
@json_option
@pass_invocation
def resolve(invocation: Invocation, *, name: str, explain: bool, as_json: bool) -> None:
    """Say which model NAME means. Exits 1 where that is unknown, or contradicted by a model that is here.

    Nothing is guessed: names come from the table that homeport ships and from aliases.toml in its folder.
    Memory is that of this machine, with the window that models get by default.
    """
    try:
        finding = _find(invocation, name)
    except UnknownNameError as error:
        if not as_json:
            raise
        write_json(
            {"name": name, "error": error.message, "suggestions": error.suggestions, "hint": error.hint}
        )
        raise click.exceptions.Exit(EXIT_FAILED) from error
    if as_json:
        write_json(finding.as_json())
    else:
        for line in report(finding, explain=explain):
            click.echo(line)
    if finding.conflict:
        if not as_json:
            click.echo(f"Error: {finding.conflict}", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


def _find(invocation: Invocation, text: str) -> Finding:
    name = ModelName.parse(text)
    settings = invocation.load().settings
    own_table = settings.home / ALIASES_FILE
    table = AliasTable.load(own_table if own_table.is_file() else None)
    try:
        with connected(invocation) as client:
            offer = _offer(client)
            installed = offer.describe(name)
    except NoServerError as error:
        click.echo(f"Warning: {error.message}; what is installed there is not considered", err=True)
        offer, installed = _Offer(installed={}, routes=(), client=None), None
    if installed is None and name.is_cloud:
        raise _in_the_cloud(text, table)
    route = offer.route(word_of(text)) if installed is None else None
    if route is not None:
        return Finding(asked=text, route=route)
    pair = find_pair(table, name, installed)
    if pair is None:
        raise _unknown(text, table, offer)
    model = installed or (expected_model(pair.alias) if pair.alias else None)
    need = memory_need(model, settings.models.context_length) if model else None
    memory = MachineMemory.look(settings.models)
    return Finding(asked=text, pair=pair, model=model, is_installed=bool(installed), need=need, memory=memory)


def _offer(client: Client) -> _Offer:
    rows = listed(client.ask("GET", "/api/tags"))
    try:
        routes = client.ask("GET", "/v1/routes").get("data")
    except AnswerError:  # another server than ours
        routes = None
    return _Offer(
        installed={ModelName.parse(str(row.get("name"))): row for row in rows},
        routes=[each for each in routes if isinstance(each, dict)] if isinstance(routes, list) else [],
        client=client,
    )


def _model(row: InstalledModel, description: ModelDescription) -> ModelInfo:
    """Put together what two routes tell of a model."""
    info: Mapping[str, Any] = description.model_info
    family = str(info.get("general.architecture") or description.details.get("family") or "")
    known = {capability.value: capability for capability in Capability}
    return ModelInfo(
        name=row.name,
        digest=row.digest,
        backend="",
        size_bytes=row.size_bytes,
        modified_at=datetime.now(UTC),
        capabilities=frozenset(known[word] for word in description.capabilities if word in known),
        family=family,
        parameter_count=_count(info, "general.parameter_count"),
        weights=str(info.get("homeport.weights") or ""),
        context_length=_count(info, f"{family}.context_length"),
        embedding_length=_count(info, f"{family}.embedding_length"),
        license=description.license,
        parent=str(description.details.get("parent_model") or ""),
        facts=info,
    )


def _count(info: Mapping[str, Any], key: str) -> int:
    value = info.get(key)
    return value if isinstance(value, int) else 0


def _in_the_cloud(text: str, table: AliasTable) -> UnknownNameError:
    plain = text.strip().lower().removesuffix("-cloud").removesuffix(":cloud")
    return UnknownNameError(
        f"{harmless_line(text)!r} runs in Ollama's cloud, which is not found here",
        suggestions=table.nearest(plain),
        hint="Pull a model that runs here, or name a server that has it with [plugins.remote].",
    )


def _unknown(text: str, table: AliasTable, offer: _Offer) -> UnknownNameError:
    if word_of(text) == _PROGRAM:
        return UnknownNameError(
            f"{harmless_line(text)!r} is the name of a program and of its container image, not of a model",
            hint="`homeport list` tells the models that are here.",
        )
    installed = [name.display for name in offer.installed]
    return UnknownNameError(
        f"no model is known as {harmless_line(text)!r}, and nothing is guessed",
        suggestions=table.nearest(text, installed),
        hint="A repository of the Hugging Face hub is OWNER/NAME; names of your own go into aliases.toml.",
    )
