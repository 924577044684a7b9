"""The ``homeport`` command: global options, lazily imported verbs, exit codes.

Exit codes: 0 done, 1 failed, 2 a wrong command line or setting, 130 interrupted.
"""

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from homeport.cli.invocation import Invocation
from homeport.cli.verbs import ALIASES, PLUGIN_VERBS, VERBS
from homeport.domain.errors import ConfigError, HomeportError

EXIT_FAILED = 1
EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130

_EPILOG = """\b
Example:
  homeport run smollm2:135m "What is the capital of France?"

Other plugins may add verbs; `homeport plugins` lists them as commands:NAME."""


class VerbGroup(click.Group):
    """A group that knows its verbs by table and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the built-in verbs, most used first."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a built-in verb, or find it among the plugins."""
        verb = VERBS.get(ALIASES.get(cmd_name, cmd_name))
        if verb is None and ctx.resilient_parsing:
            with suppress(HomeportError):  # a shell that completes shows no errors
                return _plugin_verb(ctx, cmd_name)
        if verb is None:
            return _plugin_verb(ctx, cmd_name)
        module_name, _, attribute = verb.reference.partition(":")
        command: click.Command = getattr(import_module(module_name), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the command line names.

        Raises:
            click.UsageError: There is none; names the nearest.
        """
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise click.UsageError(_unknown_verb(args[0]), ctx=ctx)
        return args[0], command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the verbs with their summaries."""
        with formatter.section("Verbs"):
            formatter.write_dl([(_with_aliases(name), verb.summary) for name, verb in VERBS.items()])
        with formatter.section("Verbs of plugins that come along, unless they are disabled"):
            formatter.write_dl([(name, verb.summary) for name, verb in PLUGIN_VERBS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a verb from the tables, an option as click does."""
        summaries = {name: verb.summary for name, verb in VERBS.items()}
        summaries |= {name: verb.summary for name, verb in PLUGIN_VERBS.items()}
        summaries |= {alias: summaries[name] for alias, name in ALIASES.items()}
        verbs = [
            CompletionItem(name, help=summary)
            for name, summary in summaries.items()
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]


def _with_aliases(name: str) -> str:
    return ", ".join((name, *(alias for alias, meant in ALIASES.items() if meant == name)))


def _unknown_verb(name: str) -> str:
    """Say what is known instead, or whose verb it would be."""
    if name in PLUGIN_VERBS:
        plugin = PLUGIN_VERBS[name].plugin
        return f"the verb {name!r} is the plugin {plugin!r}'s, which does not run; see `homeport plugins`"
    known = (*VERBS, *ALIASES, *PLUGIN_VERBS)
    near = get_close_matches(name, known, n=1)
    return f"no verb {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}")


def _plugin_verb(ctx: click.Context, name: str) -> click.Command | None:
    from homeport.cli.plugin_verbs import find_verb  # noqa: PLC0415 - plugins load only for verbs unknown here
    from homeport.cli.unsupported import unsupported_verb  # noqa: PLC0415

    return find_verb(Invocation(**ctx.params), name) or unsupported_verb(name)


def _blocked(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.startswith("no:") or value == "no:":
            raise click.BadParameter(
                f"expected no:NAME, got {value!r}; NAME is a plugin of `homeport plugins`"
            )
    return tuple(value.removeprefix("no:") for value in values)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if wanted and not ctx.resilient_parsing:
        from homeport.cli.version import print_versions  # noqa: PLC0415 - 40 ms

        print_versions(Invocation(**ctx.params))
        ctx.exit()


@click.group(cls=VerbGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-p", "blocked", metavar="no:NAME", multiple=True, callback=_blocked,
    help="Never import this plugin. Repeatable.",
)  # fmt: skip
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
    help="Settings file, instead of the user's own homeport.toml.",
)  # fmt: skip
@click.option("--home", metavar="DIR", type=click.Path(file_okay=False), help="Folder of models and state.")
@click.option("--log-level", metavar="LEVEL", help="TRACE, DEBUG, INFO, WARNING or ERROR.")
@click.option(
    "-v", "--version", is_flag=True, expose_value=False, callback=_print_version,
    help="Print the versions of the server and of this command, and leave.",
)  # fmt: skip
@click.pass_context
def homeport(ctx: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - as Invocation declares them
    """Run language models at home, behind the Ollama and the OpenAI API."""
    ctx.obj = Invocation(**options)


def execute(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; errors are told on standard error."""
    try:
        result = homeport.main(args=list(arguments), prog_name="homeport", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as abort:
        return EXIT_INTERRUPTED if isinstance(abort.__cause__, KeyboardInterrupt) else EXIT_FAILED
    except HomeportError as error:
        tell(error)
        return EXIT_REFUSED if isinstance(error, ConfigError) else EXIT_FAILED
    return result if isinstance(result, int) else 0


def tell(error: HomeportError) -> None:
    """Write what failed and how to mend it on standard error."""
    click.echo(f"Error: {error.message}", err=True)
    if error.hint:
        click.echo(error.hint, err=True)


def main() -> NoReturn:
    """Run the process's command line and end the process."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Piped text may be of any encoding; one odd byte is no reason to refuse the rest.
        sys.stdin.reconfigure(errors="replace")
    sys.exit(execute(sys.argv[1:]))
