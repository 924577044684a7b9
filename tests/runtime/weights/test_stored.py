import json

import numpy as np
import pytest

from homeport.weights import (
    FORMAT_KEY,
    ROWS_KEY,
    PackedMatrix,
    PlainCodes,
    StoredShape,
    WeightKind,
    find_packed,
    stored_parts,
    stored_shapes,
    write_metadata,
)

NAME = "model.layers.0.mlp.up_proj.weight"


def shapes_of(parts):
    dtypes = {"uint8": "U8", "float16": "F16"}
    return {name: StoredShape(dtypes[part.dtype.name], part.shape) for name, part in parts.items()}


def matrix_of(kind, rows=33, cols=128, group=64):
    groups = np.ones((rows, cols // group), np.float16)
    return PackedMatrix.pack(
        kind, PlainCodes(np.ones((rows, cols), np.uint8), groups, groups if kind.has_mins else None)
    )


@pytest.mark.parametrize("rows", [16, 33])
@pytest.mark.parametrize("kind", list(WeightKind))
def test_what_is_written_is_recognised(kind, rows):
    """Kind, rows, columns and group follow from the head of the file."""
    shapes = shapes_of(stored_parts(NAME, matrix_of(kind, rows)))
    others = {"model.norm.weight": StoredShape("F32", (64,)), "x.scales": StoredShape("F16", (3,))}
    found = find_packed(shapes | others, write_metadata({NAME: rows}))
    assert set(found) == {NAME}
    packed = found[NAME]
    assert (packed.kind, packed.rows, packed.cols, packed.group) == (kind, rows, 128, 64)
    assert set(packed.parts) == set(shapes)


@pytest.mark.parametrize("kind", list(WeightKind))
def test_shapes_are_known_before_there_are_codes(kind):
    """A file's head can be written first."""
    assert stored_shapes(NAME, kind, (33, 128), 64) == shapes_of(stored_parts(NAME, matrix_of(kind)))


def test_only_rows_that_do_not_follow_from_the_shape_are_noted():
    """Most matrices have whole strips."""
    assert ROWS_KEY not in write_metadata({NAME: 32})
    assert json.loads(write_metadata({NAME: 33, "other": 32})[ROWS_KEY]) == {NAME: 33}


def test_file_of_somebody_else_holds_no_packed_weights():
    """Names alone say nothing."""
    shapes = shapes_of(stored_parts(NAME, matrix_of(WeightKind.Q4)))
    assert find_packed(shapes, {"format": "pt"}) == {}
    assert find_packed(shapes, None) == {}


def test_newer_version_is_refused():
    """A form that is not known is not guessed at."""
    with pytest.raises(ValueError, match="version '2'"):
        find_packed({}, {FORMAT_KEY: "2"})


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({NAME + ".scales": None}, 33),
        ({NAME + ".scales": StoredShape("F32", (3, 2, 16))}, 33),
        ({NAME + ".scales": StoredShape("F16", (3, 5, 16))}, 33),
        ({NAME + ".mins": StoredShape("F16", (3, 1, 16))}, 33),
        ({NAME + ".q4": StoredShape("U8", (3, 16, 64))}, 33),
        ({NAME + ".q4": StoredShape("I8", (3, 16, 16, 4))}, 33),
        ({NAME + ".q4": StoredShape("U8", (0, 16, 16, 4))}, 33),
        ({NAME: StoredShape("F32", (33, 128))}, 33),
        ({}, 65),
        ({}, 0),
        ({}, "many"),
    ],
)
def test_tensors_that_contradict_each_other_are_refused(changes, rows):
    """A damaged or forged head does not reach a kernel."""
    shapes = shapes_of(stored_parts(NAME, matrix_of(WeightKind.Q4))) | changes
    shapes = {name: shape for name, shape in shapes.items() if shape is not None}
    metadata = {**write_metadata({}), ROWS_KEY: json.dumps({NAME: rows})}
    with pytest.raises(ValueError, match=r"up_proj|homeport_rows"):
        find_packed(shapes, metadata)


def test_rows_of_what_is_not_packed_are_refused():
    """Every note belongs to a weight."""
    with pytest.raises(ValueError, match="'ghost'"):
        find_packed({}, {**write_metadata({"ghost": 3})})
