"""llama.cpp beside homeport: an optional peer, driven in a process of its own.

It needs an interpreter that has ``llama_cpp`` and numpy, such as a virtual environment into which
``pip install llama-cpp-python`` compiled it for this machine. Its flash attention is measured on and off for
every figure, and the better one counts.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import gguf
import numpy as np
from numpy.typing import NDArray

_PROGRAM = Path(__file__).with_name("llama_cpp_peer.py")
_FLASH = ("on", "off")
_TRIALS = 2


class LlamaCpp:
    """llama.cpp in another process; make it with :func:`llama_cpp`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._better: dict[object, str] = {}

    def ask(self, do: str, **arguments: object) -> Any:
        """Send a request and wait for its answer.

        Raises:
            click.ClickException: llama.cpp failed, with what it said.
        """
        assert self._process.stdin is not None  # noqa: S101 - both are pipes, see llama_cpp
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": "its process ended"}
        if "error" in answer:
            raise click.ClickException(f"llama.cpp cannot {do}: {answer['error']}")
        return answer["ok"]

    def facts(self) -> dict[str, str]:
        """Tell its version and what it was built for."""
        return dict(self.ask("facts"))

    def open(self, path: Path, *, threads: int, context: int, sequences: int, outputs: int = 0) -> None:
        """Load a GGUF file, with room for so many sequences of so many tokens.

        Args:
            path: The file.
            threads: Compute threads.
            context: Tokens of one sequence.
            sequences: How many run at once.
            outputs: How many tokens of a batch may want logits; 0 is one for each sequence.
        """
        self._better = {}
        room = {"context": context, "sequences": sequences, "outputs": outputs}
        self.ask("open", path=str(path), threads=threads, flash=_FLASH, **room)

    def use_threads(self, threads: int) -> None:
        """Compute with so many from now on."""
        self._better = {}
        self.ask("use_threads", threads=threads)

    def prefill(self, tokens: int) -> float:
        """Give the seconds of one prompt."""
        return self._at_best(
            ("prefill", tokens), lambda flash: self.ask("prefill", flash=flash, tokens=tokens)
        )

    def decode(self, rows: int, depth: int, steps: int) -> float:
        """Give the median seconds of a step of ``rows`` sequences that hold ``depth`` tokens."""

        def measure(flash: str) -> float:
            seconds = self.ask("decode", flash=flash, rows=rows, depth=depth, steps=steps)
            return float(np.median(seconds))

        return self._at_best(("decode", rows, depth), measure)

    def answers(self, requests: Sequence[tuple[int, int]]) -> float:
        """Give the seconds of (prompt tokens, answer tokens), one after the other: a server with one slot."""
        return self._at_best("answers", lambda flash: self.ask("answers", flash=flash, requests=requests))

    def logits(self, windows: Sequence[Sequence[int]], path: Path) -> NDArray[np.float32]:
        """Compute logits behind every token, into a file: float32 [windows, tokens, vocabulary]."""
        self.ask("logits", flash=_FLASH[0], windows=windows, path=str(path))
        written: NDArray[np.float32] = np.load(path, mmap_mode="r")
        return written

    def quantise(self, source: Path, target: Path, kind: str, threads: int) -> None:
        """Quantise a GGUF file as ``llama-quantize`` does."""
        self.ask("quantise", source=str(source), target=str(target), kind=kind, threads=threads)

    def _at_best(self, figure: object, measure: Callable[[str], float]) -> float:
        if figure not in self._better:
            trials = {flash: min(measure(flash) for _ in range(_TRIALS)) for flash in _FLASH}
            self._better[figure] = min(trials, key=trials.__getitem__)
        return measure(self._better[figure])


@contextmanager
def llama_cpp(place: Path) -> Iterator[LlamaCpp]:
    """Start the peer.

    Args:
        place: An interpreter that has ``llama_cpp``, or the folder of its virtual environment.
    """
    interpreter = place / "bin" / "python" if place.is_dir() else place
    process = subprocess.Popen(
        # -I: the folder of the program holds http.py, which would hide the standard library's http.
        [str(interpreter), "-I", str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield LlamaCpp(process)
    finally:
        assert process.stdin is not None  # noqa: S101
        process.stdin.close()
        process.wait()


def read_bytes(path: Path) -> int:
    """Count the bytes of a GGUF file's weights that decoding one token reads."""
    tensors = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(path, "r").tensors}
    unread = tensors["token_embd.weight"] if "output.weight" in tensors else 0
    return sum(tensors.values()) - unread


def bits_per_weight(path: Path) -> float:
    """Give the mean bits of a weight of a GGUF file, scales included."""
    tensors = gguf.GGUFReader(path, "r").tensors
    return 8 * sum(int(t.n_bytes) for t in tensors) / sum(int(t.n_elements) for t in tensors)
