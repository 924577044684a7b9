"""Kinds of tasks that routing knows."""

from enum import StrEnum


class TaskType(StrEnum):
    """What a request is about; callers may name others, which rules can match."""

    CODE_GENERATION = "code-generation"
    CODE_ANALYSIS = "code-analysis"
    GENERAL_CHAT = "general-chat"
    COMPLEX_REASONING = "complex-reasoning"
    CREATIVE_WRITING = "creative-writing"
    EXTRACTION = "extraction"
    SUMMARY = "summary"
    EMBEDDING = "embedding"


def normal_task(name: str) -> str:
    """Spell a task's name as the types are: lower case, with dashes."""
    return "-".join(name.casefold().replace("_", " ").replace("-", " ").split())
