"""``homeport migrate``: from Ollama to homeport and back."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import click

from homeport import HomeportError, InvalidRequestError
from homeport_ollama.migrate import verification
from homeport_ollama.migrate.addresses import OLLAMA_PORT, SIDE_PORT, Target, Targets
from homeport_ollama.migrate.application import apply, roll_back
from homeport_ollama.migrate.layout import named_plan, plan_text, printable, report_text, verification_text
from homeport_ollama.migrate.migrations import Migration, Migrations
from homeport_ollama.migrate.page import page
from homeport_ollama.migrate.plan import make_plan
from homeport_ollama.migrate.prompts import LEAST_PROMPTS, prompts_of
from homeport_ollama.migrate.report import make_report
from homeport_ollama.migrate.tree import root_of
from homeport_ollama.migrate.wanted_models import installed_names
from homeport_ollama.migrate.wire_client import WireClient
from homeport_ollama.store import OllamaStore
from homeport_ollama.store_config import OllamaStoreConfig
from homeport_ollama.store_damage import StoreDamage

_FAILED = 1
_MODELS = "models"
"""Where homeport keeps its models, below its own folder."""
_SIDE = f"http://127.0.0.1:{SIDE_PORT}"

_folder_argument = click.argument("folder", default=".")
_plan_argument = click.argument("plan_id", metavar="[PLAN]", required=False)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_to_option = click.option(
    "--to", default=_SIDE, show_default=True, metavar="URL", help="Where clients are to find homeport."
)
_inner_option = click.option(
    "--to-container",
    "inner",
    metavar="URL",
    help="Where containers are to find it, in place of addresses such as http://ollama:11434.",
)
_from_option = click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="HOST:PORT",
    help=f"A further place of an Ollama, besides port {OLLAMA_PORT} of this machine; may be repeated.",
)


def migrate_command(config: OllamaStoreConfig, *, state: Path) -> click.Group:
    """Build the verb.

    Args:
        config: Where Ollama's models are.
        state: Folder of plans and backups, ``state/<plugin>`` below homeport's own.
    """
    migrations = Migrations(state)

    @click.group("migrate", epilog="\b\nExample:\n  homeport migrate report ~/my-project")
    def migrate() -> None:
        """Move a project from Ollama to homeport, and back. Ollama itself is never touched."""

    for command in (
        _report(config, models=state.parent.parent / _MODELS),
        _plan(migrations),
        _apply(migrations),
        _rollback(migrations),
        _verify(migrations),
    ):
        migrate.add_command(command)
    return migrate


def _report(config: OllamaStoreConfig, *, models: Path) -> click.Command:
    @click.command("report", epilog="\b\nExample:\n  homeport migrate report . --html report.html")
    @_folder_argument
    @_to_option
    @_inner_option
    @_from_option
    @click.option(
        "--html", metavar="FILE", type=click.Path(dir_okay=False), help="Also write a page to FILE."
    )
    @click.option(
        "--quick", is_flag=True, help="Do not check the bytes of Ollama's models, only their sizes."
    )
    @_json_option
    def report_command(
        folder: str,
        *,
        to: str,
        inner: str | None,
        sources: tuple[str, ...],
        html: str | None,
        quick: bool,
        as_json: bool,
    ) -> None:
        """Print every place in FOLDER that speaks of Ollama, the models it names, and those of Ollama."""
        root = config.root if config.enabled else None
        report = make_report(
            root_of(folder),
            _targets(to, inner),
            _places(sources),
            shelved=() if root is None else OllamaStore(config).survey(),
            damage=None if quick or root is None else StoreDamage(root).of,
            installed=installed_names(models),
        )
        if html is not None:
            _write(html, page(report))
        click.echo(_json(attrs.asdict(report)) if as_json else report_text(report))

    return report_command


def _plan(migrations: Migrations) -> click.Command:
    @click.command("plan", epilog="\b\nExample:\n  homeport migrate plan . --to http://127.0.0.1:11435")
    @_folder_argument
    @_to_option
    @_inner_option
    @_from_option
    @_json_option
    def plan_command(
        folder: str, *, to: str, inner: str | None, sources: tuple[str, ...], as_json: bool
    ) -> None:
        """Print the edits that FOLDER needs, as a diff, and keep them as a plan. Changes nothing."""
        plan = make_plan(root_of(folder), _targets(to, inner), _places(sources))
        migrations.add(plan)
        last = migrations.find(None).plan
        click.echo(_json(attrs.asdict(plan) | {"last": last.id}) if as_json else plan_text(plan, last))

    return plan_command


def _apply(migrations: Migrations) -> click.Command:
    @click.command("apply", epilog="\b\nExample:\n  homeport migrate apply")
    @_plan_argument
    @_json_option
    def apply_command(plan_id: str | None, *, as_json: bool) -> None:
        """Edit the files of PLAN, which is the last one where none is named; backups come first."""
        with migrations.locked():
            migration = migrations.find(plan_id)
            if not as_json:
                click.echo(f"Plan {named_plan(migration.plan)}:")
            count = apply(migration, _told(as_json=as_json))
        _done(migration, "replaced", count, as_json=as_json)

    return apply_command


def _rollback(migrations: Migrations) -> click.Command:
    @click.command("rollback", epilog="\b\nExample:\n  homeport migrate rollback")
    @_plan_argument
    @click.option(
        "--force", is_flag=True, help="Also restore files that were changed after the plan was applied."
    )
    @_json_option
    def rollback_command(plan_id: str | None, *, force: bool, as_json: bool) -> None:
        """Restore the files of PLAN byte for byte, also after an apply that was killed."""
        with migrations.locked():
            migration = migrations.find(plan_id, begun=True)
            count = roll_back(migration, _told(as_json=as_json), force=force)
        _done(migration, "restored", count, as_json=as_json)

    return rollback_command


def _verify(migrations: Migrations) -> click.Command:
    @click.command("verify", epilog="\b\nExample:\n  homeport migrate verify --old http://127.0.0.1:11434")
    @_plan_argument
    @click.option("--to", metavar="URL", help="Where homeport is; that of the plan where it is not given.")
    @click.option("--old", metavar="URL", help="Where Ollama still is, to compare answers with.")
    @click.option("--model", metavar="NAME", help="Asked to chat; the first that both have where not given.")
    @click.option(
        "--prompts",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"At least {LEAST_PROMPTS} prompts, one a line, instead of ours.",
    )
    @click.option(
        "--key",
        metavar="KEY",
        envvar=["HOMEPORT_API_KEY", "OLLAMA_API_KEY"],
        default="",
        help="Key of the new server; better set HOMEPORT_API_KEY.",
    )
    @_json_option
    def verify_command(
        plan_id: str | None,
        *,
        to: str | None,
        old: str | None,
        model: str | None,
        prompts: Path | None,
        key: str,
        as_json: bool,
    ) -> None:
        """Look whether the files of PLAN are edited and homeport answers all they ask for."""
        migration = migrations.find(plan_id)
        new = WireClient(Target.parse(to or migration.plan.to), key=key)
        elder = None if old is None else WireClient(Target.parse(old))
        if elder is not None and elder.url == new.url:
            raise InvalidRequestError(f"--old and --to are both {new.url}; name Ollama's own address")
        found = verification.verify(migration, new, elder, model=model, prompts=prompts_of(prompts))
        click.echo(_json({"ok": found.ok, **attrs.asdict(found)}) if as_json else verification_text(found))
        if not found.ok:
            raise click.exceptions.Exit(_FAILED)

    return verify_command


def _targets(outer: str, inner: str | None) -> Targets:
    return Targets(Target.parse(outer), None if inner is None else Target.parse(inner))


def _places(sources: Iterable[str]) -> frozenset[str]:
    return frozenset(Target.parse(source).place.lower() for source in sources)


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise HomeportError(f"{path!r} cannot be written: {error.strerror}") from error


def _told(*, as_json: bool) -> Callable[[str], None]:
    return (lambda _: None) if as_json else lambda path: click.echo(printable(path))


def _done(migration: Migration, verb: str, count: int, *, as_json: bool) -> None:
    if as_json:
        plan = migration.plan
        told = {"plan": plan.id, "root": plan.root, "edits": plan.edit_count}
        click.echo(_json({**told, verb: count}))
    else:
        click.echo(f"{count} files {verb}, plan {migration.plan.id}." if count else "Nothing had to be done.")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=True)
