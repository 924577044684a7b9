from homeport.checkpoint.onnx_tensors import OnnxTensor
from homeport.checkpoint.onnx_weights import OnnxWeights


def test_an_empty_tensor_hides_no_weights_behind_it():
    """It takes no bytes, so that the next one begins at the same place."""
    weights = OnnxWeights()
    weights.add(OnnxTensor("empty", "float32", (0, 4), ("model.onnx_data", 0)))
    weights.add(OnnxTensor("matrix", "float32", (8, 4), ("model.onnx_data", 0)))
    assert weights.by_type() == {"float32": 32}


def test_tensors_over_the_same_bytes_are_counted_once():
    """Whichever comes first; those inside the file have bytes of their own."""
    weights = OnnxWeights()
    for name in ("embedding", "output"):
        weights.add(OnnxTensor(name, "float32", (8, 4), ("model.onnx_data", 64)))
        weights.add(OnnxTensor(f"{name}.bias", "float16", (8,)))
    assert weights.by_type() == {"float32": 32, "float16": 16}
