"""What both servers are asked."""

from collections.abc import Sequence
from pathlib import Path

from homeport import StoreError

PROMPTS: Sequence[str] = (
    "What is the capital of France?",
    "What is the capital of Japan?",
    "Name three colours.",
    "Count from one to five.",
    "What is 2 + 2?",
    "What is 10 - 3?",
    "Say hello in French.",
    "Say good morning in German.",
    "What is the opposite of hot?",
    "What is the opposite of early?",
    "Name a fruit that is yellow.",
    "Name a large animal.",
    "How many days has a week?",
    "How many months has a year?",
    "Complete: the sky is",
    "Complete: once upon a",
    "Write one sentence about the sea.",
    "Write one sentence about bread.",
    "What does a baker do?",
    "What does a pilot do?",
    "Which season follows winter?",
    "Spell the word port.",
    "Is water wet? Answer yes or no.",
    "Is ice warm? Answer yes or no.",
)
"""What both servers are asked, at temperature 0."""
LEAST_PROMPTS = 20


def prompts_of(path: Path | None) -> Sequence[str]:
    """Read prompts, one a line; ours where there is no file.

    Raises:
        StoreError: There are too few, or the file cannot be read.
    """
    if path is None:
        return PROMPTS
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    prompts = [line for line in lines if line]
    if len(prompts) < LEAST_PROMPTS:
        raise StoreError(f"{path} has {len(prompts)} prompts, needed are {LEAST_PROMPTS}, one a line")
    return prompts
