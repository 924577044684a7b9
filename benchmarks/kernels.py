"""One product of a weight matrix by rows of activations: the native kernels beside torch's operators.

    python -m benchmarks.kernels --json

Every call reads another copy of the weights, and the copies together exceed any cache, so that weights come
from memory as they do in a model. Times are medians of interleaved rounds.
"""

import ctypes
import functools
import itertools
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import attrs
import click
import numpy as np
import torch
from torch.ao.nn.quantized import dynamic

from benchmarks.command import Setup, command
from benchmarks.figures import Spread, interleaved, rounded
from benchmarks.machine import bf16_flops, read_bandwidth
from benchmarks.packed_matrix import CODE_BITS, PackedMatrix, copies_of
from homeport_transformers.native_library import Isa, Kind, best_isa, installed_library, last_error

_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 512)
_CALL_SECONDS = 0.05
"""A round repeats a call for so long."""
_ROUNDS = 7


@attrs.frozen(kw_only=True)
class Kernel:
    """A way to compute a product.

    Attributes:
        name: Of the kernel.
        weight_bytes: Of one copy of the matrix, scales included.
        prepare: Makes a function that multiplies so many rows with the next copy.
    """

    name: str
    weight_bytes: int
    prepare: Callable[[int], Callable[[], object]]


@command(
    "kernels",
    click.option("--outputs", default=5632, show_default=True, help="Rows of the matrix."),
    click.option("--inputs", default=2048, show_default=True, help="Its columns."),
    click.option("--batch", "batches", type=int, multiple=True, default=_BATCHES, show_default=True),
    click.option("--isa", "isas", type=click.Choice([isa.name for isa in Isa]), multiple=True),
    click.option("--group", "groups", type=click.Choice(["32", "64"]), multiple=True, default=("32",)),
)
def main(
    setup: Setup,
    *,
    outputs: int,
    inputs: int,
    batches: Sequence[int],
    isas: Sequence[str],
    groups: Sequence[str],
):
    """Measure products of 1 to 512 rows: time, bytes and operations per second, part of the limit."""
    torch.set_num_threads(setup.threads)
    limits = (read_bandwidth(setup.threads), bf16_flops(setup.threads))
    kernels = [_torch_bf16(outputs, inputs), _torch_int8(outputs, inputs)]
    chosen = [Isa[name] for name in isas] or _usable()
    for kind, group in itertools.product(CODE_BITS if chosen else (), groups):
        copies = PackedMatrix.copies(kind, outputs, inputs, int(group))
        kernels += [_native(copies, isa, setup.threads) for isa in chosen]
    found = []
    for batch in batches[:2] if setup.quick else batches:
        found += _rows(setup, kernels, batch=batch, size=outputs * inputs, limits=limits)
    return found


def _rows(setup: Setup, kernels: Sequence[Kernel], *, batch: int, size: int, limits: tuple[float, float]):
    bandwidth, flops = limits
    rivals = {kernel.name: functools.partial(_timed, kernel.prepare(batch)) for kernel in kernels}
    seconds = interleaved(rivals, setup.rounds(_ROUNDS))
    for kernel in kernels:
        taken = Spread.of(1000 * value for value in seconds[kernel.name])
        best = max(kernel.weight_bytes / bandwidth, 2 * batch * size / flops)
        yield {
            "kernel": kernel.name,
            "rows": batch,
            "threads": setup.threads,
            "bits": rounded(8 * kernel.weight_bytes / size),
            "ms": taken,
            "gb_per_s": rounded(kernel.weight_bytes / taken.median / 1e6),
            "tops": rounded(2 * batch * size / taken.median / 1e9),
            "of_limit": rounded(1000 * best / taken.median),
        }


def _timed(run: Callable[[], object]) -> float:
    """Give the mean seconds of a call, over a few of them."""
    calls, started = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        passed = time.perf_counter() - started
        if passed >= _CALL_SECONDS:
            return passed / calls


def _usable() -> list[Isa]:
    """List the instruction sets that the library and this CPU share; none where there is no library."""
    best = best_isa()
    return [] if best is None else [isa for isa in Isa if isa <= best]


def _torch_bf16(outputs: int, inputs: int) -> Kernel:
    size = 2 * outputs * inputs
    weights = [torch.randn(outputs, inputs).bfloat16() for _ in range(copies_of(size))]

    def prepare(batch: int) -> Callable[[], object]:
        values, turn = torch.randn(batch, inputs).bfloat16(), itertools.cycle(weights)
        return lambda: torch.nn.functional.linear(values, next(turn))

    return Kernel(name="torch F.linear bf16", weight_bytes=size, prepare=prepare)


def _torch_int8(outputs: int, inputs: int) -> Kernel:
    size = outputs * inputs
    layers = [_int8_layer(outputs, inputs) for _ in range(copies_of(size))]

    def prepare(batch: int) -> Callable[[], object]:
        values, turn = torch.randn(batch, inputs), itertools.cycle(layers)
        return lambda: next(turn)(values)

    return Kernel(name="torch int8 dynamic", weight_bytes=size, prepare=prepare)


def _int8_layer(outputs: int, inputs: int) -> torch.nn.Module:
    layer = dynamic.Linear(inputs, outputs, bias_=False)
    scales, zeros = torch.full((outputs,), 0.01, dtype=torch.float64), torch.zeros(outputs, dtype=torch.int64)
    values = torch.randn(outputs, inputs)
    warnings.filterwarnings("ignore", message=".*deprecated")  # torch 2.13 has no other dynamic int8 product
    layer.set_weight_bias(torch.quantize_per_channel(values, scales, zeros, 0, torch.qint8), None)
    return layer


def _native(copies: Sequence[PackedMatrix], isa: Isa, threads: int) -> Kernel:
    library = installed_library()
    matrix = copies[0].native

    def prepare(batch: int) -> Callable[[], object]:
        x = np.random.default_rng(0).standard_normal((batch, matrix.cols), np.float32)
        y = np.empty((batch, matrix.rows), np.float32)
        turn = itertools.cycle(copies)

        def run() -> None:
            native = ctypes.byref(next(turn).native)
            if library.hp_matmul(isa, threads, native, x.ctypes.data, batch, y.ctypes.data):
                raise click.ClickException(f"hp_matmul failed: {last_error(library)}")

        return run

    kind = Kind(matrix.kind).name.lower()
    name = f"homeport {kind} group {matrix.group} {isa.name.lower()}"
    return Kernel(name=name, weight_bytes=copies[0].size_bytes, prepare=prepare)


if __name__ == "__main__":
    main()
