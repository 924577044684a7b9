"""Makes the models that benchmarks run, for homeport and for llama.cpp: the same weights for both.

    python -m benchmarks.models --model 1.1b --llama-cpp PYTHON

``1.1b`` and ``tiny`` have random weights and the starter's tokenizer. ``starter`` is SmolLM2 135M as it is
published, a GGUF file of 4 bits, and the same weights quantised again from their float32 values.
"""

import shutil
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click

from benchmarks.command import Setup, command
from benchmarks.gguf_export import write_gguf
from benchmarks.installed import PUBLISHED, QUANTS, find, folder_of, install, model_name, pull
from benchmarks.model_files import PACKED_TYPE, ModelFiles
from benchmarks.peer import bits_per_weight
from benchmarks.random_llama import SIZES, write_random_llama

STARTER = "starter"
_STARTER_MODEL = "smollm2:135m"
PEER_KINDS = ("Q4_0", "Q8_0")
PEER_KIND = {"int4": "Q4_0", "int8": "Q8_0", "bf16": "original", PUBLISHED: PUBLISHED}
"""What the peer computes beside each of ours: the same bits."""
_PACKED = ("int4", "int8")


def original_folder(models: Path, model: str) -> Path:
    """Give the folder of a model's original weights, which all others are made from."""
    return models / model / "hf"


def peer_file(models: Path, model: str, kind: str) -> Path:
    """Give the GGUF file of a model in one of llama.cpp's kinds.

    Raises:
        click.ClickException: It was not made.
    """
    path = models / model / f"{kind}.gguf"
    if not path.is_file():
        raise click.ClickException(
            f"{path} is missing; make it with: "
            f"python -m benchmarks.models --model {model} --models {models} --llama-cpp PYTHON"
        )
    return path


@command(
    "models",
    click.option("--model", type=click.Choice([*SIZES, STARTER]), default="1.1b", show_default=True),
    click.option(
        "--starter-gguf",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The starter's published file, to be compared as it is.",
    ),
    click.option(
        "--quant", "quants", type=click.Choice(QUANTS), multiple=True, default=QUANTS, show_default=True
    ),
)
def main(setup: Setup, *, model: str, starter_gguf: Path | None, quants: tuple[str, ...]):
    """Make a model in every form that the other commands compare; what is there is kept."""
    starter = _starter_folder(setup.models)
    original = original_folder(setup.models, model)
    if not (original / "model.safetensors").is_file():
        if model == STARTER:
            shutil.copytree(starter, original, dirs_exist_ok=True)
            (original / "manifest.json").unlink(missing_ok=True)
        else:
            write_random_llama(original, SIZES[model], starter)
    rows = [_row("original", ModelFiles.read(original))]
    rows += _peer_files(setup, model, original, starter_gguf)
    published = setup.models / model / f"{PUBLISHED}.gguf"
    sources = dict.fromkeys(quants, original) | ({PUBLISHED: published} if published.is_file() else {})
    for quant, source in sources.items():
        rows.append(_installed(setup.models, model, quant, source))
    return rows


def _installed(models: Path, model: str, quant: str, source: Path):
    if find(models, model_name(model, quant)) is None:
        install(models, model, quant, source)
    files = ModelFiles.read(folder_of(models, model, quant))
    if quant in _PACKED and files.stored_as != PACKED_TYPE:
        raise click.ClickException(
            f"{model_name(model, quant)!r} is stored as {files.stored_as}: this homeport does not quantise"
        )
    return _row(f"homeport {quant}", files)


def _row(form: str, files: ModelFiles):
    return {
        "form": form,
        "stored_as": files.stored_as,
        "bits_per_weight": round(files.bits_per_weight, 3),
        "read_bytes_per_token": files.read_bytes,
        "parameters": files.parameters,
    }


def _peer_files(setup: Setup, model: str, original: Path, starter_gguf: Path | None):
    folder = setup.models / model
    if model == STARTER and starter_gguf and not (folder / f"{PUBLISHED}.gguf").is_file():
        shutil.copy(starter_gguf, folder / f"{PUBLISHED}.gguf")
    with setup.llama_cpp() as peer:
        if peer is None:
            return []
        source = folder / "original.gguf"
        if not source.is_file():
            write_gguf(original, source)
        for kind in PEER_KINDS:
            if not (folder / f"{kind}.gguf").is_file():
                peer.quantise(source, folder / f"{kind}.gguf", kind, setup.threads)
    return [
        {"form": f"llama.cpp {path.stem}", "bits_per_weight": round(bits_per_weight(path), 3)}
        for path in sorted(folder.glob("*.gguf"))
    ]


def _starter_folder(models: Path) -> Path:
    """Find the starter in float32 in the benchmarks' home; it is pulled where it is missing."""
    if find(models, _STARTER_MODEL) is None:
        pull(models, _STARTER_MODEL, "fp32")
    folder = find(models, _STARTER_MODEL)
    if folder is None:
        raise click.ClickException(f"{_STARTER_MODEL!r} is not in the store after a pull")
    return folder


if __name__ == "__main__":
    main()
