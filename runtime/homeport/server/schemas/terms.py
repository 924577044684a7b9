"""The object ``homeport`` of a request, and of an answer that says something besides its dialect."""

import msgspec


class RequestTerms(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a client asks of the gateway; every field is optional.

    Unlike elsewhere, unknown fields are refused: only who knows homeport sends this object, and a misspelt
    ``local_only`` must not send a secret to another machine.
    """

    priority: str | None = None
    deadline_seconds: float | None = None
    agent: str | None = None
    job: str | None = None
    tags: list[str] | None = None
    task: str | None = None
    session: str | None = None
    local_only: bool | None = None
    strategy: str | None = None
    on_stream_failure: str | None = None
    seed: int | None = None


class AnswerMark(msgspec.Struct, kw_only=True):
    """A mark in a stream: what came of this choice so far is void."""

    restarted: bool
    index: int = 0
