"""What the server says, as far as the command line shows it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import attrs

from homeport.cli.client import JsonObject

V = TypeVar("V")

_NOTHING: list[Any] = []

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for a moment that the server did not tell."""


@attrs.frozen(kw_only=True)
class InstalledModel:
    """A row of ``GET /api/tags``."""

    name: str
    digest: str
    size_bytes: int
    modified_at: datetime

    @classmethod
    def from_wire(cls, answer: JsonObject) -> Self:
        """Read one."""
        return cls(
            name=_get(answer, "name", ""),
            digest=_get(answer, "digest", ""),
            size_bytes=_get(answer, "size", 0),
            modified_at=_moment(answer, "modified_at"),
        )


@attrs.frozen(kw_only=True)
class RunningModel:
    """A row of ``GET /api/ps``; figures that another server than ours does not tell are 0."""

    name: str
    digest: str
    size_bytes: int
    predicted_bytes: int
    slots: int
    in_use: int
    threads: int
    accelerator_bytes: int
    context_length: int
    expires_at: datetime

    @classmethod
    def from_wire(cls, answer: JsonObject) -> Self:
        """Read one."""
        return cls(
            name=_get(answer, "name", ""),
            digest=_get(answer, "digest", ""),
            size_bytes=_get(answer, "size", 0),
            predicted_bytes=_get(answer, "size_predicted", 0),
            slots=_get(answer, "slots", 0),
            in_use=_get(answer, "in_use", 0),
            threads=_get(answer, "threads", 0),
            accelerator_bytes=_get(answer, "size_vram", 0),
            context_length=_get(answer, "context_length", 0),
            expires_at=_moment(answer, "expires_at"),
        )


@attrs.frozen(kw_only=True)
class ModelDescription:
    """The answer of ``POST /api/show``; texts are empty where the model has none.

    ``messages`` are those that precede every talk, as the wire has them.
    """

    license: str
    modelfile: str
    parameters: str
    template: str
    system: str
    details: Mapping[str, Any]
    model_info: Mapping[str, Any]
    capabilities: tuple[str, ...]
    messages: tuple[JsonObject, ...]

    @property
    def only_embeds(self) -> bool:
        """Whether it makes vectors and writes no text."""
        return "embedding" in self.capabilities and "completion" not in self.capabilities

    @property
    def awaited_build(self) -> str:
        """The backend that has to build it before it answers for the first time; empty where none has."""
        is_awaited = self.model_info.get("homeport.build.is_awaited") is True
        return str(self.model_info.get("homeport.build.backend", "")) if is_awaited else ""

    @property
    def build_progress(self) -> "PullProgress | None":
        """How far the build is that it awaits; None where the server does not tell, or makes none now."""
        total = _get(self.model_info, "homeport.build.total", 0)
        if not self.awaited_build or not total:
            return None
        completed = _get(self.model_info, "homeport.build.completed", 0)
        status = f"building for {self.awaited_build}"
        return PullProgress(status=status, digest="", total_bytes=total, completed_bytes=completed)

    @property
    def may_think(self) -> bool:
        """Whether it can think first; a server that tells no capabilities is believed to."""
        return not self.capabilities or "thinking" in self.capabilities

    @classmethod
    def from_wire(cls, answer: JsonObject) -> Self:
        """Read it."""
        return cls(
            license=_get(answer, "license", ""),
            modelfile=_get(answer, "modelfile", ""),
            parameters=_get(answer, "parameters", ""),
            template=_get(answer, "template", ""),
            system=_get(answer, "system", ""),
            details=_get(answer, "details", {}),
            model_info=_get(answer, "model_info", {}),
            capabilities=tuple(str(item) for item in _get(answer, "capabilities", _NOTHING)),
            messages=tuple(item for item in _get(answer, "messages", _NOTHING) if isinstance(item, dict)),
        )


@attrs.frozen(kw_only=True)
class PullProgress:
    """A line of ``POST /api/pull``; ``total_bytes`` is 0 where it speaks of no file."""

    status: str
    digest: str
    total_bytes: int
    completed_bytes: int

    @classmethod
    def from_wire(cls, answer: JsonObject) -> Self:
        """Read one."""
        return cls(
            status=_get(answer, "status", ""),
            digest=_get(answer, "digest", ""),
            total_bytes=_get(answer, "total", 0),
            completed_bytes=_get(answer, "completed", 0),
        )


@attrs.frozen(kw_only=True)
class AnswerTiming:
    """The figures of a final chunk, and when the first text came; durations are nanoseconds."""

    first_token: int
    total_duration: int
    load_duration: int
    prompt_tokens: int
    cached_prompt_tokens: int
    prompt_duration: int
    answer_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    answer_duration: int

    @classmethod
    def from_wire(cls, answer: JsonObject, *, first_token: int = 0) -> Self:
        """Read them."""
        return cls(
            first_token=first_token,
            total_duration=_get(answer, "total_duration", 0),
            load_duration=_get(answer, "load_duration", 0),
            prompt_tokens=_get(answer, "prompt_eval_count", 0),
            cached_prompt_tokens=_get(answer, "prompt_eval_cached_count", 0),
            prompt_duration=_get(answer, "prompt_eval_duration", 0),
            answer_tokens=_get(answer, "eval_count", 0),
            drafted_tokens=_get(answer, "draft_count", 0),
            accepted_tokens=_get(answer, "draft_accepted_count", 0),
            answer_duration=_get(answer, "eval_duration", 0),
        )


def listed(answer: JsonObject) -> list[JsonObject]:
    """Give the models of a list answer."""
    return [row for row in _get(answer, "models", _NOTHING) if isinstance(row, dict)]


def _get(answer: Mapping[str, Any], key: str, default: V) -> V:
    """Read a field; one that is missing or of another type counts as not told."""
    value = answer.get(key)
    return value if isinstance(value, type(default)) else default


def _moment(answer: JsonObject, key: str) -> datetime:
    try:
        when = datetime.fromisoformat(_get(answer, key, ""))
    except ValueError:
        return _NEVER
    return when if when.tzinfo else when.replace(tzinfo=UTC)
