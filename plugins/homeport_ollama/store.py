"""Ollama's model store as a source: what was downloaded already is used in place."""

import hashlib
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import attrs
from loguru import logger

from homeport import Artifact, Capability, FetchProgress, ModelInfo, PullError
from homeport_ollama.definition import DEFINITION_FILE, definition_of
from homeport_ollama.store_config import OllamaStoreConfig
from homeport_ollama.store_manifest import (
    ADAPTER,
    MODEL,
    PROJECTOR,
    TEMPLATE,
    BadManifestError,
    Blobs,
    Layer,
    ModelFiles,
    read_manifest,
)
from homeport_ollama.store_names import ManifestFile, displayed, manifest_files, parsed

NAME = "ollama-store"

READABLE_FAMILIES = frozenset({"llama", "qwen2", "qwen3"})
"""Architectures of GGUF that homeport converts."""

_MOST_MODELS = 1000
_MOST_TOLD = 5
_LATEST_SECONDS = 4e9
"""In 2096: a clock that was wrong, or a hostile disk, must not name a year that no date can hold."""
_CHUNK_BYTES = 4 * 1024**2
_COUNT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([KMBT])")
_UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_MARKS: Mapping[Capability, bytes] = MappingProxyType(
    {Capability.TOOLS: b".Tools", Capability.INSERT: b".Suffix", Capability.THINKING: b".Thinking"}
)
"""What a template names that serves a capability."""
_NOTE = "lies in Ollama's store; converted when it is first asked for"


@attrs.frozen(kw_only=True)
class ShelvedModel:
    """A model of Ollama's store.

    Attributes:
        info: As it is listed.
        obstacle: Why it cannot be used here; empty where it can.
        path: Of its manifest.
    """

    info: ModelInfo
    obstacle: str
    path: Path


def build(config: OllamaStoreConfig) -> "OllamaStore | None":
    """Build the source; None where the settings leave it off."""
    return OllamaStore(config) if config.enabled else None


class OllamaStore:
    """Lists the models of Ollama's store and hands their files over where they lie.

    Args:
        config: Where it is.
        pause_seconds: For how long a list is given again: a look at 50 models takes 2 ms, and every request
            asks.
    """

    def __init__(self, config: OllamaStoreConfig | None = None, *, pause_seconds: float = 1.0) -> None:
        self._config = config or OllamaStoreConfig()
        self._pause_seconds = pause_seconds
        self._listed: Sequence[ModelInfo] = ()
        self._looked_at = -math.inf
        self._revision: object = None
        self._surveyed: tuple[ShelvedModel, ...] = ()
        self._told: tuple[str, ...] = ()

    def models(self) -> Sequence[ModelInfo]:
        """List the models that can be used."""
        if time.monotonic() - self._looked_at >= self._pause_seconds:
            self._listed = [model.info for model in self.survey() if not model.obstacle]
            self._looked_at = time.monotonic()
        return self._listed

    def survey(self) -> Sequence[ShelvedModel]:
        """List all models, newest first; files are read again only when a manifest changed."""
        root = self._config.root
        found = () if root is None else tuple(islice(manifest_files(root / "manifests"), _MOST_MODELS))
        revision = (root, tuple((file.parts, file.mtime_ns, file.size) for file in found))
        if root is None:
            self._surveyed = ()
        elif revision != self._revision:
            models = (self._read(file, Blobs(root)) for file in found)
            usable = (model for model in models if model is not None)
            self._surveyed = tuple(sorted(usable, key=lambda model: model.info.modified_at, reverse=True))
            self._tell()
        self._revision = revision
        return self._surveyed

    def locate(self, locator: str) -> Artifact | None:
        """Recognise the name of a model that lies in the store and can be used."""
        wanted = parsed(locator)
        for model in self.survey() if wanted else ():
            if not model.obstacle and parsed(model.info.name) == wanted:
                return Artifact(
                    source=NAME,
                    locator=f"{model.info.name}@sha256:{model.info.digest}",
                    local_bytes=model.info.size_bytes,
                )
        return None

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        """Verify the weights, link to them where they lie, and write down what else the model says.

        Raises:
            PullError: The model is not in the store any more, was changed, or is damaged.
        """
        name, _, digest = artifact.locator.partition("@sha256:")
        model = next((each for each in self.survey() if each.info.name == name), None)
        root = self._config.root
        if model is None or root is None or model.info.digest != digest:
            raise PullError(
                f"{name!r} in Ollama's store was changed or removed meanwhile", hint="ask for it again"
            )
        blobs = Blobs(root)
        try:
            files = read_manifest(model.path, blobs)
            (layer,) = files.of(MODEL)
            definition = definition_of(files, blobs)
            weights = blobs.path(layer)
        except (BadManifestError, ValueError) as error:
            raise _damaged(name, str(error)) from error
        _verify(name, weights, layer, progress)
        (into / "model.gguf").symlink_to(weights)
        (into / DEFINITION_FILE).write_text(json.dumps(definition, ensure_ascii=False), encoding="utf-8")

    def _read(self, file: ManifestFile, blobs: Blobs) -> ShelvedModel | None:
        name = displayed(file.parts)
        if name is None:
            return None
        modified_at = datetime.fromtimestamp(min(max(file.mtime_ns / 1e9, 0), _LATEST_SECONDS), UTC)
        try:
            files = read_manifest(file.path, blobs)
            info = _info(name, files, blobs, modified_at)
            obstacle = _obstacle(files, blobs)
        except BadManifestError as error:
            digest = hashlib.sha256(f"{NAME} {name}".encode()).hexdigest()
            info = ModelInfo(name=name, digest=digest, backend="", modified_at=modified_at, origin=NAME)
            obstacle = str(error)
        return ShelvedModel(info=info, obstacle=obstacle, path=file.path)

    def _tell(self) -> None:
        """Log once what is left out, and again only when that changes."""
        unusable = tuple(
            f"{model.info.name} ({model.obstacle})" for model in self._surveyed if model.obstacle
        )
        if unusable and unusable != self._told:
            shown = "; ".join(unusable[:_MOST_TOLD])
            more = f" and {len(unusable) - _MOST_TOLD} more" if len(unusable) > _MOST_TOLD else ""
            logger.warning("models of Ollama's store that cannot be used here: {}{}", shown, more)
        self._told = unusable


