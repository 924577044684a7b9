import pytest

from homeport import PullError
from homeport_sources.published import cached_patterns, choose_files

DECODER = [
    "config.json",
    "tokenizer.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
]
OTHERS = [
    "evil.py",
    "pytorch_model.bin",
    "onnx/model.onnx",
    "tf_model.h5",
    "consolidated.safetensors",
    "a/config.json",
]
QUANTS = ["tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", "tiny.F16.gguf"]


def test_takes_safetensors_and_what_belongs_to_them():
    """Of everything that is published only what a model is run from is fetched."""
    assert choose_files([*OTHERS, *DECODER, *QUANTS]) == DECODER


@pytest.mark.parametrize(
    ("paths", "quant", "file"),
    [
        (["x.gguf"], "", "x.gguf"),
        (QUANTS, "", "tiny-Q4_K_M.gguf"),
        (QUANTS, "Q8_0", "tiny-Q8_0.gguf"),
        (QUANTS, "f16", "tiny.F16.gguf"),
        ([*DECODER, *QUANTS], "q8_0", "tiny-Q8_0.gguf"),
    ],
)
def test_takes_one_gguf_file(paths, quant, file):
    """The precision that was asked for, else the only file, else the usual precision."""
    assert choose_files(paths, quant) == [file]


@pytest.mark.parametrize(
    ("paths", "quant", "complaint"),
    [
        (["config.json", "pytorch_model.bin"], "", "only pickled weights"),
        (["config.json"], "", "no weights, neither safetensors nor GGUF"),
        ([], "", "no weights"),
        (DECODER, "Q8_0", "no GGUF file of precision 'Q8_0'"),
        (QUANTS, "Q5_0", "0 GGUF files of precision 'Q5_0' among tiny-Q4_K_M.gguf"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", "2 GGUF files"),
        (["a-Q8_0.gguf", "b-Q5_0.gguf"], "", "0 GGUF files of precision 'Q4_K_M'"),
    ],
)
def test_refuses_what_cannot_be_run_or_told_apart(paths, quant, complaint):
    """Nothing is guessed and no pickle is ever fetched."""
    with pytest.raises(PullError, match=complaint):
        choose_files(paths, quant)


def test_patterns_ask_for_the_precision():
    """A repository that cannot be listed is asked for the file of the precision."""
    assert "*Q8_0.gguf" in cached_patterns("Q8_0")
