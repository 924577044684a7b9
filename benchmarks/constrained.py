"""What a form costs: compiling it, a mask per token, and tokens per second with and without one.

    python -m benchmarks.constrained --folder FOLDER --json

Everything runs in this process: the engine with homeport's own backend, without HTTP.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click
from loguru import logger

from benchmarks.command import Setup, command
from benchmarks.figures import Spread, interleaved, rounded
from benchmarks.installed import folder_of
from benchmarks.models import STARTER
from homeport import Constraint, ConstraintKind, Finished, GenerationRequest, LoadPlan, Sampling, TextPrompt
from homeport.engine.constraint_compiler import ConstraintCompiler
from homeport.engine.engine import Engine
from homeport.engine.tokenizer import TextTokenizer
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel

_ROUNDS = 3
_MICROSECONDS = 1e6
_MILLISECONDS = 1e3
_TOKENS = 120
_QUICK_TOKENS = 12
_ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "quantity": {"type": "integer", "minimum": 1, "maximum": 999},
        "colour": {"enum": ["red", "green", "blue"]},
        "in_stock": {"type": "boolean"},
    },
    "required": ["name", "quantity", "colour", "in_stock"],
    "additionalProperties": False,
}
FORMS = {
    "json": Constraint(ConstraintKind.JSON_OBJECT),
    "schema": Constraint(
        ConstraintKind.JSON_SCHEMA, json.dumps({"type": "array", "items": _ITEM, "minItems": 20})
    ),
    "regex": Constraint(ConstraintKind.REGEX, r"([A-Z][a-z]{2,9} ){50}"),
}
_TEXTS = {
    "json": '{"name": "apple", "quantity": 12, "tags": ["a", "b", "some longer text"], "price": 1.25}',
    "schema": '[{"name": "apple", "quantity": 12, "colour": "red", "in_stock": true}, {"name": "pear"',
    "regex": "Apple Pear Banana Cherry Walnut ",
}


@command(
    "constrained",
    click.option(
        "--folder",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Stored model; by default the starter among the benchmarks' models.",
    ),
    click.option("--rows", type=int, multiple=True, default=(1, 8), show_default=True),
)
def main(setup: Setup, *, folder: Path | None, rows: tuple[int, ...]):
    """Measure what forms of answers cost."""
    logger.disable("homeport")
    logger.disable("homeport_transformers")
    folder = folder or folder_of(setup.models, STARTER, "published")
    plan = LoadPlan(context_length=1024, slots=max(rows), threads=setup.threads)
    model = TransformersModel(TransformersConfig())
    facts = model.load(folder, plan)
    tokenizer = TextTokenizer(folder)
    found = _compiling(tokenizer, facts.vocabulary_size)
    engine = Engine(model, facts, tokenizer, plan)
    for count in rows:
        found += _speeds(setup, engine, count)
    return found


def _compiling(tokenizer: TextTokenizer, vocabulary_size: int):
    """Time the vocabulary, each form's compilation and the masks of a typical answer."""
    compiler = ConstraintCompiler(tokenizer, vocabulary_size)
    found = []
    for name, constraint in FORMS.items():
        grammar = compiler.grammar(constraint, None, None)
        started = time.perf_counter()
        compiler.compile(grammar)
        first = time.perf_counter() - started
        started = time.perf_counter()
        matcher = compiler.compile(grammar)
        again = time.perf_counter() - started
        masks, takes = [], []
        for token in tokenizer.encode(_TEXTS[name], add_special_tokens=False):
            masks.append(_seconds(matcher.allowed) * _MICROSECONDS)
            takes.append(_seconds(partial(matcher.take, token)) * _MICROSECONDS)
        found.append(
            {
                "measure": "form",
                "form": name,
                "vocabulary": vocabulary_size,
                "first_ms": rounded(first * _MILLISECONDS),
                "compile_ms": rounded(again * _MILLISECONDS),
                "mask_us": Spread.of(masks),
                "take_us": Spread.of(takes),
            }
        )
    return found


def _speeds(setup: Setup, engine: Engine, rows: int):
    """Compare tokens per second of the same number of streams with each form and without one."""
    tokens = _QUICK_TOKENS if setup.quick else _TOKENS
    rivals = {"free": partial(_speed, engine, None, rows, tokens)}
    for name, constraint in FORMS.items():
        rivals[name] = partial(_speed, engine, constraint, rows, tokens)
    taken = interleaved(rivals, setup.rounds(_ROUNDS))
    return [
        {"measure": "speed", "rows": rows, "form": name, "tokens_per_second": Spread.of(values)}
        for name, values in taken.items()
    ]


def _speed(engine: Engine, constraint: Constraint | None, rows: int, tokens: int) -> float:
    """Give the tokens per second of all streams together, their prompts left out."""
    for number in range(rows):
        sampling = Sampling(seed=number, max_tokens=tokens, ignores_end=True)
        prompt = TextPrompt(f"{number}. A list of twenty things, each with its name, quantity and colour:\n")
        engine.submit(
            GenerationRequest(
                id=str(number), model="", prompt=prompt, sampling=sampling, constraint=constraint
            )
        )
    engine.step()
    done = 0
    started = time.perf_counter()
    while engine.busy:
        for told in engine.step():
            if isinstance(told.event, Finished):
                done += told.event.usage.completion_tokens
    return rounded(done / (time.perf_counter() - started))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
