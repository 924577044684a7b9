import asyncio
from contextlib import asynccontextmanager

import pytest

from homeport import (
    BackendError,
    BackendKind,
    BackendSpec,
    EmbeddingRequest,
    Finished,
    GenerationError,
    GenerationRequest,
    GuardSpec,
    InvalidRequestError,
    ModelNotFoundError,
    MonitorSpec,
    RefusedError,
    RequestEnded,
    RequestFinished,
    RequestStarted,
    RouterSpec,
    Settings,
    TextDelta,
    TextPrompt,
    ValidatorSpec,
    Verdict,
    hookimpl,
)
from homeport.config.settings import GatewaySettings
from homeport.runtime import Runtime
from homeport.testing import EchoBackend, EchoPlugin, Fault, Script, ScriptedBackend, in_virtual_time

HERE = __name__


class Shouting(EchoBackend):
    """An echo of its own name that serves the same model."""

    async def _events(self, request):
        async for event in super()._events(request):
            yield TextDelta(event.text.upper()) if isinstance(event, TextDelta) else event


class Cut(EchoBackend):
    """Ends its answers without saying so."""

    async def _events(self, request):
        async for event in super()._events(request):
            if not isinstance(event, Finished):
                yield event


class Reversing:
    def rank(self, request, candidates):
        return candidates[::-1]


class Refusing:
    def rank(self, request, candidates):
        return []


class OnlyShort:
    """A guard that forbids prompts of more than ten characters."""

    def objection(self, request, candidate):
        return ""

    @asynccontextmanager
    async def attempt(self, attempt):
        request = attempt.request
        if isinstance(request, GenerationRequest) and len(request.prompt.text) > 10:
            raise RefusedError("too long for me")
        yield


class Crashing:
    """A guard with a bug."""

    def objection(self, request, candidate):
        return ""

    def attempt(self, attempt):
        raise ValueError("a bug")


class CrashingLate:
    """A guard with a bug on its way out."""

    def objection(self, request, candidate):
        return ""

    @asynccontextmanager
    async def attempt(self, attempt):
        yield
        raise ValueError("a bug")


class Buggy(EchoBackend):
    """Fails in its own way."""

    async def _events(self, request):
        raise ConnectionResetError("not wrapped")
        yield


class NoSwearing:
    async def check(self, request, answer):
        return Verdict("damn" not in answer.text, "it swears")


class Noting:
    """A monitor that remembers."""

    seen: asyncio.Queue

    def __init__(self):
        type(self).seen = asyncio.Queue()

    async def observe(self, event):
        self.seen.put_nowait(event)


class Stuck:
    """A monitor that never comes back."""

    async def observe(self, event):
        await asyncio.Event().wait()


def dead():
    """Build a backend that nobody reaches."""
    return ScriptedBackend("dead", {"m:latest": [Script(fault=Fault.CONNECT)]})


def healthy():
    """Build a backend that serves another model."""
    return ScriptedBackend("healthy", {"n:latest": [Script()]})


class DeadAndHealthy:
    @hookimpl
    def homeport_backends(self):
        for name in ("dead", "healthy"):
            yield BackendSpec(name=name, kind=BackendKind.REMOTE, factory=f"{HERE}:{name}")


class Moody(Noting):
    """A monitor that is cancelled or leaves the house, and comes back."""

    moods = (asyncio.CancelledError, SystemExit, ValueError)

    async def observe(self, event):
        await super().observe(event)
        if self.seen.qsize() <= len(self.moods):
            raise self.moods[self.seen.qsize() - 1]


class Everything:
    """Registers what the tests choose from by settings."""

    def __init__(self, *, guard=None, monitors=(), backend=None):
        self._guard = guard
        self._monitors = monitors
        self._backend = backend

    @hookimpl
    def homeport_backends(self):
        if self._backend is not None:
            yield BackendSpec(
                name="second", kind=BackendKind.REMOTE, factory=f"{HERE}:{self._backend.__name__}"
            )

    @hookimpl
    def homeport_routers(self):
        yield RouterSpec(name="reversing", factory=f"{HERE}:Reversing")
        yield RouterSpec(name="refusing", factory=f"{HERE}:Refusing")

    @hookimpl
    def homeport_guards(self):
        if self._guard is not None:
            yield GuardSpec(name="tested", factory=f"{HERE}:{self._guard.__name__}")

    @hookimpl
    def homeport_validators(self):
        yield ValidatorSpec(name="no-swearing", factory=f"{HERE}:NoSwearing")

    @hookimpl
    def homeport_monitors(self):
        for monitor in self._monitors:
            yield MonitorSpec(name=monitor.__name__.lower(), factory=f"{HERE}:{monitor.__name__}")


