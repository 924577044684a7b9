"""One model of Ollama's store: its manifest, the blobs that it names, and what its config blob tells.

Layout and media types follow ``server/manifest.go`` and ``server/images.go`` of
https://github.com/ollama/ollama: a manifest is JSON below ``manifests/<host>/<namespace>/<model>/<tag>``, and
each of its layers is a file ``blobs/sha256-<hex>``.
"""

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Final

import attrs
import msgspec

MODEL: Final = "application/vnd.ollama.image.model"
TEMPLATE: Final = "application/vnd.ollama.image.template"
SYSTEM: Final = "application/vnd.ollama.image.system"
PARAMETERS: Final = "application/vnd.ollama.image.params"
MESSAGES: Final = "application/vnd.ollama.image.messages"
LICENSE: Final = "application/vnd.ollama.image.license"
PROJECTOR: Final = "application/vnd.ollama.image.projector"
ADAPTER: Final = "application/vnd.ollama.image.adapter"

MOST_TEXT_BYTES = 1024**2
"""Of a manifest, a config blob, and a layer that is text."""
_MOST_LAYERS = 64
_MOST_LAYER_BYTES = 2**50
"""A petabyte: 64 of them are still a number that every JSON reader takes."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class BadManifestError(ValueError):
    """A model of the store cannot be used; says why, without a path."""


class Layer(msgspec.Struct, rename={"media_type": "mediaType"}):
    """One layer as a manifest names it; ``size`` is in bytes."""

    media_type: str
    digest: str
    size: int


class _Manifest(msgspec.Struct):
    layers: list[Layer]
    config: Layer | None = None


class Config(msgspec.Struct):
    """The config blob, as far as it describes the model; a number or a text of Ollama's own words."""

    model_format: str | None = None
    model_family: str | None = None
    model_families: list[str] | None = None
    model_type: str | None = None
    file_type: str | None = None


@attrs.frozen(kw_only=True)
class ModelFiles:
    """What a manifest says.

    Attributes:
        digest: SHA-256 of the manifest, by which Ollama's list names the model: 64 hexadecimal digits.
        config: What the config blob says.
        layers: In their order.
        size_bytes: Of all blobs, as Ollama's list counts them.
    """

    digest: str
    config: Config
    layers: tuple[Layer, ...]
    size_bytes: int

    def of(self, media_type: str) -> tuple[Layer, ...]:
        """Give the layers of one kind."""
        return tuple(layer for layer in self.layers if layer.media_type == media_type)


class Blobs:
    """The files that manifests name; none outside the store is ever read.

    Args:
        root: The store.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, layer: Layer) -> Path:
        """Say where a layer lies.

        Raises:
            BadManifestError: Its digest is none, it is missing, cut short or no file of the store.
        """
        match = _DIGEST.fullmatch(layer.digest)
        if match is None:
            raise BadManifestError(f"{layer.digest!r:.90} is no digest")
        name = f"sha256-{match.group(1)}"
        try:
            place = (self._root / "blobs" / name).resolve(strict=True)
            status = place.stat()
        except (OSError, RuntimeError) as error:
            raise BadManifestError(f"blob {name[:19]} cannot be read: {_reason(error)}") from error
        if not place.is_relative_to(self._root.resolve()) or not stat.S_ISREG(status.st_mode):
            raise BadManifestError(f"blob {name[:19]} is no file of the store")
        if status.st_size != layer.size:
            raise BadManifestError(f"blob {name[:19]} has {status.st_size} bytes, expected {layer.size}")
        if not os.access(place, os.R_OK):
            raise BadManifestError(f"blob {name[:19]} cannot be read: it belongs to another user")
        return place

    def text(self, layer: Layer) -> bytes:
        """Read a small layer, and check its digest.

        Raises:
            BadManifestError: It is too large, damaged, or cannot be read.
        """
        if not 0 <= layer.size <= MOST_TEXT_BYTES:
            raise BadManifestError(f"a text of {layer.size} bytes, allowed are {MOST_TEXT_BYTES}")
        data = read_bounded(self.path(layer))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != layer.digest:
            raise BadManifestError(f"blob {layer.digest[:19]} is not what its name says")
        return data


def read_manifest(path: Path, blobs: Blobs) -> ModelFiles:
    """Read a manifest and its config blob.

    Raises:
        BadManifestError: It is no manifest, or what it names is not there.
    """
    data = read_bounded(path)
    try:
        manifest = msgspec.json.decode(data, type=_Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadManifestError(f"no manifest: {error}") from error
    layers = manifest.layers
    if len(layers) > _MOST_LAYERS:
        raise BadManifestError(f"{len(layers)} layers, allowed are {_MOST_LAYERS}")
    if any(not 0 <= layer.size <= _MOST_LAYER_BYTES for layer in layers):
        raise BadManifestError(f"a layer has an impossible size, allowed are up to {_MOST_LAYER_BYTES} bytes")
    config = _config(manifest.config, blobs)
    return ModelFiles(
        digest=hashlib.sha256(data).hexdigest(),
        config=config,
        layers=tuple(layers),
        size_bytes=sum(layer.size for layer in layers) + (manifest.config.size if manifest.config else 0),
    )


def read_bounded(path: Path) -> bytes:
    """Read a small file that is no link.

    Raises:
        BadManifestError: It is too large, a link, or cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BadManifestError("no regular file")
            data = file.read(MOST_TEXT_BYTES + 1)
    except OSError as error:
        raise BadManifestError(f"cannot be read: {_reason(error)}") from error
    if len(data) > MOST_TEXT_BYTES:
        raise BadManifestError(f"larger than {MOST_TEXT_BYTES} bytes")
    return data


def _config(layer: Layer | None, blobs: Blobs) -> Config:
    if layer is None:
        return Config()
    try:
        return msgspec.json.decode(blobs.text(layer), type=Config)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadManifestError(f"its config is none: {error}") from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
