"""What an ONNX file computes and where its weights lie: files of strangers are refused before they cost."""

import os
import resource
import time
from contextlib import suppress

import numpy as np
import pytest

from homeport.checkpoint import OnnxFile, TensorSpec
from homeport.domain.errors import LoadError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - behind the skip

SHAPE = (4, 6)
WEIGHT = np.arange(24, dtype=np.float32).reshape(SHAPE)
MOST_SECONDS = 3.0
"""Ten times what the slowest file here takes on a machine with nothing else to do."""
MOST_BYTES = 64 * 1024**2


def product(*initializers, nodes=(), domains=("",)):
    """A model that multiplies its input by the first of some tensors."""
    tensors = initializers or (numpy_helper.from_array(WEIGHT, "weight"),)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"]), *nodes],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", SHAPE[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", SHAPE[1]])],
        list(tensors),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(each, 21) for each in domains])


def outside(dims=SHAPE, kind=TensorProto.FLOAT, name="weight", **said):
    """A tensor whose data lies in another file."""
    tensor = TensorProto(name=name, data_type=kind, data_location=TensorProto.EXTERNAL, dims=dims)
    for key, value in {"location": "model.onnx.data", **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def constant(tensor):
    """A node that gives a tensor."""
    return helper.make_node("Constant", [], ["c"], value=tensor)


def branch(*nodes):
    """A node that runs a graph under a condition."""
    graph = helper.make_graph(list(nodes), "inner", [], [])
    return helper.make_node("If", ["x"], ["z"], then_branch=graph, else_branch=graph)


def looped(node):
    """A node that runs a graph again and again."""
    return helper.make_node("Loop", ["x", "x"], ["z"], body=helper.make_graph([node], "inner", [], []))


@pytest.fixture
def folder(tmp_path):
    """A model's folder, with one file of data, and a secret beside the folder."""
    (tmp_path / "secret").write_bytes(bytes(96))
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.onnx.data").write_bytes(WEIGHT.tobytes())
    return path


@pytest.fixture
def read(folder):
    """Save a model, or bytes, and read it."""

    def save_and_read(model):
        data = model if isinstance(model, bytes) else model.SerializeToString()
        (folder / "model.onnx").write_bytes(data)
        return OnnxFile.read(folder / "model.onnx")

    return save_and_read


@pytest.fixture
def refused(read):
    """Say why a model is refused: at once, and without memory for what it claims."""

    def complaint(model):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        data = model if isinstance(model, bytes) else model.SerializeToString()
        began = time.perf_counter()
        with pytest.raises(LoadError) as caught:
            read(data)
        assert time.perf_counter() - began < MOST_SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES + len(data)
        assert caught.value.hint
        assert caught.value.message.startswith("'model.onnx' is refused: ")
        return caught.value.message

    return complaint


def test_tells_what_goes_in_and_out(read):
    """Names, types and sizes, free axes by their names; what has a value in the file is no input."""
    model = product()
    model.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, SHAPE))
    file = read(model)
    assert file.inputs == {"x": TensorSpec(dtype="float32", dims=("rows", 4))}
    assert file.outputs == {"y": TensorSpec(dtype="float32", dims=("rows", 6))}
    assert file.has_input("x")
    assert not file.has_input("weight")
    assert (file.operators, file.data_files, file.weights) == ({"MatMul"}, (), {"float32": 24})
    assert file.weights_bytes == WEIGHT.nbytes


def test_data_beside_the_file_is_named_and_not_read(read, folder):
    """A file whose data nobody may read is described all the same."""
    (folder / "model.onnx.data").chmod(0)
    file = read(product(outside(offset=0, length=96)))
    assert (file.data_files, file.weights_bytes) == (("model.onnx.data",), 96)


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "float64", "int8", "uint8", "int64", "int32", "bool", "uint16"]
)
@pytest.mark.parametrize("is_raw", [True, False])
def test_reads_what_the_library_writes(read, dtype, is_raw):
    """Values in one piece and values one by one, of all usual types."""
    values = WEIGHT.astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    content = values.tobytes() if is_raw else values.flatten()
    file = read(product(helper.make_tensor("weight", kind, SHAPE, content, raw=is_raw)))
    assert file.weights_bytes > 0


def test_four_bit_numbers_share_bytes(read):
    """24 of them take 12 bytes."""
    file = read(product(outside(kind=TensorProto.INT4, length=12)))
    assert (file.weights, file.weights_bytes) == ({"int4": 24}, 12)


