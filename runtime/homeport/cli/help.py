"""``homeport help``: what ``--help`` says, as a verb."""

import click


@click.command("help", epilog="\b\nExample:\n  homeport help run")
@click.argument("verbs", metavar="[VERB]...", nargs=-1)
@click.pass_context
def show_help(ctx: click.Context, verbs: tuple[str, ...]) -> None:
    """Explain a verb, or list them all."""
    told = ctx.find_root()
    for name in verbs:
        if not isinstance(told.command, click.Group):
            raise click.UsageError(f"{told.info_name!r} has no verbs of its own", ctx=ctx)
        _, command, _ = told.command.resolve_command(told, [name])
        if command is not None:
            told = click.Context(command, info_name=name, parent=told)
    click.echo(told.get_help())
