import json

import attrs
import pytest

from homeport.domain.errors import StoreError
from homeport.domain.quantisation import Quantisation
from homeport.models.manifest import Manifest, ModelFile

PACKED = {
    "quant": Quantisation.AUTO,
    "weights": "int4",
    "weights_note": "the source is quantised",
    "bits_per_weight": 5.74,
}


@pytest.fixture
def manifest(stage, tmp_path):
    """A manifest of two files, with a value of each kind."""
    content = {"config.json": b"{}", "1_Pooling/config.json": b"{ }"}
    parameters = {"temperature": 0.6, "top_k": 40, "stop": ("a", "b")}
    facts = {"llama.block_count": 2, "general.name": "x", "tokenizer.ggml.add_bos_token": False}
    return stage(
        tmp_path, content, parameters=parameters, facts=facts, template="{{ x }}", license="mit", **PACKED
    )


def test_reads_what_it_wrote(manifest):
    """A manifest comes back equal from its JSON."""
    assert Manifest.decode(manifest.encode()) == manifest


def test_reads_what_was_written_before_weights_were_packed(manifest):
    """A manifest without the newer fields is whole; they say that nothing is known."""
    old = json.loads(manifest.encode())
    for field in ("quant", "weights", "weights_note", "bits_per_weight"):
        del old[field]
    found = Manifest.decode(json.dumps(old).encode())
    assert found == attrs.evolve(manifest, quant=None, weights="", weights_note="", bits_per_weight=0.0)


def test_digest_names_what_decides_over_answers(manifest):
    """Files, template and parameters change the digest; where a model came from and its licence do not."""
    assert len(manifest.digest) == 64
    same = attrs.evolve(manifest, source="other", locator="else", license="", files=manifest.files[::-1])
    assert same.digest == manifest.digest
    others = (
        attrs.evolve(manifest, template=""),
        attrs.evolve(manifest, parameters={}),
        attrs.evolve(manifest, files=manifest.files[:1]),
    )
    assert len({manifest.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", "a\0", ".hidden", "a/b/c/d", "x" * 200]
)
def test_refuses_paths_that_lead_astray(path):
    """A file of an entry lies inside it."""
    with pytest.raises(ValueError, match="path"):
        ModelFile(path=path, size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (b'"size": 2', b'"size": "2"', r"expected int, got '2' @ \$\.files\[0\]\.size"),
        (b'"size": 2', b'"size": -2', "files"),
        (b'"source"', b'"sauce"', "sauce"),
        (b'"version": 1', b'"version": 2', "format version 2, this homeport reads up to 1"),
        (b'"completion"', b'"flight"', "capabilities"),
        (b"0.6", b"null", "temperature"),
        (b"{", b"", "not JSON"),
        (b"{", b"[" * 100_000, "not JSON"),
    ],
)
def test_refuses_what_is_no_manifest(manifest, before, after, complaint):
    """Each fault is an error that names the field."""
    data = manifest.encode()
    assert before in data
    with pytest.raises(StoreError, match=complaint):
        Manifest.decode(data.replace(before, after, 1))