def test_packed_matrices_count_as_what_they_unpack_to(read):
    """64 weights of 4 bits in 32 bytes, with a scale that is no weight."""
    codes = numpy_helper.from_array(np.zeros((2, 1, 16), np.uint8), "codes")
    scales = numpy_helper.from_array(np.zeros(2, np.float32), "scales")
    node = helper.make_node(
        "MatMulNBits",
        ["x", "codes", "scales"],
        ["q"],
        domain="com.microsoft",
        bits=4,
        block_size=32,
        K=32,
        N=2,
    )
    weight = numpy_helper.from_array(WEIGHT, "weight")
    file = read(product(weight, codes, scales, nodes=[node], domains=("", "com.microsoft")))
    assert file.weights == {"float32": 24, "int4": 64}


def test_what_follows_from_the_configuration_or_from_codes_is_no_weight(read):
    """Rotary tables, and figures of the blocks of a packed matrix that another operator adds."""
    tables = [numpy_helper.from_array(np.ones((8, 4), np.float32), name) for name in ("cos", "sin")]
    codes = numpy_helper.from_array(np.zeros((2, 3, 16), np.uint8), "codes")
    blocks = [numpy_helper.from_array(np.zeros((2, 3), np.float32), name) for name in ("scales", "offsets")]
    nodes = [
        helper.make_node(
            "GroupQueryAttention", [*"qkvabcd", "cos", "sin"], ["attended"], domain="com.microsoft"
        ),
        helper.make_node(
            "MatMulNBits", ["x", "codes", "scales"], ["p"], domain="com.microsoft", bits=4, block_size=32
        ),
        helper.make_node("Gemm", ["sums", "offsets"], ["g"], transB=1),
    ]
    weight = numpy_helper.from_array(WEIGHT, "weight")
    file = read(product(weight, *tables, codes, *blocks, nodes=nodes, domains=("", "com.microsoft")))
    assert file.weights == {"float32": 24, "int4": 192}


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        ("../secret", "leads out of the folder"),
        ("sub/../../secret", "leads out of the folder"),
        ("/etc/passwd", "is no relative path"),
        ("C:\\secret", "is no relative path"),
        ("file:///etc/passwd", "is no relative path"),
        ("//host/share", "is no relative path"),
        ("*/_ORT_MEM_ADDR_/*", "is not there"),
        ("link", "is a link out of the folder"),
        ("circle", "is not there"),
        ("pipe", "is no regular file"),
        (".", "is no regular file"),
        ("missing", "is not there"),
        ("a\nb", "is no path"),
        ("a\0b", "is no path"),
        ("", "is no path"),
        ("x" * 10_000, "is no path"),
    ],
)
@pytest.mark.parametrize("place", ["graph", "constant", "if", "if in if", "loop", "list"])
def test_data_is_only_taken_from_the_folder(refused, folder, location, complaint, place):
    """Wherever a tensor stands, what it names outside is refused, be it by its path or by a link."""
    (folder / "link").symlink_to(folder.parent / "secret")
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "pipe")
    bad = outside(name="bad", location=location)
    weight = numpy_helper.from_array(WEIGHT, "weight")
    several = helper.make_node("Constant", [], ["c"])
    several.attribute.add(name="values", type=onnx.AttributeProto.TENSORS).tensors.append(bad)
    models = {
        "graph": lambda: product(weight, bad),
        "constant": lambda: product(nodes=[constant(bad)]),
        "if": lambda: product(nodes=[branch(constant(bad))]),
        "if in if": lambda: product(nodes=[branch(branch(constant(bad)))]),
        "loop": lambda: product(nodes=[looped(constant(bad))]),
        "list": lambda: product(nodes=[several]),
    }
    assert complaint in refused(models[place]())


def test_data_may_lie_in_a_folder_inside_or_behind_a_link_inside(read, folder):
    """What stays inside the folder is no danger."""
    (folder / "parts").mkdir()
    (folder / "parts" / "one").write_bytes(bytes(96))
    (folder / "other").symlink_to("parts/one")
    file = read(product(outside(location="parts/one"), outside(name="more", location="./other")))
    assert file.data_files == ("parts/one", "./other")


