import pytest

from homeport.testing.tiny_model import ChecksumModel
from homeport.testing.token_model_conformance import TokenModelConformance


class TestChecksumModel(TokenModelConformance):
    """The tiny model keeps the contract of every local backend, to the last bit."""

    tolerance = 0.0

    def make_model(self):
        return ChecksumModel()

    @pytest.fixture
    def model_path(self, tiny_folder):
        return tiny_folder
