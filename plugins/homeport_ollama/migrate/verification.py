"""Verifying a migration: the files, the new server, and the answers of both where the old one still runs."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import attrs

from homeport import BackendError, HomeportError, StoreError
from homeport_ollama.migrate.migrations import Migration
from homeport_ollama.migrate.plan import sha256
from homeport_ollama.migrate.project_file import project_file
from homeport_ollama.migrate.prompts import PROMPTS
from homeport_ollama.migrate.wire_client import AbsentError, WireClient

_ANSWER_TOKENS = 32
_SEED = 7
_FAILED = "failed: "
_KEYS = frozenset({"model", "created_at", "message", "done"})
"""What every whole answer of chat has."""


@attrs.frozen(kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether it is as it should be.
        message: What was seen.
    """

    name: str
    ok: bool
    message: str


@attrs.frozen(kw_only=True)
class Comparison:
    """Answers of the old and the new server to one prompt.

    Attributes:
        prompt: What was asked.
        old: What Ollama said.
        new: What homeport said.
        difference: In words; empty where they are the same.
    """

    prompt: str
    old: str
    new: str
    difference: str = ""


@attrs.frozen(kw_only=True)
class Verification:
    """All checks.

    Attributes:
        checks: In their order.
        comparisons: One per prompt; none where no old server was asked.
    """

    checks: tuple[Check, ...]
    comparisons: tuple[Comparison, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing failed; answers may differ, as those of two engines do."""
        return all(check.ok for check in self.checks)


def verify(
    migration: Migration,
    new: WireClient,
    old: WireClient | None,
    *,
    model: str | None,
    prompts: Sequence[str],
) -> Verification:
    """Look at the files, at the new server, and at the answers of both where there is an old one.

    Args:
        migration: The plan.
        new: Client of homeport.
        old: Client of Ollama; None compares nothing.
        model: Asked to chat; None takes the first of the plan's, or any, that all have.
        prompts: What both are asked.
    """
    checks = list(file_checks(migration))
    elder = None if old is None else _names(old)
    shared = [name for name in _names(new) or () if elder is None or name in elder]
    wanted = [name for name in migration.plan.models if name in shared]
    chosen = model or next(iter([*wanted, *shared]), None)
    checks += server_checks(new, migration.plan.models, chosen)
    comparisons: tuple[Comparison, ...] = ()
    if old is not None and (elder is None or chosen is None):
        why = "does not answer" if elder is None else "has no model that homeport has too"
        checks.append(Check(name="answers", ok=False, message=f"{old.url} {why}"))
    elif old is not None and chosen is not None:
        comparisons = tuple(compare(old, new, chosen, prompts))
        checks.append(comparison_check(comparisons))
    return Verification(checks=tuple(checks), comparisons=comparisons)


def file_checks(migration: Migration) -> Iterator[Check]:
    """See whether the files are as the plan has them."""
    for planned in migration.plan.files:
        try:
            with project_file(migration.plan.root, planned.path) as file:
                found = sha256(file.read()[0])
        except StoreError as error:
            yield Check(name=planned.path, ok=False, message=error.message)
            continue
        if found == planned.after:
            yield Check(name=planned.path, ok=True, message="is as planned")
        elif found == planned.before:
            yield Check(name=planned.path, ok=False, message="was not edited yet: homeport migrate apply")
        else:
            yield Check(name=planned.path, ok=False, message="was changed since")


def server_checks(client: WireClient, wanted: Sequence[str], model: str | None) -> Iterator[Check]:
    """See whether the new server answers all that clients ask.

    Args:
        client: Of the new server.
        wanted: Models that the project names.
        model: Asked to chat; None asks nobody.
    """
    yield _checked("version", lambda: f"{client.ask('GET', '/api/version').get('version')!s:.40}")
    yield _checked("tags", lambda: f"{len(model_names(client))} models at {client.url}")
    yield _checked("models", lambda: f"{_size(client.ask('GET', '/v1/models').get('data'))} models under /v1")
    for name in wanted:
        yield _checked(f"model {name}", partial(_resolved, client, name))
    if model is None:
        yield Check(name="chat", ok=True, message="skipped: no model is there to be asked")
        return
    yield _checked("chat", lambda: repr(chat(client, model, PROMPTS[0]))[:80])
    yield _checked("chat under /v1", lambda: _openai_chat(client, model))


def compare(old: WireClient, new: WireClient, model: str, prompts: Sequence[str]) -> Iterator[Comparison]:
    """Ask both servers the same.

    Args:
        old: Client of Ollama.
        new: Client of homeport.
        model: Which both have.
        prompts: What to ask.
    """
    for prompt in prompts:
        told = [_told(client, model, prompt) for client in (old, new)]
        yield Comparison(prompt=prompt, old=told[0], new=told[1], difference=_difference(*told))


def comparison_check(comparisons: Sequence[Comparison]) -> Check:
    """Sum up: a server that fails where the other answers is a fault, other words are not."""
    same = sum(not each.difference for each in comparisons)
    broken = [
        each for each in comparisons if each.new.startswith(_FAILED) and not each.old.startswith(_FAILED)
    ]
    message = f"{same} of {len(comparisons)} answers are the same to the letter, {len(broken)} failed"
    return Check(name="answers", ok=not broken, message=message)


def model_names(client: WireClient) -> list[str]:
    """List the models of a server.

    Raises:
        BackendError: It does not answer.
    """
    rows = client.ask("GET", "/api/tags").get("models")
    named = [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return [name for name in named if isinstance(name, str)]


def _names(client: WireClient) -> list[str] | None:
    try:
        return model_names(client)
    except BackendError:
        return None


def chat(client: WireClient, model: str, prompt: str) -> str:
    """Ask for a short answer, the same each time.

    Raises:
        BackendError: It does not come, or is none.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": False,
        "options": {"temperature": 0, "seed": _SEED, "num_predict": _ANSWER_TOKENS},
    }
    answer = client.ask("POST", "/api/chat", body)
    message = answer.get("message")
    if not answer.keys() >= _KEYS or not isinstance(message, dict):
        raise BackendError(f"the answer lacks {', '.join(sorted(_KEYS - answer.keys()))}")
    return str(message.get("content", ""))


def _told(client: WireClient, model: str, prompt: str) -> str:
    try:
        return chat(client, model, prompt)
    except HomeportError as error:
        return f"{_FAILED}{error.message}"


def _difference(old: str, new: str) -> str:
    if old == new:
        return ""
    if old.startswith(_FAILED) or new.startswith(_FAILED):
        return "one of them failed"
    common = next(
        (place for place, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None
    )
    return f"the same for {min(len(old), len(new)) if common is None else common} characters"


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, message=look())
    except HomeportError as error:
        return Check(name=name, ok=False, message=error.message)


def _resolved(client: WireClient, name: str) -> str:
    try:
        client.ask("POST", "/api/show", {"model": name})
    except AbsentError as error:
        raise BackendError(
            f"the project names it and {client.url} does not have it; get it with: homeport pull {name}"
        ) from error
    return "is there"


def _openai_chat(client: WireClient, model: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPTS[0]}],
        "max_completion_tokens": _ANSWER_TOKENS,
        "temperature": 0,
    }
    answer = client.ask("POST", "/v1/chat/completions", body)
    return f"{_size(answer.get('choices'))} choice"


def _size(value: object) -> int:
    return len(value) if isinstance(value, list) else 0