@pytest.mark.parametrize(
    ("tensor", "complaint"),
    [
        (outside(dims=(2**60,)), "ends at byte 4611686018427387904 of 'model.onnx.data', which has 96"),
        (outside(dims=(2**62, 2**62)), "more than any file holds"),
        (outside(dims=(2**31,) * 60), "more than any file holds"),
        (outside(dims=(1,) * 1000), "expected up to 64 sizes"),
        (outside(dims=(-1, 6)), "expected up to 64 sizes of 0 or more"),
        (outside(dims=(5, 6)), "ends at byte 120 of 'model.onnx.data', which has 96"),
        (outside(offset=4), "ends at byte 100 of 'model.onnx.data', which has 96"),
        (outside(offset=2**62), "which has 96"),
        (outside(offset=-4), "its offset is '-4'"),
        (outside(offset="9" * 5000), "its offset is"),
        (outside(offset="\u0663"), "its offset is"),
        (outside(offset="0x10"), "its offset is '0x10'"),
        (outside(length=-96), "its length is '-96'"),
        (outside(length=95), "has a length of 95 bytes, expected 96"),
        (outside(length=2**62), "expected 96 by its shape"),
        (outside(kind=TensorProto.STRING), "elements without a fixed size"),
        (outside(kind=0), "has no known type"),
        (outside(kind=99), "has no known type"),
        (TensorProto(name="weight", data_type=1, dims=SHAPE), "has 24 elements in 0 bytes"),
        (TensorProto(name="weight", data_type=1, dims=[2**60], raw_data=b"1234"), "elements in 4 bytes"),
        (TensorProto(name="weight", data_type=1, dims=[1], raw_data=bytes(8)), "has 1 elements in 8 bytes"),
        (TensorProto(name="weight", data_type=1, dims=[2**60], float_data=[1.0]), "elements in 4 bytes"),
        (TensorProto(name="weight", data_type=1, dims=[0, 2**63 - 1, 2], raw_data=b"x"), "in 1 bytes"),
        (TensorProto(name="weight", data_type=8, dims=[2**40], string_data=[b"x"]), "elements in 1 bytes"),
        (TensorProto(name="weight", data_type=1, data_location=1, dims=[0], raw_data=b""), "lies inside"),
    ],
)
@pytest.mark.parametrize("is_inside_branch", [False, True])
def test_sizes_must_be_those_of_the_files(refused, tensor, complaint, is_inside_branch):
    """A shape that claims more than there is, or figures that contradict each other, are told with both."""
    model = product(nodes=[branch(constant(tensor))]) if is_inside_branch else product(tensor)
    assert complaint in refused(model)


def test_many_tensors_may_not_claim_one_file(refused):
    """A thousand matrices of 96 bytes are not in a file of 96; the same one under two names is."""
    tensors = [outside(name="weight"), *(outside(name=f"w{n}") for n in range(1000))]
    assert "claim 96096 bytes outside of it, expected at most 2 times the 96" in refused(product(*tensors))


def test_a_tied_matrix_may_be_named_twice(read):
    """Exporters write embedding and output layer so."""
    file = read(product(outside(), outside(name="head")))
    assert (file.weights_bytes, file.stored_bytes) == (2 * 96, 96)
    assert file.weights == {"float32": 24}


@pytest.mark.parametrize(
    ("domain", "operator", "complaint"),
    [
        ("evil", "Run", "operator 'Run' is of domain 'evil', allowed are those of ai.onnx,"),
        ("ai.onnx.contrib", "PyOp", "is of domain 'ai.onnx.contrib'"),
        ("org.pytorch.aten", "ATen", "is of domain"),
        ("com.microsoft", "EPContext", "operator 'EPContext' reads files or runs other models"),
        ("com.microsoft", "BeamSearch", "reads files or runs other models"),
        ("\udcff", "x", None),
    ],
)
@pytest.mark.parametrize("is_inside_branch", [False, True])
def test_only_operators_of_onnxruntime_itself(refused, domain, operator, complaint, is_inside_branch):
    """Custom operators would need a library; others read files or run models of their own."""
    node = helper.make_node(operator, ["x"], ["z"])
    if complaint is None:
        data = product(nodes=[helper.make_node("Q", ["x"], ["z"], domain="ab")]).SerializeToString()
        assert "is of domain '\\\\xff\\\\xfe'" in refused(data.replace(b"\x3a\x02ab", b"\x3a\x02\xff\xfe"))
        return
    node.domain = domain
    assert complaint in refused(product(nodes=[branch(node) if is_inside_branch else node]))


def test_functions_sparse_tensors_and_training_are_refused(refused):
    """A function could hold anything, and call another twice, which calls a third twice."""
    function = helper.make_function(
        "own",
        "f",
        ["x"],
        ["y"],
        [constant(outside(name="bad", location="../secret"))],
        [helper.make_opsetid("", 21)],
    )
    model = product()
    model.functions.append(function)
    assert "functions or training steps of its own" in refused(model)
    model = product()
    model.graph.sparse_initializer.add(dims=[2**40])
    assert "sparse tensors" in refused(model)
    model = product()
    model.training_info.add()
    assert "functions or training steps" in refused(model)
    sparse = onnx.SparseTensorProto(dims=[2**40])
    node = helper.make_node("Constant", [], ["c"])
    node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor.CopyFrom(
        sparse
    )
    assert "sparse tensors" in refused(product(nodes=[node]))


