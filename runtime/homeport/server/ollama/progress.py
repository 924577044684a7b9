"""Telling how far a pull or a creation is, line by line or at its end."""

import time
from collections.abc import AsyncIterator

from aiohttp import web

from homeport.models.flight import PullProgress
from homeport.server.dialects import json_response
from homeport.server.draining import READINESS
from homeport.server.failure import ClientGoneError
from homeport.server.schemas import ollama as schema
from homeport.server.streaming import NDJSON, FrameStream

LINE_SECONDS = 0.06
"""Least time between two lines of one stage."""

_SUCCESS = "success"


async def answer_progress(
    request: web.Request, progress: AsyncIterator[PullProgress], *, streams: bool
) -> web.StreamResponse:
    """Follow work to its end, and tell each step, or the last one alone."""
    if streams:
        return await _stream(request, progress)
    with request.app[READINESS].until_cut():
        async for _ in progress:
            pass
    return json_response(schema.ProgressLine(_SUCCESS))


async def _stream(request: web.Request, progress: AsyncIterator[PullProgress]) -> web.StreamResponse:
    frames = FrameStream(request, NDJSON)
    pace = _Pace()
    try:
        with request.app[READINESS].until_cut():
            async for report in progress:
                if pace.admits(report):
                    await frames.send([_line(report)], {})
    except ClientGoneError:
        raise
    except Exception as error:  # noqa: BLE001 - told within the stream, or raised again
        return await frames.fail(error)
    return await frames.close()


class _Pace:
    """Thins out the progress of a stage; its first report and its last one always pass."""

    def __init__(self) -> None:
        self._status = ""
        self._next_at = 0.0

    def admits(self, report: PullProgress) -> bool:
        now = time.monotonic()
        is_last = report.completed is not None and report.completed == report.total
        if report.status == self._status and not is_last and now < self._next_at:
            return False
        self._status = report.status
        self._next_at = now + LINE_SECONDS
        return True


def _line(report: PullProgress) -> schema.ProgressLine:
    return schema.ProgressLine(report.status, report.digest, report.total, report.completed)
