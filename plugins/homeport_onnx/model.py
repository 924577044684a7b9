"""The backend's ``TokenModel``: picks the way that fits a folder."""

from pathlib import Path

from loguru import logger

from homeport import LoadError, LoadPlan
from homeport.checkpoint import REPAIR_HINT, BoundedModel, Decoder, Encoder, OnnxFile
from homeport_onnx.config import OnnxConfig
from homeport_onnx.decoder_form import LOGITS_AT
from homeport_onnx.encoder import OnnxEncoder
from homeport_onnx.genai_folder import GenaiFolder
from homeport_onnx.growing_cache_decoder import PAST, GrowingCacheDecoder
from homeport_onnx.shared_cache_decoder import SharedCacheDecoder

_SHARES_MEMORY = "GroupQueryAttention"
"""The operator that writes new keys and values into the past it is given."""


class OnnxModel(BoundedModel):
    """One model: a build of homeport's own, or a folder that another program exported.

    Args:
        config: The backend's settings.
    """

    def __init__(self, config: OnnxConfig) -> None:
        super().__init__()
        self._config = config

    def _open(self, folder: Path, plan: LoadPlan) -> Decoder | Encoder:
        opened = self._on_its_way(OnnxFile.read(_graph_file(folder)), folder, plan)
        logger.debug("computing on {} threads through onnxruntime: {}", plan.threads, opened.facts.computes)
        return opened

    def _on_its_way(self, graph: OnnxFile, folder: Path, plan: LoadPlan) -> Decoder | Encoder:
        if graph.has_input(LOGITS_AT) or _SHARES_MEMORY in graph.operators:
            return SharedCacheDecoder.load(graph, folder, plan, self._config)
        if any(name.startswith(PAST) for name in graph.inputs):
            return GrowingCacheDecoder.load(graph, folder, plan, self._config)
        return OnnxEncoder.load(folder, graph, plan, self._config)


def _graph_file(folder: Path) -> Path:
    """Find the graph of a folder.

    Raises:
        LoadError: There is none, or there are several and none has the usual name.
    """
    named = GenaiFolder.read(folder).file_name
    files = sorted(folder.glob("*.onnx"))
    for file in files:
        if file.name == named:
            return file
    if len(files) == 1:
        return files[0]
    if files:
        listed = ", ".join(repr(file.name) for file in files)
        raise LoadError(
            f"{folder} holds {listed:.300}, expected one file, or one named {named!r}",
            hint=f"Rename the one to be run to {named}, and leave the others out",
        )
    if any(folder.glob("*.safetensors")):
        raise LoadError(
            f"{folder} holds weights but no ONNX graph", hint="Build it with `homeport pull NAME`"
        )
    raise LoadError(f"{folder} holds no {named!r}", hint=REPAIR_HINT)
