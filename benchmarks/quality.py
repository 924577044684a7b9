"""What quantisation costs: Kullback-Leibler divergence and top-1 agreement with the original weights.

    python -m benchmarks.quality --model starter --llama-cpp PYTHON --json
    python -m benchmarks.quality --model starter --backend onnx-cpu --backend transformers-cpu --json

The reference is transformers' own modelling code in float32 on the original weights, over the text that ships
with the benchmarks, in windows of 256 tokens. Both engines read the same tokens, and quantised the same
weights.
"""

import itertools
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import Setup, command
from benchmarks.divergence import divergence
from benchmarks.figures import rounded
from benchmarks.installed import PUBLISHED, QUANTS, folder_of
from benchmarks.model_files import ModelFiles
from benchmarks.models import PEER_KINDS, STARTER, original_folder, peer_file
from benchmarks.own_model import OUR_NAMES, OwnBackend, OwnModel, own_backends, several_backends
from benchmarks.passage import passage_tokens, windows
from benchmarks.peer import bits_per_weight
from benchmarks.random_llama import SIZES

_WINDOW = 256
_QUICK_WINDOW = 32
_TAIL_PERCENT = 99

Logits = NDArray[np.float32]


@command(
    "quality",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option(
        "--quant",
        "quants",
        type=click.Choice([*QUANTS, PUBLISHED]),
        multiple=True,
        default=QUANTS,
        show_default=True,
    ),
    several_backends,
)
def main(
    setup: Setup, *, model: str, quants: Sequence[str], backends: Sequence[str], settings: Sequence[str]
):
    """Compare the logits of each precision with those of the original weights in float32."""
    original = original_folder(setup.models, model)
    texts = windows(passage_tokens(original), _QUICK_WINDOW if setup.quick else _WINDOW)
    texts = texts[:1] if setup.quick else texts
    with TemporaryDirectory(dir=setup.models) as folder:
        reference = _reference(original, texts, Path(folder) / "reference.npy", setup.threads)
        kinds = [*PEER_KINDS, *({PUBLISHED} & set(quants))]
        ours = own_backends(backends, settings)
        rows = [
            _own(setup, model, quant, backend=backend, texts=texts, reference=reference)
            for quant, backend in itertools.product(quants, ours.values())
        ]
        return rows + _peers(setup, model, kinds, texts=texts, reference=reference, folder=Path(folder))


def _reference(original: Path, texts: Sequence[Sequence[int]], path: Path, threads: int) -> Logits:
    """Compute the logits behind every token: float32 [windows, tokens, vocabulary], in a file."""
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - not before options have been checked

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(str(original), dtype=torch.float32, local_files_only=True)
    shape = (len(texts), len(texts[0]), model.config.vocab_size)
    written = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    with torch.inference_mode():
        for place, text in enumerate(texts):
            written[place] = model(torch.tensor([text])).logits[0].numpy()
    return written


def _own(
    setup: Setup,
    model: str,
    quant: str,
    *,
    backend: OwnBackend,
    texts: Sequence[Sequence[int]],
    reference: Logits,
):
    stored = folder_of(setup.models, model, quant)
    folder, bits = backend.prepared(stored, setup.models / "builds", setup.threads)
    bits = bits or ModelFiles.read(stored).bits_per_weight
    room = {"threads": setup.threads, "context": len(texts[0]), "sequences": 1}
    own = OwnModel(folder, backend=backend, **room)
    found = _compare(reference, (own.logits(text) for text in texts))
    described = {"computes": own.facts.computes, "bits": round(bits, 2)}
    return {"model": model, "engine": OUR_NAMES[backend.record.name], "weights": quant, **described, **found}


def _peers(
    setup: Setup,
    model: str,
    kinds: Sequence[str],
    *,
    texts: Sequence[Sequence[int]],
    reference: Logits,
    folder: Path,
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with setup.llama_cpp() as peer:
        if peer is None:
            return rows
        for kind in kinds:
            path = peer_file(setup.models, model, kind)
            length = len(texts[0])
            peer.open(path, threads=setup.threads, context=length, sequences=1, outputs=length)
            found = _compare(reference, peer.logits(texts, folder / "peer.npy"))
            bits = round(bits_per_weight(path), 2)
            rows.append({"model": model, "engine": "llama.cpp", "weights": kind, "bits": bits, **found})
    return rows


def _compare(reference: Logits, found: Iterable[Logits]) -> dict[str, object]:
    """Give means over all tokens; the divergence is that of ``found`` from ``reference``, in nats."""
    pairs = list(zip(reference, found, strict=True))
    nats = np.concatenate([divergence(expected, got) for expected, got in pairs])
    agree = np.concatenate([expected.argmax(1) == got.argmax(1) for expected, got in pairs])
    return {
        "tokens": int(nats.size),
        "mean_kl": rounded(float(nats.mean())),
        "p99_kl": rounded(float(np.percentile(nats, _TAIL_PERCENT))),
        "top1_agreement": rounded(float(agree.mean())),
    }


if __name__ == "__main__":
    main()
