import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

URL, MODEL = os.environ["HOMEPORT_URL"], os.environ["HOMEPORT_CHAT_MODEL"]


@pytest.fixture
def llm(tmp_path):
    def run(*arguments):
        command = [str(Path(sys.executable).with_name("llm")), *arguments]
        environment = {**os.environ, "OLLAMA_HOST": URL, "LLM_USER_PATH": str(tmp_path)}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def test_models_are_found(llm):
    assert MODEL in llm("models", "list")
    assert "all-minilm" in llm("embed-models", "list")


def test_prompt_is_answered(llm):
    assert "Paris" in llm("-m", f"ollama/{MODEL}", "-o", "temperature", "0", "What is the capital of France?")


def test_schema_is_followed(llm):
    name = {"type": "string", "maxLength": 20}
    schema = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    answer = json.loads(llm("-m", f"ollama/{MODEL}", "--schema", json.dumps(schema), "The capital of France"))
    assert set(answer) == {"name"}


def test_text_is_embedded(llm):
    assert len(json.loads(llm("embed", "-m", "ollama/all-minilm", "-c", "bread"))) == 384
