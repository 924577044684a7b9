"""Options that several verbs share."""

import click

from homeport.cli.invocation import Invocation

pass_invocation = click.make_pass_decorator(Invocation)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
