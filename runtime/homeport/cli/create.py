"""``homeport create``: a model of one's own, from a Modelfile."""

import sys
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path

import click

from homeport.cli.answers import PullProgress
from homeport.cli.blob_upload import upload
from homeport.cli.client import Client, JsonObject
from homeport.cli.connection import connected
from homeport.cli.invocation import Invocation
from homeport.cli.model_definition import ModelDefinition, read_definition
from homeport.cli.model_files import files_of
from homeport.cli.modelfile import ModelfileError, decode_modelfile
from homeport.cli.options import pass_invocation
from homeport.cli.progress_steps import progress_steps
from homeport.cli.pull_display import Display, progress_display
from homeport.cli.text import harmless_line, write_json_line

_DEFAULT_FILE = "Modelfile"
_STANDARD_INPUT = "-"
_MAX_MODELFILE_BYTES = 16 * 1024**2
_EPILOG = """\b
Example:
  printf 'FROM smollm2:135m\\nSYSTEM Answer in one sentence.\\n' > Modelfile
  homeport create brief -f Modelfile
  homeport run brief "What is a kernel?\""""


@click.command("create", epilog=_EPILOG)
@click.argument("model")
@click.option(
    "-f", "--file", "file", metavar="FILE", default=_DEFAULT_FILE, show_default=True,
    help="The Modelfile; - is standard input.",
)  # fmt: skip
@click.option(
    "-q", "--quantize", metavar="LEVEL", help="What to make of the weights of a file: q4_0, q8_0, f16 ..."
)
@click.option("--json", "as_json", is_flag=True, help="Print each step as a line of JSON, for programs.")
@pass_invocation
def create(invocation: Invocation, *, model: str, file: str, quantize: str | None, as_json: bool) -> None:
    """Make MODEL as a Modelfile describes it: another model, or files, with its own texts and parameters.

    A model that FROM names and that is not installed is pulled first. Files that FROM names are uploaded
    to the server unless it has them.
    """
    folder = Path.cwd() if file == _STANDARD_INPUT else Path(file).absolute().parent
    definition = read_definition(decode_modelfile(_read(file)))
    for line in definition.warnings:
        click.echo(f"Warning: {harmless_line(line)}", err=True)
    files, base = _sources(definition, folder)
    quantised = {"quantize": quantize} if quantize else {}
    with connected(invocation) as client, progress_display() as display:
        origin: dict[str, object] = {"files": _uploaded(client, files, display)} if files else {"from": base}
        body = {"model": model, **origin, **definition.fields, **quantised}
        with closing(creation_steps(client, body)) as steps:
            for step in steps:
                if as_json:
                    write_json_line(step)
                else:
                    display(PullProgress.from_wire(step))


def creation_steps(client: Client, body: JsonObject) -> Generator[JsonObject, None, None]:
    """Make a model and yield each step as the server tells it; close it to cancel the work.

    Raises:
        AnswerError: The server refused, failed or broke off.
    """
    remedy = "Nothing was changed; create it again"
    return progress_steps(client, "/api/create", body, work="creation", remedy=remedy)


def _read(file: str) -> bytes:
    """Read the Modelfile.

    Raises:
        ModelfileError: It is not there, is no file, or is too long for one.
    """
    try:
        if file == _STANDARD_INPUT:
            data = sys.stdin.buffer.read(_MAX_MODELFILE_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(_MAX_MODELFILE_BYTES + 1)
    except OSError as error:
        raise ModelfileError(
            f"cannot read the Modelfile {file!r}: {error.strerror}",
            hint="Name it with -f FILE; `homeport show MODEL --modelfile` prints one to begin with",
        ) from error
    if len(data) > _MAX_MODELFILE_BYTES:
        raise ModelfileError(
            f"the Modelfile {file!r} is longer than {_MAX_MODELFILE_BYTES} bytes",
            hint="Weights are named in it: FROM ./weights.gguf",
        )
    return data


def _sources(definition: ModelDefinition, folder: Path) -> tuple[Mapping[str, Path], str]:
    """Tell the files that ``FROM`` names, and the model that it names where there are none."""
    files: dict[str, Path] = {}
    base = ""
    for source in definition.sources:
        found = files_of(source, folder)
        files.update(found)
        base = base if found else source
    if files and base:
        raise ModelfileError(
            f"FROM names both files and the model {base!r}", hint="Leave one of the FROM lines away"
        )
    return files, base


def _uploaded(client: Client, files: Mapping[str, Path], display: Display) -> Mapping[str, str]:
    """Bring files to the server, and give their digests by name."""
    return {name: upload(client, path, display) for name, path in files.items()}
