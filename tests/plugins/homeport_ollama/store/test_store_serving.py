import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TEMPLATE = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)
SLACK_BYTES = 4 * 1024**2
"""Tokenizer, configs, records and logs."""


def bytes_below(folder: Path) -> int:
    """Disk use, links not followed."""
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return sum(path.lstat().st_blocks * 512 for path in files)


def homeport(*arguments, **variables):
    """Run a command; gives its standard output."""
    ran = finished(*arguments, **variables)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def finished(*arguments, **variables):
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "homeport", *arguments],
        env={**_inherited(), **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def _inherited():
    """What a process of ours is not warned about."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT_")}


def test_a_model_of_ollama_is_removed_with_ollama(tmp_path, folder):
    """``homeport rm`` takes nothing out of Ollama's folder, and says who does."""
    manifest = folder.add("library/harbour/latest")
    ran = finished(
        "rm",
        "harbour",
        HOMEPORT_HOME=str(tmp_path / "home"),
        OLLAMA_MODELS=str(folder.root),
        HOMEPORT_SERVER_PORT="0",
    )
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == [
        "Error: 'harbour' is Ollama's: it lies in Ollama's folder, which homeport only reads",
        "Remove it there: ollama rm harbour",
    ]
    assert manifest.exists()


@pytest.mark.model
def test_a_model_of_ollama_is_listed_and_answers_without_a_second_copy(tmp_path, folder, starter_gguf):
    """What Ollama has downloaded answers; the disk takes no more than the packed weights."""
    folder.add(
        "library/harbour/135m",
        weights=starter_gguf,
        config={"file_type": "Q4_1"},
        params={"temperature": 0, "stop": ["<|im_end|>"]},
        system="You are a helpful assistant.",
        template=TEMPLATE,
    )
    home = tmp_path / "home"
    before = {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")}
    variables = {
        "HOMEPORT_HOME": str(home),
        "OLLAMA_MODELS": str(folder.root),
        "HOMEPORT_SERVER_PORT": "0",
    }
    (listed,) = json.loads(homeport("list", "--json", **variables))["models"]
    assert (listed["name"], listed["origin"]) == ("harbour:135m", "ollama-store")
    header, line = homeport("list", **variables).splitlines()
    assert (header.split()[-1], line.split()[-1]) == ("ORIGIN", "ollama-store")
    used = bytes_below(home)
    answer = homeport("run", "harbour:135m", "What is the capital of France?", **variables)
    assert "Paris" in answer
    (entry,) = (home / "models" / "entries").iterdir()
    packed = (entry / "model.safetensors").stat().st_size
    assert bytes_below(home) - used <= packed + SLACK_BYTES
    assert packed <= starter_gguf.stat().st_size * 1.02
    assert not list((home / "models" / "incoming").iterdir())
    assert {path: path.stat().st_mtime_ns for path in folder.root.rglob("*")} == before
    (listed,) = json.loads(homeport("list", "--json", **variables))["models"]
    assert "origin" not in listed