def field(number, data):
    """Write a field with bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    """Write a number."""
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def test_graphs_a_thousand_deep_are_refused(refused):
    """A graph in an attribute of a node of a graph, and so on: neither stack nor time is spent on it."""
    graph = b""
    for _ in range(1000):
        graph = field(1, field(5, field(6, graph)))
    assert "nested more than 16 deep" in refused(field(7, graph))


@pytest.mark.parametrize("number", [1, 5, 11, 12, 13])
def test_a_file_of_nothing_but_empty_messages_is_refused(refused, number):
    """Nodes, tensors and values of two bytes each would take a hundred times as much in memory."""
    assert refused(field(7, bytes([number << 3 | 2, 0]) * 3_000_000))


def test_a_huge_number_of_tensors_is_refused(refused):
    """The same for tensors that are whole."""
    tensor = field(5, varint(2 << 3) + varint(1) + field(8, b"n") + varint(1 << 3) + b"\0")
    assert "more than 600000 fields" in refused(field(7, tensor * 600_000))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(refused, share):
    """Wherever it ends."""
    data = product().SerializeToString()
    assert "it is no whole ONNX file" in refused(data[: int(len(data) * share)])


def test_data_that_is_cut_off_is_refused(refused, folder):
    """The last byte of a tensor must be there."""
    (folder / "model.onnx.data").write_bytes(bytes(95))
    assert "ends at byte 96 of 'model.onnx.data', which has 95" in refused(product(outside()))


def test_no_bytes_make_it_fail_otherwise(read):
    """Any byte of a file may be any other: it is read, or refused as a model, and nothing else."""
    data = product(outside(), nodes=[branch(constant(outside(name="c")))]).SerializeToString()
    random = np.random.default_rng(1)
    for _ in range(1000):
        broken = bytearray(data)
        for place in random.integers(len(data), size=3):
            broken[place] = random.integers(256)
        with suppress(LoadError):
            read(bytes(broken))


@pytest.mark.parametrize("data", [b"", b"\0", b"PK\x03\x04", b"\x80\x02pickle", b"{}", b"\x3a" * 99])
def test_other_files_are_refused(refused, data):
    """An empty file, an archive, a pickle, a text."""
    assert refused(data)


def test_what_is_no_file_is_refused(folder):
    """Nothing, a folder, a pipe: none of them is waited for."""
    os.mkfifo(folder / "pipe")
    for name in ("missing", "pipe", "."):
        with pytest.raises(LoadError, match="is refused: it has 0 bytes or is no file"):
            OnnxFile.read(folder / name)


def test_parts_that_protobuf_would_join_are_refused(refused):
    """Two graphs, or one tensor in two parts: a reader could see one of them and onnxruntime both."""
    data = product().SerializeToString()
    assert "it has 2 graphs, expected 1" in refused(data + data)
    twice = b"".join(
        field(5, outside(location=name).SerializeToString()) for name in ("model.onnx.data", "../x")
    )
    attribute = field(1, b"value") + twice
    assert "two tensors or graphs" in refused(field(7, field(1, field(5, attribute))))
    named = outside().SerializeToString() + outside(location="../secret").SerializeToString()
    assert "twice" in refused(field(7, field(5, named)))


@pytest.mark.parametrize("key", [0, 7, 2**32 | 25 << 3 | 2, 2**32 | 7 << 3 | 2, 2**63 | 7 << 3 | 2])
def test_keys_of_no_field_are_refused(refused, key):
    """onnxruntime cuts keys to 32 bits: it would read functions, or a graph, that were skipped here."""
    data = product().SerializeToString() + varint(key) + varint(0)
    assert "expected 8 to 4294967295" in refused(data)


def test_numbers_that_the_library_skips_are_refused(refused):
    """A size of 0 written with a fixed width: only here would it make a huge tensor an empty one."""
    tensor = outside(dims=(2**40,)).SerializeToString() + varint(1 << 3 | 1) + bytes(8)
    assert "where a text, a message or a list is expected" in refused(field(7, field(5, tensor)))


@pytest.mark.parametrize("size", [-1, 2**31, 2**60])
def test_axes_of_inputs_are_bounded(refused, size):
    """What a reader takes for sizes of buffers must be possible."""
    model = product()
    model.graph.input.append(helper.make_tensor_value_info("huge", TensorProto.FLOAT, [size]))
    assert f"has an axis of {size}" in refused(model)
