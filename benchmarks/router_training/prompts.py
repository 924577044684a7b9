"""Labelled prompts: those to train with are made from patterns, those to test with were written one by one.

A file of patterns belongs to a task type. A line of it is ``LEVEL|TEXT``: 1 is simple, 2 standard, 3
complex; names in braces stand for the entries of ``slots.toml``. A line of ``held_out.txt`` is ``TASK|TEXT``;
none of its prompts was made from a pattern.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs

from homeport_routers.task_type import TaskType

_FOLDER = Path(__file__).parent
_PATTERNS = _FOLDER / "prompts"
_HELD_OUT = _FOLDER / "held_out.txt"
_SLOT = re.compile(r"\{([a-z]+)\}")
_PER_TASK = 400
_FRAMES = (
    "{}", "{}", "{}", "{}", "Please {}", "Could you help? {}", "{} Thanks!", "Hi! {}", "{} It is urgent.",
    "You are a helpful assistant. {}", "I have a request: {}", "{}\n",
)  # fmt: skip
"""What people put around a request; most put nothing."""


@attrs.frozen
class Prompt:
    """A labelled prompt.

    Attributes:
        task: What it is about.
        text: What is asked.
        level: How hard it is: 1 to 3, or 0 where nobody said.
    """

    task: TaskType
    text: str
    level: int = 0


def training_prompts(random: Random) -> list[Prompt]:
    """Make as many different prompts for each type of task."""
    slots = tomllib.loads((_PATTERNS / "slots.toml").read_text(encoding="utf-8"))
    return [prompt for task in TaskType for prompt in _of(task, slots, random)]


def held_out_prompts() -> list[Prompt]:
    """Read the prompts that nothing is trained with."""
    lines = _HELD_OUT.read_text(encoding="utf-8").splitlines()
    return [Prompt(TaskType(task), _lines(text)) for task, _, text in (line.partition("|") for line in lines)]


def _of(task: TaskType, slots: dict[str, list[str]], random: Random) -> list[Prompt]:
    path = _PATTERNS / f"{task}.txt"
    patterns = [line.partition("|") for line in path.read_text(encoding="utf-8").splitlines()]
    made: dict[str, Prompt] = {}
    for level, _, pattern in _for_ever(patterns, random):
        text = random.choice(_FRAMES).format(_filled(_lines(pattern), slots, random))
        text = text.lower() if random.random() < 0.15 else text
        made.setdefault(text, Prompt(task, text, int(level)))
        if len(made) == _PER_TASK:
            return list(made.values())
    return []


def _for_ever(patterns: list[tuple[str, str, str]], random: Random) -> Iterator[tuple[str, str, str]]:
    """Give all patterns, again and again, each time in another order."""
    while True:
        yield from random.sample(patterns, len(patterns))


def _filled(pattern: str, slots: dict[str, list[str]], random: Random) -> str:
    return _SLOT.sub(lambda slot: random.choice(slots[slot[1]]), pattern)


def _lines(text: str) -> str:
    return text.replace("\\n", "\n")
