import pytest

from homeport.domain.errors import InvalidRequestError
from homeport.models.names import ModelName


@pytest.mark.parametrize(
    ("text", "full", "display"),
    [
        ("smollm2", "registry.ollama.ai/library/smollm2:latest", "smollm2:latest"),
        ("  smollm2:135m ", "registry.ollama.ai/library/smollm2:135m", "smollm2:135m"),
        ("Qwen/Qwen3-8B", "registry.ollama.ai/Qwen/Qwen3-8B:latest", "Qwen/Qwen3-8B:latest"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("huggingface.co/user/repo", "hf.co/user/repo:latest", "hf.co/user/repo:latest"),
        ("host:5000/team/model:v1", "host:5000/team/model:v1", "host:5000/team/model:v1"),
    ],
)
def test_fills_in_what_a_name_leaves_out(text, full, display):
    """A name means the same whether its defaults are written or not, and always shows its tag."""
    name = ModelName.parse(text)
    assert (name.full, name.display) == (full, display)
    assert ModelName.parse(name.full) == name
    assert ModelName.parse(name.display) == name


def test_compares_without_case():
    """Two spellings of one name are equal and hash alike, and each keeps its own look."""
    one, other = ModelName.parse("SmolLM2:135M"), ModelName.parse("smollm2:135m")
    assert one == other
    assert hash(one) == hash(other)
    assert one.display == "SmolLM2:135M"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", ":", "a:", ":a", "a:b:c", "/a", "a/", "a//b", "a/b/c/d", ".a", "a:.b", "-a", "a.b/c", "..",
        "../a", "a/../b", "a\0b", "a b", "a\\b", "C:\\a", "/etc/passwd", "~/model", "./model", "http://host/a/b",
        "a\uff0fb", "a" * 81, "a:" + "b" * 81, "h" * 351 + "/a/b", "sha256:../..",
    ],
)  # fmt: skip
def test_refuses_what_is_no_name(text):
    """Anything that could be a path, an address or a control character is no name."""
    with pytest.raises(InvalidRequestError, match="invalid model name") as caught:
        ModelName.parse(text)
    assert caught.value.field == "model"


def test_takes_parts_of_the_greatest_length():
    """80 characters fit into a part, 350 into a host."""
    assert ModelName.parse(f"{'h' * 350}/{'n' * 80}/{'m' * 80}:{'t' * 80}").tag == "t" * 80


def test_drops_local():
    """``:local`` says where a model is, not which."""
    assert ModelName.parse("smollm2:local").display == "smollm2:latest"
    assert ModelName.parse("smollm2:135m:local").display == "smollm2:135m"


def test_knows_cloud_names():
    """Both spellings of Ollama's cloud tags are recognised, so that they can be told apart from models."""
    assert ModelName.parse("gpt:20b:cloud") == ModelName.parse("gpt:20b-cloud")
    assert ModelName.parse("gpt:cloud").is_cloud
    assert ModelName.parse("gpt:20b-cloud").is_cloud
    assert not ModelName.parse("cloud:20b").is_cloud


@pytest.mark.parametrize("text", ["a:local:cloud", "a:cloud:local", "a:20b-cloud:local"])
def test_refuses_local_and_cloud_together(text):
    """A model cannot be both here and in the cloud; the error is Ollama's own."""
    with pytest.raises(InvalidRequestError) as caught:
        ModelName.parse(text)
    assert caught.value.message == f'use either :local or :cloud, not both: "{text}"'


@pytest.mark.parametrize(
    ("text", "hub_id"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("hf.co/user/repo:Q8_0", "user/repo"),
        ("smollm2", None),
        ("other.host/user/repo", None),
    ],
)
def test_tells_which_names_can_be_hub_repositories(text, hub_id):
    """Only names with an owner, and without a registry of their own, are looked for on the hub."""
    assert ModelName.parse(text).hub_id == hub_id