@asynccontextmanager
async def gateway(tmp_path, *, echo=True, plugin=None, **settings):
    given = {"echo": EchoPlugin()} if echo else {}
    if plugin is not None:
        given["tested"] = plugin
    chosen = Settings(home=tmp_path, gateway=GatewaySettings(**settings))
    async with Runtime.open(chosen, plugins=given) as runtime:
        yield runtime.gateway


async def attempts_seen(count):
    """Wait for what the monitor was told of attempts."""
    events = []
    while len(events) < count:
        event = await Noting.seen.get()
        if isinstance(event, RequestStarted | RequestFinished):
            events.append(event)
    return events


def ask(prompt, model="echo"):
    return GenerationRequest(id="r1", model=model, prompt=TextPrompt(prompt))


async def answer(door, request):
    async with door.generate(request) as reply:
        events = [event async for event in reply]
    return reply.route, "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_request_reaches_its_backend_and_says_who_served_it(tmp_path):
    """The route names backend and model, and its header is plain ASCII."""
    async with gateway(tmp_path) as door:
        route, text = await answer(door, ask("hello there"))
    assert text == "hello there"
    assert route.header().startswith("backend=echo; model=echo:latest; reason=only; attempts=1; queue_ms=")


async def test_unknown_model_comes_with_names_spelt_alike(tmp_path):
    """A typing slip is answered with what may have been meant."""
    async with gateway(tmp_path) as door:
        with pytest.raises(ModelNotFoundError) as caught:
            await answer(door, ask("x", model="ecko"))
        with pytest.raises(InvalidRequestError):
            await answer(door, ask("x", model="../etc/passwd"))
    assert caught.value.suggestions == ("echo:latest",)


async def test_configured_router_reorders_and_is_named(tmp_path):
    """Without routers the order is by name; with one, its choice runs."""
    plugin = Everything(backend=Shouting)
    async with gateway(tmp_path, plugin=plugin) as door:
        assert (await answer(door, ask("hi")))[1] == "hi"
    async with gateway(tmp_path, plugin=plugin, routers=("reversing",)) as door:
        route, text = await answer(door, ask("hi"))
    assert (text, route.backend, route.reason) == ("HI", "second", "reversing")


async def test_router_that_leaves_nobody_refuses(tmp_path):
    """An empty ranking is an error that names the router."""
    async with gateway(tmp_path, plugin=Everything(), routers=("refusing",)) as door:
        with pytest.raises(RefusedError, match="'refusing' refuses every backend"):
            await answer(door, ask("hi"))


@in_virtual_time
async def test_dead_model_costs_its_callers_nothing_where_a_fallback_is_healthy(tmp_path):
    """Once its breaker is open, requests go to the fallback at once and spend no budget of retries."""
    async with gateway(tmp_path, echo=False, plugin=DeadAndHealthy(), fallbacks=("n",)) as door:
        served = 0
        for _ in range(100):
            await asyncio.sleep(0.2)
            try:
                route, _ = await answer(door, ask("hi", model="m"))
            except BackendError:
                continue
            served += route.backend == "healthy"
    assert served >= 95


async def test_guard_forbids_an_attempt(tmp_path):
    """A guard's refusal reaches the client and nothing is sent to the backend."""
    async with gateway(tmp_path, plugin=Everything(guard=OnlyShort)) as door:
        assert (await answer(door, ask("short")))[1] == "short"
        with pytest.raises(RefusedError, match="too long for me"):
            await answer(door, ask("a much longer prompt"))


async def test_validator_holds_an_answer_back(tmp_path):
    """A rejected answer is never seen, an accepted one is whole."""
    async with gateway(tmp_path, plugin=Everything(), validators=("no-swearing",)) as door:
        assert (await answer(door, ask("how nice")))[1] == "how nice"
        with pytest.raises(RefusedError, match="'no-swearing' rejected the answer: it swears"):
            async with door.generate(ask("damn it")) as reply:
                async for event in reply:
                    pytest.fail(f"the client saw {event!r}")


