"""Each way to run a model keeps the contract of every local backend."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from homeport import Quantisation
from homeport.testing.token_model_conformance import TokenModelConformance
from homeport_onnx.config import OnnxConfig
from homeport_onnx.model import OnnxModel


class OnnxConformance(TokenModelConformance):
    """The kit around one random model."""

    def make_model(self):
        return OnnxModel(OnnxConfig(spin_microseconds=0))


class TestFloatBuild(OnnxConformance):
    """A build of homeport's own, in float32."""

    @pytest.fixture(scope="class")
    @classmethod
    def model_path(cls, build_llama):
        return build_llama()


class TestInt8Build(OnnxConformance):
    """One with packed weights, whose products are exact."""

    @pytest.fixture(scope="class")
    @classmethod
    def model_path(cls, build_llama):
        return build_llama(settings={"activations": "fp32"}, quantisation=Quantisation.INT8)


class GenaiConformance(OnnxConformance):
    """The kit around a build in the layout of onnxruntime-genai, changed into one that others write."""

    @pytest.fixture(scope="class")
    @classmethod
    def model_path(cls, build_llama):
        folder = build_llama(is_portable=True)
        model = cls.changed(onnx.load(folder / "model.onnx"))
        (folder / "model.onnx.data").unlink()
        onnx.save(model, folder / "model.onnx")
        return folder

    @staticmethod
    def changed(model):
        return model


class TestGenaiFolder(GenaiConformance):
    """The plain layout: a mask, and logits of all tokens."""


class TestGenaiFolderWithPositions(GenaiConformance):
    """Some graphs are told where tokens stand; here it is all the more so: positions have embeddings."""

    @staticmethod
    def changed(model):
        table = np.random.default_rng(3).standard_normal((64, 64)).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(table, "positions"))
        model.graph.input.append(
            helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["batch", "sequence"])
        )
        readers = [node for node in model.graph.node if "input_ids" in node.input]
        [embed] = [node for node in readers if node.op_type == "Gather"]
        [embedded] = embed.output
        embed.output[0] = "embedded_alone"
        place = list(model.graph.node).index(embed) + 1
        model.graph.node.insert(place, helper.make_node("Gather", ["positions", "position_ids"], ["placed"]))
        model.graph.node.insert(place + 1, helper.make_node("Add", ["embedded_alone", "placed"], [embedded]))
        return model


class TestGenaiFolderWithLastLogitsOnly(GenaiConformance):
    """Some graphs give logits of the last token of each row alone."""

    @staticmethod
    def changed(model):
        [output] = [output for output in model.graph.output if output.name == "logits"]
        output.type.tensor_type.shape.dim[1].dim_value = 1
        rename_logits(model.graph)
        model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "last"))
        model.graph.node.append(helper.make_node("Gather", ["all_logits", "last"], ["logits"], axis=1))
        return model


class TestGenaiFolderWithLogitsByNumber(GenaiConformance):
    """Some graphs are told of how many last tokens logits are wanted."""

    @staticmethod
    def changed(model):
        graph = model.graph
        rename_logits(graph)
        graph.input.append(helper.make_tensor_value_info("num_logits_to_keep", TensorProto.INT64, []))
        for name, value in (("end", 2**31), ("axis", 1), ("first", 0)):
            graph.initializer.append(numpy_helper.from_array(np.array([value], np.int64), name))
        graph.node.append(helper.make_node("Neg", ["num_logits_to_keep"], ["begin"]))
        graph.node.append(helper.make_node("Unsqueeze", ["begin", "first"], ["begins"]))
        graph.node.append(helper.make_node("Slice", ["all_logits", "begins", "end", "axis"], ["logits"]))
        return model


class TestGenaiFolderInFloat16(GenaiConformance):
    """Graphs made for other hardware keep keys, values and logits in float16."""

    tolerance = 0.1

    @staticmethod
    def changed(model):
        return convert_float_to_float16(model)


def rename_logits(graph):
    """Let the logits of all tokens be read by a further node, as ``all_logits``."""
    [node] = [node for node in graph.node if "logits" in node.output]
    node.output[list(node.output).index("logits")] = "all_logits"
