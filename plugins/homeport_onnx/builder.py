"""Builds what the backend loads: a graph with its weights, checked against what is stored."""

from pathlib import Path
from typing import ClassVar

import attrs

from homeport import BuildPlan, BuildProgress, BuildReport, LoadError, PullError
from homeport.checkpoint import ENCODERS, FAMILIES, Checkpoint, DecoderShape, DecoderTensors, why_not_fast
from homeport_onnx.config import BUILDER_VERSION, OnnxConfig
from homeport_onnx.decoder_graph import DecoderGraph
from homeport_onnx.encoder_build import build_encoder
from homeport_onnx.exporter_environment import EXPORTER
from homeport_onnx.genai_config import write_genai_config
from homeport_onnx.graph_writer import GraphWriter
from homeport_onnx.head_layout import HeadLayout
from homeport_onnx.library_exporter import export_with_optimum
from homeport_onnx.matrix_products import Products
from homeport_onnx.stored_weights import StoredWeights
from homeport_onnx.verification import verify_decoder
from homeport_onnx.weight_choice import WeightChoice

_FLOAT_BYTES = 4
_BYTE_BITS = 8


@attrs.frozen
class OnnxBuilder:
    """Writes graphs from stored weights, without torch.

    Attributes:
        config: The backend's settings.
    """

    version: ClassVar[int] = BUILDER_VERSION

    config: OnnxConfig

    def build(self, source: Path, into: Path, plan: BuildPlan, progress: BuildProgress) -> BuildReport:
        """As in ``ModelBuilder``."""
        if plan.exporter == EXPORTER:
            return export_with_optimum(source, into, plan, progress)
        if plan.exporter:
            raise PullError(
                f"onnx-cpu knows no exporter {plan.exporter!r:.40}, expected {EXPORTER!r} or none",
                hint="Leave out --with, so that homeport writes the graph itself",
            )
        try:
            checkpoint = Checkpoint.read(source)
            if str(checkpoint.config.get("model_type")) in ENCODERS:
                return build_encoder(checkpoint, into, plan, self.config, progress)
            return self._decoder(checkpoint, into, plan, progress)
        except LoadError as error:
            raise PullError(f"cannot build it for onnx-cpu: {error.message}", hint=error.hint) from error

    def _decoder(
        self, checkpoint: Checkpoint, into: Path, plan: BuildPlan, progress: BuildProgress
    ) -> BuildReport:
        shape = _read_shape(checkpoint)
        choice = WeightChoice.make(checkpoint, plan, self.config)
        writer = GraphWriter(str(checkpoint.config["model_type"]))
        products = Products(writer, StoredWeights(checkpoint), choice, threads=plan.threads)
        DecoderGraph(shape, writer, products, is_portable=plan.is_portable).add()
        writer.write(into, room_bytes=plan.room_bytes, progress=progress)
        layout = HeadLayout(head_dim=shape.head_dim, rotary_dim=shape.rotary_dim)
        if plan.is_portable:
            write_genai_config(checkpoint, shape, layout.size, into)
        figures = verify_decoder(
            checkpoint,
            into,
            config=self.config,
            threads=plan.threads,
            weights=choice.name,
            matrices=products.matrices,
        )
        return BuildReport(
            weights=choice.name,
            note=choice.note,
            bits_per_weight=_BYTE_BITS * products.stored_bytes / products.weight_count,
            kv_bytes_per_token=2 * len(shape.layers) * shape.kv_heads * layout.size * _FLOAT_BYTES,
            figures=figures,
        )


def _read_shape(checkpoint: Checkpoint) -> DecoderShape:
    """Read what a decoder is made of.

    Raises:
        PullError: It is of another kind than those whose graphs are written here.
        LoadError: Its files contradict each other.
    """
    reason = why_not_fast(checkpoint.config)
    if reason is None:
        shape = DecoderShape.read(checkpoint.config)
        tensors = DecoderTensors(shape)
        tensors.check(checkpoint)
        strange = tensors.strange(checkpoint)
        if strange is None:
            return shape
        reason = f"tensor {strange!r} is not of its family"
    raise PullError(
        f"onnx-cpu does not write the graph of this model: {reason}; "
        f"it writes those of {', '.join(FAMILIES)} and of the encoders {', '.join(ENCODERS)}",
        hint="Run `homeport export MODEL --to DIR --with optimum`, and pull what it wrote from DIR",
    )
