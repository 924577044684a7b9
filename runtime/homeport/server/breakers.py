"""``/v1/breakers``: what keeps failing and is left alone, and the operator's override."""

import attrs
from aiohttp import web

from homeport.domain.errors import InvalidRequestError, ModelNotFoundError, NoBackendError
from homeport.gateway.attempts.breaker_stats import BreakerStats
from homeport.gateway.target import TargetKey
from homeport.runtime import Runtime
from homeport.server.bodies import read_body
from homeport.server.dialects import json_response
from homeport.server.quoting import quoted
from homeport.server.schemas.breakers import Breaker, BreakerAction, BreakerCommand, BreakerList
from homeport.server.state import RUNTIME


async def breakers(request: web.Request) -> web.StreamResponse:
    """List how every model on every backend did that was called."""
    stats = request.app[RUNTIME].gateway.breakers.stats()
    return json_response(BreakerList(data=[breaker_of(each) for each in stats]))


async def command(request: web.Request) -> web.StreamResponse:
    """Open or reset one, and tell how it is then."""
    wanted = await read_body(request, BreakerCommand)
    runtime = request.app[RUNTIME]
    key = await _target(runtime, wanted)
    found = runtime.gateway.breakers
    if wanted.action is BreakerAction.OPEN:
        found.force_open(key)
    else:
        found.reset(key)
    return json_response(next(breaker_of(each) for each in found.stats() if each.name == str(key)))


async def _target(runtime: Runtime, wanted: BreakerCommand) -> TargetKey:
    """Find what is meant: something that was called, which may be unreachable now, or that is offered.

    Raises:
        InvalidRequestError: The backend neither offers the model nor was ever asked for it.
    """
    exact = TargetKey(wanted.backend, wanted.model)
    if any(each.name == str(exact) for each in runtime.gateway.breakers.stats()):
        return exact
    try:
        offers = await runtime.catalog.candidates(wanted.model)
    except (ModelNotFoundError, NoBackendError):
        offers = ()
    for offer in offers:
        if offer.backend == wanted.backend:
            return TargetKey(offer.backend, offer.model.name)
    message = f"backend {quoted(wanted.backend)} has no model {quoted(wanted.model)}"
    raise InvalidRequestError(message, field="model", hint="Models are listed by: homeport list")


def breaker_of(stats: BreakerStats) -> Breaker:
    """Write down how one did."""
    return Breaker(**attrs.asdict(stats))
