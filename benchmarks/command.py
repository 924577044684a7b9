"""What all commands share: their options, and the envelope around what they found."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import click
import platformdirs

from benchmarks.figures import Spread
from benchmarks.machine import machine_facts, versions
from benchmarks.peer import LlamaCpp, llama_cpp
from benchmarks.tables import Row, text_table
from homeport.worker.cores import usable_cores


@attrs.frozen(kw_only=True)
class Setup:
    """How a command was called.

    Attributes:
        quick: Few rounds of little work: to see that it runs, not to publish.
        models: Folder of the models that ``benchmarks.models`` made.
        peer: Interpreter of llama.cpp; None leaves it out.
        threads: Compute threads of all who compute.
    """

    quick: bool
    models: Path
    peer: Path | None
    threads: int

    def rounds(self, usual: int) -> int:
        """Give the number of repetitions."""
        return 1 if self.quick else usual

    @contextmanager
    def llama_cpp(self) -> Iterator[LlamaCpp | None]:
        """Lend the peer where there is one."""
        if self.peer is None:
            yield None
            return
        with llama_cpp(self.peer) as peer:
            yield peer


Measure = Callable[..., Sequence[Row]]


def command(name: str, *options: Callable[[Measure], Measure]) -> Callable[[Measure], click.Command]:
    """Turn a function of a :class:`Setup` that returns rows into a command that prints them.

    Args:
        name: Of the figures, in the output.
        options: click options of its own.
    """

    def wrap(measure: Measure) -> click.Command:
        @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
        @click.option("--quick", is_flag=True, help="Only show that it runs.")
        @click.option(
            "--models",
            type=click.Path(path_type=Path, file_okay=False),
            default=lambda: platformdirs.user_cache_path("homeport") / "benchmarks",
            help="Folder of the models that benchmarks.models makes.",
        )
        @click.option(
            "--llama-cpp",
            "peer",
            type=click.Path(path_type=Path, exists=True),
            help="Python, or its virtual environment, that has llama-cpp-python.",
        )
        @click.option("--threads", type=click.IntRange(1), default=usable_cores, help="Compute threads.")
        def run(*, as_json: bool, quick: bool, models: Path, peer: Path | None, threads: int, **own: object):
            setup = Setup(quick=quick, models=models, peer=peer, threads=threads)
            rows = measure(setup, **own)
            click.echo(json.dumps(_envelope(name, setup, own, rows)) if as_json else _text(rows))

        for option in reversed(options):
            run = option(run)
        return click.command(help=measure.__doc__)(run)

    return wrap


def _envelope(name: str, setup: Setup, own: dict[str, object], rows: Sequence[Row]) -> dict[str, object]:
    with setup.llama_cpp() as peer:
        rival = peer.facts() if peer else None
    return {
        "benchmark": name,
        "quick": setup.quick,
        "settings": {"threads": setup.threads, **{key: _plain(value) for key, value in own.items()}},
        "machine": machine_facts(setup.threads),
        "versions": versions(),
        "llama_cpp": rival,
        "results": [_plain(row) for row in rows],
    }


def _text(rows: Sequence[Row]) -> str:
    """Write a table for each measure."""
    groups = itertools.groupby((_plain(row) for row in rows), key=lambda row: row.get("measure"))
    return "\n\n".join(text_table(list(group)) for _, group in groups)


def _plain(value: object) -> object:
    match value:
        case Spread():
            return attrs.asdict(value)
        case dict():
            return {key: _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case Path():
            return value.name
        case _:
            return value
