"""Whether the files of a model in Ollama's store are what their names say."""

import hashlib
from pathlib import Path

from homeport_ollama.store_manifest import BadManifestError, Blobs, Layer, read_manifest


class StoreDamage:
    """Hashes the files of models; one that several share is read once.

    Args:
        root: The store.
    """

    def __init__(self, root: Path) -> None:
        self._blobs = Blobs(root)
        self._seen: dict[str, str] = {}

    def of(self, manifest: Path) -> str:
        """Say what is damaged of a model; empty where nothing is. Reads every byte: 1 s per GB or so.

        Args:
            manifest: Of the model.
        """
        try:
            layers = read_manifest(manifest, self._blobs).layers
            return next(filter(None, map(self._damage, layers)), "")
        except BadManifestError as error:
            return str(error)

    def _damage(self, layer: Layer) -> str:
        if layer.digest not in self._seen:
            self._seen[layer.digest] = self._hashed(layer)
        return self._seen[layer.digest]

    def _hashed(self, layer: Layer) -> str:
        try:
            with self._blobs.path(layer).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"blob {layer.digest[:19]} cannot be read: {error.strerror}"
        return "" if f"sha256:{digest}" == layer.digest else f"blob {layer.digest[:19]} is damaged"
