import hashlib
import shutil

import pytest

from homeport import Capability
from homeport.models.manifest import Manifest, ModelFile, WeightsFormat
from homeport.models.names import ModelName
from homeport.models.store import ModelStore
from homeport.testing.tiny_model import CONTEXT_LENGTH, write_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder that the checksum model and its tokenizer load."""
    folder = tmp_path_factory.mktemp("tiny-model")
    write_tiny_model(folder)
    return folder


@pytest.fixture
def install_tiny(tiny_folder):
    """Put the tiny model into a store under a name."""

    def install(store: ModelStore, name="tiny"):
        files = tuple(
            ModelFile(
                path=path.name,
                size=path.stat().st_size,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in sorted(tiny_folder.iterdir())
        )
        manifest = Manifest(
            source="tests",
            locator="tiny",
            converted_from=WeightsFormat.SAFETENSORS,
            capabilities=frozenset({Capability.COMPLETION, Capability.EMBEDDING}),
            family="checksum",
            context_length=CONTEXT_LENGTH,
            files=files,
        )
        with store.staging() as folder:
            staged = folder / "entry"
            shutil.copytree(tiny_folder, staged)
            return store.commit(staged, manifest, [ModelName.parse(name)])

    return install
