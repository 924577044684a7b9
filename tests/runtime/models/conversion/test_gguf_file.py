import struct

import numpy as np
import pytest
from gguf import GGUFReader

from homeport.domain.errors import PullError
from homeport.models.conversion.gguf_file import GgufFile


def text(value):
    """A text as GGUF writes it."""
    return struct.pack("<Q", len(value)) + value


def field(key, kind, data):
    """A metadata field."""
    return text(key) + struct.pack("<I", kind) + data


def tensor(name=b"t", shape=(4,), kind=0, offset=0):
    """The description of a tensor."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def head(*, version=3, tensors=0, fields=0):
    """The first bytes of a file."""
    return b"GGUF" + struct.pack("<IQQ", version, tensors, fields)


def test_reads_what_the_library_reads(gguf_path):
    """Fields and tensors are those that the reference reader finds."""
    ours, theirs = GgufFile(gguf_path), GGUFReader(gguf_path)
    for name, value in theirs.fields.items():
        if not name.startswith("GGUF."):
            expected = value.contents()
            is_float = isinstance(expected, float)
            assert ours.fields[name] == (pytest.approx(expected, rel=1e-6) if is_float else expected)
    assert ours.fields["llama.attention.layer_norm_rms_epsilon"] == 1e-5
    assert list(ours.tensors) == [found.name for found in theirs.tensors]
    for found in theirs.tensors:
        mine = ours.tensors[found.name]
        assert mine.shape == tuple(reversed(found.shape.tolist()))
        assert mine.kind == found.tensor_type
        np.testing.assert_array_equal(ours.raw(mine), found.data.reshape(-1).view(np.uint8))


def test_refuses_every_truncation(gguf_path, tmp_path):
    """A file cut short at any place is refused, never read as a smaller model."""
    whole = gguf_path.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(0, 4000, 97), *range(4000, len(whole) - 40, 9973), len(whole) - 40]:
        path.write_bytes(whole[:length])
        with pytest.raises(PullError, match=r"cut\.gguf is not a"):
            GgufFile(path)


HUGE = 2**62
LIES = {
    "another format": b"GGML" + bytes(64),
    "version 1": head(version=1) + bytes(64),
    "big endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(64),
    "fields": head(fields=HUGE) + bytes(64),
    "tensors": head(tensors=HUGE) + bytes(64),
    "length of a key": head(fields=1) + struct.pack("<Q", HUGE) + bytes(64),
    "length of a text": head(fields=1) + field(b"k", 8, struct.pack("<Q", HUGE)) + bytes(64),
    "numbers": head(fields=1) + field(b"k", 9, struct.pack("<IQ", 4, HUGE)) + bytes(64),
    "texts": head(fields=1) + field(b"k", 9, struct.pack("<IQ", 8, HUGE)) + bytes(64),
    "nested list": head(fields=1) + field(b"k", 9, struct.pack("<IQ", 9, 1)) + bytes(64),
    "type of a field": head(fields=1) + field(b"k", 77, bytes(8)) + bytes(64),
    "a field twice": head(fields=2) + field(b"k", 4, bytes(4)) * 2 + bytes(64),
    "dimensions": head(tensors=1) + text(b"t") + struct.pack("<I", HUGE % 2**32 + 9) + bytes(64),
    "empty shape": head(tensors=1) + tensor(shape=(0,)) + bytes(64),
    "shape": head(tensors=1) + tensor(shape=(HUGE, HUGE)) + bytes(64),
    "number format": head(tensors=1) + tensor(kind=99) + bytes(64),
    "half a block": head(tensors=1) + tensor(shape=(17,), kind=8) + bytes(64),
    "offset": head(tensors=1) + tensor(offset=HUGE) + bytes(64),
    "overlap": head(tensors=2) + tensor(b"a") + tensor(b"b") + bytes(64),
    "a tensor twice": head(tensors=2) + tensor(b"a") + tensor(b"a", offset=32) + bytes(96),
    "alignment": head(fields=1, tensors=1) + field(b"general.alignment", 4, b"\3" + bytes(3)) + tensor(),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_refuses_lies(tmp_path, lie):
    """Counts and sizes beyond the file, and all that no writer writes, are refused at once."""
    path = tmp_path / "lie.gguf"
    path.write_bytes(LIES[lie])
    with pytest.raises(PullError, match=r"lie\.gguf is not a usable GGUF file") as caught:
        GgufFile(path)
    assert len(caught.value.message) < 400
