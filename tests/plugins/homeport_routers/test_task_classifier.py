import json
import struct
from importlib.resources import files

import pytest

from homeport import EmbeddingRequest, LoadError, Terms
from homeport_routers.marks import marks_of
from homeport_routers.task_classifier import ARTEFACT, MAGIC, TaskClassifier
from homeport_routers.task_reader import TaskReader
from homeport_routers.task_type import TaskType, normal_task

DATA = (files("homeport_routers") / ARTEFACT).read_bytes()
HEAD_AT = len(MAGIC) + 4


def with_head(**changes):
    """Change entries of the file's head."""
    (length,) = struct.unpack_from("<I", DATA, len(MAGIC))
    head = json.dumps(json.loads(DATA[HEAD_AT : HEAD_AT + length]) | changes).encode()
    return MAGIC + struct.pack("<I", len(head)) + head + DATA[HEAD_AT + length :]


@pytest.fixture(scope="module")
def classifier():
    return TaskClassifier.shipped()


def test_the_file_is_small():
    """What is installed takes less than a megabyte."""
    assert len(DATA) < 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "Should I book first class or economy?",
        "first class",
        "My first class at university was fun.",
        "Is a business class seat worth it? The return was late.",
    ],
)
def test_first_class_is_not_code(classifier, text):
    """Words that code uses too do not make a text code."""
    assert classifier.guess(text).task not in {TaskType.CODE_GENERATION, TaskType.CODE_ANALYSIS}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "asdf qwer",
        "\u65e5\u672c\u306e\u9996\u90fd\u306f\u3069\u3053\u3067\u3059\u304b",
        "\ud800",
        "Schreibe ein Gedicht",
    ],
)
def test_it_abstains_from_what_it_does_not_know(ask, text):
    """A text of unknown words has no type."""
    assert TaskReader(0.6).task(ask(text)) == ""


def test_nobody_can_be_surer_than_sure(ask):
    """With a bound of 1, hardly anything is guessed."""
    assert TaskReader(1.0).task(ask("Write something")) == ""


def test_the_caller_knows_best(ask):
    """A task that the caller names is taken as it is, also one that the classifier has never heard of."""
    assert TaskReader(0.6).task(ask("Write a poem", task="Legal_Review")) == "legal-review"
    assert normal_task("  Code  Generation ") == TaskType.CODE_GENERATION


def test_an_embedding_request_is_one():
    """What kind of request it is needs no guess."""
    asked = EmbeddingRequest(id="r", model="m", inputs=("Write a poem",), terms=Terms())
    assert TaskReader(0.6).task(asked) == TaskType.EMBEDDING


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04" + DATA,
        DATA[:3],
        DATA[:40],
        DATA[:-1],
        DATA + b"\x00",
        MAGIC + b"\xff\xff\xff\xff",
        MAGIC + struct.pack("<I", 2) + b"[]",
        with_head(dimensions=8),
        with_head(dimensions=0),
        with_head(marks=-1),
        with_head(marks=10**12),
        with_head(types=["code"]),
        with_head(scale=None),
        with_head(scale=float("nan")),
        with_head(bias=[]),
        with_head(weights=[[1.0]]),
    ],
)
def test_a_damaged_file_is_refused(data):
    """Cut, longer, renamed or with a lying head: an error, and nothing is unpickled."""
    with pytest.raises(LoadError, match="damaged"):
        TaskClassifier.parse(data)


@pytest.mark.parametrize("text", ["a" * 100_000, "?!" * 5000, "x " * 5000, "{}" * 1000])
def test_the_marks_of_a_text_are_bounded(text):
    """However long a text is, the work for it is bounded."""
    assert len(marks_of(text)) < 2600
