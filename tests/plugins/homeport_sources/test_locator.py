from homeport_sources.locator import Locator


def test_takes_a_locator_apart():
    """All parts are found whatever order the options have."""
    found = Locator.parse("pypi:a==1?size=3&sha256=ab#x/y.gguf", "pypi")
    assert found == Locator(path="a==1", options={"size": "3", "sha256": "ab"}, fragment="x/y.gguf")


def test_parts_may_be_missing():
    """A path alone is a locator."""
    assert Locator.parse("hf:a/b", "hf") == Locator(path="a/b", options={}, fragment="")


def test_leaves_other_schemes_alone():
    """A locator of another scheme is none of ours."""
    assert Locator.parse("hf:a/b", "pypi") is None