def _info(name: str, files: ModelFiles, blobs: Blobs, modified_at: datetime) -> ModelInfo:
    config = files.config
    return ModelInfo(
        name=name,
        digest=files.digest,
        backend="",
        size_bytes=files.size_bytes,
        modified_at=modified_at,
        capabilities=_capabilities(files, blobs),
        family=(config.model_family or "")[:80],
        parameter_count=_count(config.model_type or ""),
        quantization=(config.file_type or "")[:40],
        weights_note=_NOTE,
        origin=NAME,
    )


def _capabilities(files: ModelFiles, blobs: Blobs) -> frozenset[Capability]:
    """Tell by the template, as Ollama does, what the model will be able to do."""
    text = b"".join(blobs.text(layer) for layer in files.of(TEMPLATE))
    return frozenset({Capability.COMPLETION, *(each for each, mark in _MARKS.items() if mark in text)})


def _obstacle(files: ModelFiles, blobs: Blobs) -> str:
    """Say why a model cannot be used; empty where it can."""
    config = files.config
    weights = files.of(MODEL)
    if files.of(ADAPTER):
        return "it is an adapter on another model, which homeport cannot apply"
    if files.of(PROJECTOR):
        return "it sees images, which homeport does not"
    if len(weights) != 1:
        return f"it has {len(weights)} files of weights, expected one"
    if config.model_format not in {None, "", "gguf"}:
        return f"its weights are {config.model_format!r:.40}, expected gguf"
    families = {config.model_family or "", *(config.model_families or ())} - {""}
    if not families <= READABLE_FAMILIES:
        unknown = ", ".join(sorted(families - READABLE_FAMILIES))
        return f"its architecture {unknown:.80} cannot be read from GGUF; pull it from its publisher"
    blobs.path(weights[0])
    return ""


def _count(told: str) -> int:
    """Read ``134.52M``; 0 where it is none."""
    match = _COUNT.fullmatch(told.strip())
    return round(float(match.group(1)) * _UNITS[match.group(2)]) if match else 0


def _verify(name: str, weights: Path, layer: Layer, progress: FetchProgress) -> None:
    digest = hashlib.sha256()
    done = 0
    try:
        with weights.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                progress(layer.digest, done, layer.size)
    except OSError as error:
        raise _damaged(name, error.strerror or type(error).__name__) from error
    if f"sha256:{digest.hexdigest()}" != layer.digest:
        raise _damaged(name, f"the sha256 of its weights is {digest.hexdigest()}, expected {layer.digest}")


def _damaged(name: str, cause: str) -> PullError:
    return PullError(
        f"{name!r} cannot be taken from Ollama's store: {cause}", hint=f"mend it with: ollama pull {name}"
    )
