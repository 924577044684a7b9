"""``GET /metrics``: counts and times for Prometheus, in its text format 0.0.4.

Labels come from what is installed and configured, never from a request: a name that nobody offers is
``unknown``, and so is each beyond a number that keeps the whole below 5,000 series.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from homeport.domain.events import (
    Event,
    ModelLoaded,
    ModelLoadFailed,
    ModelUnloaded,
    RequestEnded,
    RequestFinished,
    RequestRejected,
)
from homeport.domain.generation import Priority
from homeport.domain.models import ResidentModel
from homeport.gateway.attempts.breaker_stats import BreakerStats
from homeport.runtime import Runtime
from homeport.server.label_values import LabelValues
from homeport.server.processes import MachineUse, machine_use
from homeport.server.routes import SCOPES
from homeport.server.state import RUNTIME

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_MODELS = 48
"""Models with series of their own: about 50 each."""
MOST_BACKENDS = 16
MOST_OUTCOMES = 32

_UNKNOWN = "unknown"
_CANCELLED = "cancelled"
_CLIENT_GONE = 499
_INTERNAL = 500
_DIALECTS = frozenset({"anthropic", "ollama", "openai"})
_REQUEST_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60)
_INTER_TOKEN_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60)
_LOAD_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The series of one application.

    Args:
        runtime: What is looked at when they are read.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._registry = CollectorRegistry(auto_describe=False)
        self._models = LabelValues(MOST_MODELS)
        self._backends = LabelValues(MOST_BACKENDS)
        self._outcomes = LabelValues(MOST_OUTCOMES)
        self._count()
        self._time()
        self._look()

    def _count(self) -> None:
        self._requests = self._counter("requests", "HTTP requests answered", "dialect", "route", "status")
        self._prompt_tokens = self._counter("prompt_tokens", "tokens of prompts", "model", "cached")
        self._generated = self._counter("generated_tokens", "tokens of answers", "model")
        self._loads = self._counter("model_loads", "models loaded, or not: ok or failed", "model", "result")
        self._evictions = self._counter("evictions", "models that left memory", "reason")
        self._rejections = self._counter("rejections", "requests turned away unserved", "reason")
        self._attempts = self._counter("attempts", "calls of backends that ended", "backend", "outcome")
        self._cancelled = self._counter(
            "cancelled", "requests whose client left: queue, first_token or stream", "stage"
        )

    def _time(self) -> None:
        self._seconds = self._histogram("request_seconds", "from arrival to end", _REQUEST_BUCKETS)
        self._first_token = self._histogram(
            "first_token_seconds", "from arrival to the first token", _FIRST_TOKEN_BUCKETS, "model"
        )
        self._inter_token = self._histogram(
            "inter_token_seconds", "mean time between tokens of an answer", _INTER_TOKEN_BUCKETS, "model"
        )
        self._waits = self._histogram("queue_wait_seconds", "wait for a place", _WAIT_BUCKETS, "class")
        self._load_seconds = self._histogram(
            "model_load_seconds", "from the start of a worker until it is ready", _LOAD_BUCKETS, "model"
        )

    def _look(self) -> None:
        self._depth = self._gauge("queue_depth", "requests that wait for a place", "class")
        self._running = self._gauge("requests_in_flight", "requests that have a place")
        self._resident = self._gauge("model_resident_bytes", "memory of a model's worker", "model")
        self._open = self._gauge("breaker_open", "models of a backend that are not called", "backend")
        self._pressure = self._gauge("memory_pressure_percent", "time in which tasks waited for memory")
        self._memory = self._gauge("memory_bytes", "of the machine or its control group", "state")
        self._process_bytes = self._gauge("process_resident_bytes", "memory of a process", "role", "model")
        self._cpu = self._gauge("process_cpu_seconds", "computed so far by a process", "role", "model")

    def _counter(self, name: str, summary: str, *labels: str) -> Counter:
        return Counter(name, summary, labels, namespace="homeport", registry=self._registry)

    def _gauge(self, name: str, summary: str, *labels: str) -> Gauge:
        return Gauge(name, summary, labels, namespace="homeport", registry=self._registry)

    def _histogram(self, name: str, summary: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(
            name, summary, labels, namespace="homeport", registry=self._registry, buckets=buckets
        )

    def observe(self, event: Event) -> None:
        """Count an event."""
        match event:
            case RequestEnded():
                self._end(event)
            case RequestFinished():
                outcome = self._outcomes.known(event.error_code or "ok")
                self._attempts.labels(self._backends.known(event.backend), outcome).inc()
            case RequestRejected():
                self._rejections.labels(self._outcomes.known(event.reason)).inc()
            case ModelLoaded():
                model = self._models.known(event.model)
                self._loads.labels(model, "ok").inc()
                self._load_seconds.labels(model).observe(event.seconds)
            case ModelLoadFailed():
                self._loads.labels(self._models.known(event.model), "failed").inc()
            case ModelUnloaded():
                self._evictions.labels(self._outcomes.known(event.reason)).inc()
            case _:
                pass

    def count_request(self, *, dialect: str, route: str, status: int) -> None:
        """Count an HTTP request that was answered."""
        self._requests.labels(dialect, route, str(status)).inc()

    async def text(self) -> bytes:
        """Look at what is now, and write down all series."""
        runtime = self._runtime
        residents = runtime.residents()
        workers = {resident.pid: resident.info.name for resident in residents if resident.pid}
        self._see_machine(await asyncio.to_thread(machine_use, workers))
        self._see_residents(residents)
        self._see_breakers(runtime.gateway.breakers.stats())
        queue = runtime.gateway.admission.stats()
        for priority, depth in zip(Priority, queue.depths, strict=True):
            self._depth.labels(_class(priority)).set(depth)
        self._running.set(queue.active)
        return generate_latest(_WithoutTimes(self._registry))

    def _end(self, event: RequestEnded) -> None:
        model = self._models.known(event.model or _UNKNOWN)
        self._seconds.observe(event.seconds)
        self._waits.labels(_class(event.priority)).observe(event.queue_seconds)
        if event.status == _CANCELLED:
            self._cancelled.labels(_stage(event)).inc()
        usage, first = event.usage, event.first_token_seconds
        if usage is not None:
            self._prompt_tokens.labels(model, "true").inc(usage.cached_tokens)
            self._prompt_tokens.labels(model, "false").inc(max(usage.prompt_tokens - usage.cached_tokens, 0))
            self._generated.labels(model).inc(usage.completion_tokens)
        if first is None:
            return
        self._first_token.labels(model).observe(first)
        if usage is not None and usage.completion_tokens > 1:
            self._inter_token.labels(model).observe((event.seconds - first) / (usage.completion_tokens - 1))

    def _see_residents(self, residents: tuple[ResidentModel, ...]) -> None:
        self._resident.clear()
        for resident in residents:
            self._resident.labels(self._models.known(resident.info.name)).inc(resident.resident_bytes)

    def _see_breakers(self, breakers: tuple[BreakerStats, ...]) -> None:
        self._open.clear()
        for breaker in breakers:
            self._open.labels(self._backends.known(breaker.backend)).inc(int(breaker.state == "open"))

    def _see_machine(self, machine: MachineUse) -> None:
        for state, amount in (("total", machine.total_bytes), ("available", machine.available_bytes)):
            if amount is not None:
                self._memory.labels(state).set(amount)
        self._pressure.set(machine.pressure_percent)
        self._process_bytes.clear()
        self._cpu.clear()
        for role, processes in (("host", (machine.host,)), ("worker", machine.workers)):
            for process in processes:
                model = self._models.known(process.model) if process.model else ""
                self._process_bytes.labels(role, model).inc(process.resident_bytes)
                self._cpu.labels(role, model).inc(process.cpu_seconds)


METRICS: web.AppKey[Metrics] = web.AppKey("metrics", Metrics)


async def metrics(request: web.Request) -> web.StreamResponse:
    """Write down all series."""
    body = await request.app[METRICS].text()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def keep_metrics(app: web.Application) -> AsyncIterator[None]:
    """Count what happens as long as the application runs."""
    with app[RUNTIME].events.listen(app[METRICS].observe):
        yield


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count each request under its route and status; stands before all other middlewares."""
    status = _INTERNAL
    try:
        response = await handler(request)
        status = response.status
    except asyncio.CancelledError:
        status = _CLIENT_GONE
        raise
    except web.HTTPException as refusal:
        status = refusal.status
        raise
    finally:
        dialect, route = _matched(request)
        request.app[METRICS].count_request(dialect=dialect, route=route, status=status)
    return response


class _WithoutTimes:
    """Hides the series that tell since when a counter counts: nobody reads them, and they are a third."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


def _matched(request: web.Request) -> tuple[str, str]:
    """Give the dialect and the path of the route that a request matched."""
    route = request.match_info.route
    if route.resource is None or (route.method, route.resource.canonical) not in request.app[SCOPES]:
        return _UNKNOWN, _UNKNOWN
    words = set(getattr(route.handler, "__module__", "").split("."))
    return next(iter(words & _DIALECTS), "homeport"), route.resource.canonical


def _class(priority: Priority) -> str:
    return priority.name.lower()


def _stage(event: RequestEnded) -> str:
    if event.first_token_seconds is not None:
        return "stream"
    return "first_token" if event.attempts and event.backend else "queue"
