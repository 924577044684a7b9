"""Tokens per second of the forward pass, in process: decoding by rows, prompts by length, both by threads.

    python -m benchmarks.engine --model 1.1b --quant int4 --llama-cpp PYTHON --json
    python -m benchmarks.engine --model starter --quant published --backend onnx-cpu --json

The peer computes the same weights, in the same rounds. Nothing but the forward pass is timed, on both sides.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import attrs
import click

from benchmarks.command import Setup, command
from benchmarks.figures import Spread, interleaved, rounded
from benchmarks.installed import PUBLISHED, QUANTS, folder_of
from benchmarks.machine import bf16_flops, read_bandwidth
from benchmarks.model_files import ModelFiles
from benchmarks.models import PEER_KIND, STARTER, peer_file
from benchmarks.own_model import OUR_NAMES, TORCH, OwnBackend, OwnModel, own_backends, several_backends
from benchmarks.peer import LlamaCpp, bits_per_weight, read_bytes
from benchmarks.random_llama import SIZES

_DEPTH = 128
_ROWS = (1, 2, 4, 8, 16, 32)
_PROMPTS = (32, 128, 512, 2048)
_STEPS = 16
_THREAD_ROWS = (1, 8)
_THREAD_PROMPT = 512
_ROUNDS = 5
_PEER = "llama.cpp"


class Contender(Protocol):
    """What is timed."""

    def prefill(self, tokens: int) -> float:
        """Give the seconds of one prompt."""
        ...

    def decode(self, rows: int, depth: int, steps: int) -> float:
        """Give the seconds of a step."""
        ...


@attrs.frozen(kw_only=True)
class _Rival:
    """One of our backends, and what it loads."""

    backend: OwnBackend
    folder: Path
    bits: float


@attrs.frozen(kw_only=True)
class _Match:
    """Ours, the peer if there is one, and what limits all."""

    setup: Setup
    rivals: Mapping[str, _Rival]
    gguf: Path | None
    files: ModelFiles
    label: str
    bandwidth: Mapping[int, float]
    flops: Mapping[int, float]

    def engines(self) -> dict[str, dict[str, object]]:
        """Describe the contenders."""
        told: dict[str, dict[str, object]] = {
            name: {"bits": round(rival.bits, 2)} for name, rival in self.rivals.items()
        }
        if self.gguf is not None:
            told[_PEER] = {"bits": round(bits_per_weight(self.gguf), 2)}
        return told


@command(
    "engine",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option("--quant", type=click.Choice([*QUANTS, PUBLISHED]), default="int4", show_default=True),
    several_backends,
    click.option("--rows", type=int, multiple=True, default=_ROWS, show_default=True),
    click.option("--prompt", "prompts", type=int, multiple=True, default=_PROMPTS, show_default=True),
)
def main(
    setup: Setup,
    *,
    model: str,
    quant: str,
    backends: Sequence[str],
    settings: Sequence[str],
    rows: Sequence[int],
    prompts: Sequence[int],
):
    """Measure decoding and prompts, beside llama.cpp where it is given, with the limits of the machine."""
    folder = folder_of(setup.models, model, quant)
    files = ModelFiles.read(folder)
    kind = PEER_KIND[quant]
    counts = [setup.threads] if setup.quick else range(1, setup.threads + 1)
    match = _Match(
        setup=setup,
        rivals=_rivals(setup, folder, files, own_backends(backends, settings)),
        gguf=peer_file(setup.models, model, kind) if setup.peer else None,
        files=files,
        label=f"{model} {quant}",
        bandwidth={threads: read_bandwidth(threads) for threads in counts},
        flops={threads: bf16_flops(threads) for threads in counts},
    )
    with setup.llama_cpp() as peer:
        found = _decoding(match, peer, rows[:2] if setup.quick else rows, setup.threads)
        found += _prompts(match, peer, prompts[:2] if setup.quick else prompts, setup.threads)
        for threads in set(counts) - {setup.threads}:
            found += _decoding(match, peer, _THREAD_ROWS, threads)
            found += _prompts(match, peer, (_THREAD_PROMPT,), threads)
    return found


def _rivals(
    setup: Setup, stored: Path, files: ModelFiles, backends: Mapping[str, OwnBackend]
) -> dict[str, _Rival]:
    found = {}
    for name, backend in backends.items():
        folder, bits = backend.prepared(stored, setup.models / "builds", setup.threads)
        found[OUR_NAMES[name]] = _Rival(backend=backend, folder=folder, bits=bits or files.bits_per_weight)
    return found


def _decoding(match: _Match, peer: LlamaCpp | None, rows: Sequence[int], threads: int):
    steps = 2 if match.setup.quick else _STEPS
    contenders = _contenders(match, peer, threads, context=_DEPTH + steps + 1, sequences=max(rows))
    found = []
    for count in rows:
        times = _times(match, contenders, lambda one, count=count: one.decode(count, _DEPTH, steps))
        limit = match.files.decode_seconds(count, _DEPTH, match.bandwidth[threads], match.flops[threads])
        point = {
            "measure": "decode",
            "model": match.label,
            "rows": count,
            "depth": _DEPTH,
            "threads": threads,
        }
        found += _rows(match, point, times, tokens=count, limit=limit)
    return found


def _prompts(match: _Match, peer: LlamaCpp | None, prompts: Sequence[int], threads: int):
    contenders = _contenders(match, peer, threads, context=max(prompts), sequences=1)
    found = []
    for tokens in prompts:
        times = _times(match, contenders, lambda one, tokens=tokens: one.prefill(tokens))
        limit = match.files.prefill_seconds(tokens, match.flops[threads])
        point = {"measure": "prefill", "model": match.label, "tokens": tokens, "threads": threads}
        found += _rows(match, point, times, tokens=tokens, limit=limit)
    return found


def _contenders(
    match: _Match, peer: LlamaCpp | None, threads: int, *, context: int, sequences: int
) -> dict[str, Contender]:
    room = {"threads": threads, "context": context, "sequences": sequences}
    contenders: dict[str, Contender] = {
        name: OwnModel(rival.folder, backend=rival.backend, **room) for name, rival in match.rivals.items()
    }
    if peer is not None and match.gguf is not None:
        peer.open(match.gguf, **room)
        contenders[_PEER] = peer
    return contenders


def _times(
    match: _Match, contenders: dict[str, Contender], measure: Callable[[Contender], float]
) -> dict[str, list[float]]:
    rivals = {name: lambda one=one: measure(one) for name, one in contenders.items()}
    return interleaved(rivals, match.setup.rounds(_ROUNDS))


def _rows(
    match: _Match, point: dict[str, object], times: dict[str, list[float]], *, tokens: int, limit: float
):
    rates = {name: Spread.of(tokens / seconds for seconds in taken) for name, taken in times.items()}
    for name, rate in rates.items():
        row = {**point, "engine": name, **match.engines()[name], "tokens_per_second": rate}
        if name != _PEER:
            row["of_limit"] = rounded(rate.median * limit / tokens) if name == OUR_NAMES[TORCH] else None
            if _PEER in rates:
                row["ratio"] = rounded(rate.median / rates[_PEER].median)
        elif point["measure"] == "decode" and match.gguf is not None:
            read = read_bytes(match.gguf) / match.bandwidth[match.setup.threads]
            row["of_limit"] = rounded(rate.median * read / tokens) if tokens == 1 else None
        yield row


if __name__ == "__main__":
    main()
