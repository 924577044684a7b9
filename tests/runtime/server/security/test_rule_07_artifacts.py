"""Rule 7: files of models are data; what they could run is refused, and templates reach nothing.

Lying sizes, damaged headers and cut files are tested where they are read:
``tests/runtime/models/conversion``.
"""

import json
import pickle
import re
from pathlib import Path

import pytest
from jinja2.exceptions import SecurityError, TemplateError

import homeport
import homeport_transformers
from homeport import Artifact, PullError
from homeport.domain.quantisation import WeightsWish
from homeport.engine.template_sandbox import TemplateSandbox
from homeport.models.conversion.importing import convert

SOURCES = [
    path
    for package in (homeport, homeport_transformers)
    for path in Path(package.__file__).parent.rglob("*.py")
]
RUNNING = re.compile(
    r"trust_remote_code=True|weights_only=False|\bpickle\.loads?\(|\bmarshal\.loads?\(|(?<![.\w])eval\(|(?<![.\w])exec\("
)


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_no_line_runs_what_a_file_holds():
    """Nothing here unpickles, evaluates, or trusts the code of a repository."""
    assert not [path for path in SOURCES if RUNNING.search(path.read_text())]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "model.safetensors"])
def test_a_pickle_is_refused_under_every_name(tmp_path, name):
    """It is never opened as what it is, also where it calls itself something else."""
    mark, published = tmp_path / "mark", tmp_path / "published"
    published.mkdir()
    (published / "config.json").write_text(
        json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    )
    (published / "tokenizer.json").write_text("{}")
    (published / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(PullError):
        convert(
            published,
            tmp_path / "entry",
            artifact=Artifact(source="tests", locator="tests:x"),
            wish=WeightsWish(),
            room_bytes=10**9,
            progress=lambda *_: None,
        )
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ ''|attr('__class__') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ 'a' * 10 ** 10 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    ],
)
def test_a_template_reaches_nothing(text):
    """Whatever stands in the template of a model, it finds no object of ours, no file, and an end."""
    sandbox = TemplateSandbox([], {})
    try:
        told = sandbox.rendered(sandbox.from_string(text), {"messages": []})
    except (SecurityError, TemplateError, OverflowError, TypeError):
        return
    assert told.strip() == ""
