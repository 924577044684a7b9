import pytest

from homeport.engine.tokenizer import TextTokenizer


@pytest.fixture(scope="session")
def tokenizer(tiny_folder):
    """The byte tokenizer of the tiny model."""
    return TextTokenizer(tiny_folder)