async def test_monitor_sees_how_attempts_end(tmp_path):
    """Finished, failed and abandoned requests each leave their event."""
    async with gateway(tmp_path, plugin=Everything(monitors=(Noting,))) as door:
        await answer(door, ask("one two"))
        with pytest.raises(GenerationError):
            await answer(door, ask("one !fail"))
        async with door.generate(ask("left early")) as reply:
            async for _ in reply:
                break
        await door.embed(EmbeddingRequest(id="e", model="echo", inputs=("x",)))
        events = await attempts_seen(8)
    assert [type(event) for event in events] == [RequestStarted, RequestFinished] * 4
    assert [event.error_code for event in events[1::2]] == [None, "generation_failed", "cancelled", None]
    assert events[1].usage.completion_tokens == 2


@pytest.mark.parametrize("parts", [{"guard": Crashing}, {"guard": CrashingLate}, {"backend": Buggy}], ids=str)
async def test_crash_of_a_plugin_is_recorded_as_internal(tmp_path, parts):
    """A bug is not mistaken for a client that left."""
    plugin = Everything(monitors=(Noting,), **{"backend": EchoBackend, **parts})
    async with gateway(tmp_path, echo=False, plugin=plugin) as door:
        with pytest.raises((ValueError, ConnectionResetError)):
            await answer(door, ask("hi"))
        events = await attempts_seen(2)
    assert events[1].error_code == "internal"


async def test_reader_whose_connection_breaks_has_cancelled(tmp_path):
    """What the reader itself raises is its leaving, not a fault of the answer."""
    async with gateway(tmp_path, plugin=Everything(monitors=(Noting,))) as door:
        with pytest.raises(ConnectionResetError):
            async with door.generate(ask("one two")) as reply:
                await anext(aiter(reply))
                raise ConnectionResetError
        events = await attempts_seen(2)
    assert events[1].error_code == "cancelled"


async def test_error_handled_by_the_reader_is_still_recorded(tmp_path):
    """A reader that turns an error into a last chunk does not hide it from monitors."""
    async with gateway(tmp_path, plugin=Everything(monitors=(Noting,))) as door:
        async with door.generate(ask("!fail")) as reply:
            with pytest.raises(GenerationError):
                _ = [event async for event in reply]
        events = await attempts_seen(2)
    assert events[1].error_code == "generation_failed"


async def test_stuck_monitor_delays_nobody(tmp_path):
    """More events than its queue holds pass by a monitor that never returns."""
    async with gateway(tmp_path, plugin=Everything(monitors=(Stuck,))) as door:
        async with asyncio.timeout(20):
            for _ in range(600):
                await answer(door, ask("hi"))


async def test_monitor_that_raises_anything_goes_on_hearing(tmp_path):
    """Its own cancellation, and even its leaving, end neither the host nor what it is told."""
    async with gateway(tmp_path, plugin=Everything(monitors=(Moody,))) as door:
        for _ in range(3):
            await answer(door, ask("hi"))
        async with asyncio.timeout(10):
            heard = [await Moody.seen.get() for _ in range(9)]
    assert len(heard) == 9


async def test_answer_that_just_stops_is_an_error(tmp_path):
    """A backend that ends without ``Finished`` was cut, and that is not hidden."""
    async with gateway(tmp_path, echo=False, plugin=Everything(backend=Cut)) as door:
        with pytest.raises(BackendError, match="ended before it was finished"):
            await answer(door, ask("hi"))


async def test_embeddings_go_the_same_way(tmp_path):
    """An embedding has its route too."""
    async with gateway(tmp_path) as door:
        reply = await door.embed(EmbeddingRequest(id="e", model="echo", inputs=("ab", "c")))
    assert (len(reply.result.vectors), reply.route.backend) == (2, "echo")


async def test_whole_request_leaves_one_event(tmp_path):
    """It says what was asked, who served it, how often, and how it ended."""
    async with gateway(tmp_path, plugin=Everything(monitors=(Noting,))) as door:
        await answer(door, ask("one two"))
        with pytest.raises(GenerationError):
            await answer(door, ask("!fail"))
        ended = []
        while len(ended) < 2:
            event = await Noting.seen.get()
            if isinstance(event, RequestEnded):
                ended.append(event)
    good, bad = ended
    assert (good.asked, good.backend, good.model, good.status) == ("echo", "echo", "echo:latest", "ok")
    assert (good.attempts, good.usage.completion_tokens) == (1, 2)
    assert 0 <= good.first_token_seconds <= good.seconds
    assert (bad.status, bad.attempts, bad.usage) == ("generation_failed", 1, None)
