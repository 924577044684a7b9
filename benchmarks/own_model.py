"""homeport's local backends in this process, without engine and HTTP, timed as the peer is."""

import hashlib
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
from loguru import logger
from numpy.typing import NDArray

from benchmarks.tables import Row
from homeport import BackendSpec, BuildPlan, LoadPlan, Settings, TokenBatch, TokenModel, TokenRow
from homeport.plugin.imports import import_object
from homeport.plugin.manager import load_plugins

TORCH, ONNX = "transformers-cpu", "onnx-cpu"
BACKENDS = (TORCH, ONNX)
"""The usual one first."""
OUR_NAMES = {TORCH: "homeport", ONNX: "homeport onnx-cpu"}
"""What they are called in results."""

one_backend = click.option("--backend", type=click.Choice(BACKENDS), default=BACKENDS[0], show_default=True)
"""An option that names what computes."""


def several_backends(measure: Callable[..., Sequence[Row]]) -> Callable[..., Sequence[Row]]:
    """Add options that name what computes, which take turns, and their settings."""
    for option in (
        click.option("--setting", "settings", multiple=True, help="Of a backend, as isa=avx2. Repeatable."),
        click.option(
            "--backend",
            "backends",
            type=click.Choice(BACKENDS),
            multiple=True,
            default=BACKENDS[:1],
            show_default=True,
            help="Repeatable: they take turns.",
        ),
    ):
        measure = option(measure)
    return measure


_FIRST_TOKEN = 1000
"""Tokens to time with are drawn above the special ones, as the peer's are."""
_TIMING_SEED = 1


class OwnModel:
    """A loaded model.

    Args:
        folder: As ``homeport pull`` stored it.
        threads: Compute threads.
        context: Tokens of one sequence.
        sequences: How many run at once.
        backend: What computes it.
    """

    def __init__(
        self, folder: Path, *, threads: int, context: int, sequences: int, backend: "OwnBackend"
    ) -> None:
        self._model = backend.model()
        plan = LoadPlan(context_length=context, slots=sequences, threads=threads)
        self.facts = self._model.load(folder, plan)

    def prefill(self, tokens: int) -> float:
        """Give the seconds of one prompt."""
        row = TokenRow(0, 0, self._draw(tokens), 1)
        started = time.perf_counter()
        self._model.forward(TokenBatch((row,)))
        return time.perf_counter() - started

    def decode(self, rows: int, depth: int, steps: int) -> float:
        """Give the median seconds of a step of ``rows`` sequences that hold ``depth`` tokens."""
        self._model.forward(TokenBatch((TokenRow(0, 0, self._draw(depth), 1),)))
        for row in range(1, rows):
            self._model.copy_prefix(0, row, depth)
        seconds = []
        for step in range(steps + 1):
            tokens = self._draw(rows)
            batch = TokenBatch(
                tuple(TokenRow(row, depth + step, tokens[row : row + 1], 1) for row in range(rows))
            )
            started = time.perf_counter()
            self._model.forward(batch)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[1:])

    def logits(self, window: Sequence[int]) -> NDArray[np.float32]:
        """Compute the logits behind every token of a text: float32 [tokens, vocabulary]."""
        return self._model.forward(TokenBatch((TokenRow(0, 0, list(window), len(window)),)))

    def _draw(self, count: int) -> list[int]:
        draw = np.random.default_rng(_TIMING_SEED)
        return [int(token) for token in draw.integers(_FIRST_TOKEN, self.facts.vocabulary_size, count)]


@attrs.frozen(kw_only=True)
class OwnBackend:
    """One of homeport's local backends, with its settings.

    Attributes:
        record: How it was declared.
        config: Its settings.
    """

    record: BackendSpec
    config: Any

    @classmethod
    def of(cls, name: str, settings: Sequence[str] = ()) -> "OwnBackend":
        """Find a backend, and give it those of ``name=value`` settings that it has, as ``isa=avx2``."""
        record = load_plugins(Settings()).backends[name].record
        assert record.config is not None  # noqa: S101 - both have settings
        fields = {field.name: str(field.type) for field in attrs.fields(record.config)}
        pairs = [setting.partition("=")[::2] for setting in settings]
        given = {key: _value(text, fields[key]) for key, text in pairs if key in fields}
        return cls(record=record, config=record.config(**given))

    def model(self) -> TokenModel:
        """Give one that nothing is loaded into, and that logs nothing."""
        logger.disable(self.record.factory.partition(".")[0])
        return import_object(self.record.factory)(self.config)

    def prepared(self, stored: Path, builds: Path, threads: int) -> tuple[Path, float | None]:
        """Give the folder that it loads for a stored model, and its bits per weight.

        Args:
            stored: The model.
            builds: Where builds are kept from run to run, each below what it depends on.
            threads: Compute threads.
        """
        if self.record.builder is None:
            return stored, None
        builder = import_object(self.record.builder)(self.config)
        told = f"{stored.name} {builder.version} {self.config}"
        folder = builds / self.record.name / hashlib.sha256(told.encode()).hexdigest()[:16]
        report = folder / "report.json"
        if not report.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            unpacked = shutil.ignore_patterns("*.safetensors", "manifest.json")
            shutil.copytree(stored, folder, ignore=unpacked)
            built = builder.build(stored, folder, BuildPlan(threads=threads), lambda *_: None)
            report.write_text(json.dumps(attrs.asdict(built)), encoding="utf-8")
        return folder, json.loads(report.read_text(encoding="utf-8"))["bits_per_weight"]


def own_backends(names: Sequence[str], settings: Sequence[str]) -> dict[str, OwnBackend]:
    """Find backends by name.

    Raises:
        click.ClickException: None of them has a setting.
    """
    found = {name: OwnBackend.of(name, settings) for name in names}
    known = {field.name for each in found.values() for field in attrs.fields(type(each.config))}
    for setting in settings:
        if setting.partition("=")[0] not in known:
            raise click.ClickException(f"{setting!r} is no setting of {' or '.join(names)}")
    return found


def _value(text: str, kind: str) -> object:
    if "bool" in kind:
        return text == "true"
    return int(text) if "int" in kind else text
