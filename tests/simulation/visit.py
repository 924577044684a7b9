"""A client: it asks, reads, perhaps leaves, and remembers what it got."""

import asyncio

import attrs
from scenario import Client

from homeport import EmbeddingRequest, Finished, GenerationRequest, Restarted, Resumed, TextDelta
from homeport.gateway.pipeline import Gateway
from homeport.gateway.reply import RouteTrace


@attrs.define(kw_only=True)
class Visit:
    """What one client saw; moments are virtual seconds.

    Attributes:
        client: Who.
        text: Of the answer, what a restart made void left out.
        finished: The last event, where it came.
        embedded: Whether vectors came.
        error: What it was told instead.
        has_left: Whether it lost patience first.
        route: Who served it.
        resumed: How often another backend went on.
        restarted: How often another backend began again.
        told_at: When it knew how it ended.
        over_at: When nothing was left of it.
    """

    client: Client
    text: str = ""
    finished: Finished | None = None
    embedded: bool = False
    error: Exception | None = None
    has_left: bool = False
    route: RouteTrace | None = None
    resumed: int = 0
    restarted: int = 0
    told_at: float | None = None
    over_at: float | None = None

    async def run(self, gateway: Gateway) -> None:
        """Come, ask and read."""
        await asyncio.sleep(self.client.comes_at)
        try:
            async with asyncio.timeout(self.client.leaves_after) as patience:
                await self._ask(gateway)
        except TimeoutError as error:
            self.has_left = patience.expired()
            self.error = None if self.has_left else error
        except Exception as error:  # noqa: BLE001 - judged by the referee
            self.error = error
        self.over_at = _now()
        self.told_at = self.over_at if self.told_at is None else self.told_at

    async def _ask(self, gateway: Gateway) -> None:
        request = self.client.request
        if isinstance(request, EmbeddingRequest):
            reply = await gateway.embed(request)
            self.embedded, self.route = True, reply.route
            return
        await self._read(gateway, request)

    async def _read(self, gateway: Gateway, request: GenerationRequest) -> None:
        async with gateway.generate(request) as reply:
            async for event in reply:
                match event:
                    case TextDelta(text=text):
                        self.text += text
                    case Restarted():
                        self.text, self.restarted = "", self.restarted + 1
                    case Resumed():
                        self.resumed += 1
                    case Finished():
                        assert self.finished is None, "a second end"
                        self.finished, self.told_at = event, _now()
                self.route = reply.route

    def summary(self) -> str:
        """Tell how it went in a line."""
        end = "answer" if self.finished or self.embedded else "left" if self.has_left else repr(self.error)
        request = self.client.request
        return (
            f"{self.client.comes_at:8.3f} {request.id:>4} {request.model:8} -> {self.told_at:8.3f} {end:.100}"
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
