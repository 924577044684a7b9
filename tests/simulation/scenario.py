"""What happens in one simulation, drawn by a seed: backends and their weather, settings, clients, a stop."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import attrs

from homeport import (
    ChatPrompt,
    EmbeddingRequest,
    GenerationRequest,
    Message,
    Priority,
    Role,
    Sampling,
    Settings,
    StreamFailure,
    Terms,
    TextPrompt,
)
from homeport.config.gateway_settings import (
    BreakerSettings,
    GatewaySettings,
    RetrySettings,
    RouteSettings,
    TimeoutSettings,
)
from homeport.testing import Fault

MODELS = ("m:latest", "n:latest")
LENGTH_SECONDS = 180.0
"""Clients come within this time."""
_SHARES = (0.0, 0.0, 0.05, 0.3, 1.0)
_MOST_REQUESTS = 40


@attrs.frozen(kw_only=True)
class Member:
    """A backend.

    Attributes:
        name: Of it.
        models: What it offers.
        slots: What it announces; 0 is nothing.
        continues: Whether it goes on behind the begun part of an answer.
        accent: Behind each of its words; weights with another accent are other weights.
        faults: What may go wrong with its calls.
        weather: Moments, and the share of calls that go wrong from then on.
    """

    name: str
    models: tuple[str, ...]
    slots: int
    continues: bool
    accent: str
    faults: tuple[Fault, ...]
    weather: tuple[tuple[float, float], ...]


@attrs.frozen(kw_only=True)
class Client:
    """One request, when it comes, and when its client loses patience.

    Attributes:
        request: What is asked.
        comes_at: In seconds.
        leaves_after: Seconds behind that; None stays to the end.
    """

    request: GenerationRequest | EmbeddingRequest
    comes_at: float
    leaves_after: float | None


@attrs.frozen(kw_only=True)
class Scenario:
    """A whole simulation.

    Attributes:
        seed: It was drawn by.
        members: Backends.
        clients: In the order in which they come.
        settings: At the start.
        later_settings: Adopted in the middle; None keeps the first.
        reloads_at: When.
        forced: Moments at which an operator opens or resets a backend's breakers.
        stops_at: When the host begins to stop; None is never.
        most_calls: Hard cap of the budget for calls; None has no budget.
        strained: From when to when memory is too short for new work.
    """

    seed: int
    members: tuple[Member, ...]
    clients: tuple[Client, ...]
    settings: Settings
    later_settings: Settings | None
    reloads_at: float
    forced: tuple[tuple[float, str, str], ...]
    stops_at: float | None
    most_calls: int | None
    strained: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def draw(cls, seed: int) -> "Scenario":
        """Draw one."""
        dice = Random(seed)
        members = tuple(_member(dice, name) for name in "abcd"[: dice.randint(1, 4)])
        clients = [_client(dice, number) for number in range(dice.randint(5, _MOST_REQUESTS))]
        return cls(
            seed=seed,
            members=members,
            clients=tuple(sorted(clients, key=lambda client: client.comes_at)),
            settings=_settings(dice),
            later_settings=_settings(dice) if dice.random() < 0.2 else None,
            reloads_at=dice.uniform(0, LENGTH_SECONDS),
            forced=_forced(dice, members),
            stops_at=dice.uniform(0, LENGTH_SECONDS) if dice.random() < 0.1 else None,
            most_calls=dice.randint(0, 2 * len(clients)) if dice.random() < 0.3 else None,
            strained=(19.0, dice.uniform(19.0, 60.0)) if dice.random() < 0.1 else (0.0, 0.0),
        )


def _member(dice: Random, name: str) -> Member:
    weather = tuple(
        (moment, dice.choice(_SHARES))
        for moment in (0.0, *sorted(dice.uniform(0, LENGTH_SECONDS) for _ in range(dice.randrange(4))))
    )
    return Member(
        name=name,
        models=dice.choice((MODELS, MODELS, MODELS[:1], MODELS[1:])),
        slots=dice.choice((0, 0, 1, 2, 4, 16)),
        continues=dice.random() < 0.6,
        accent=dice.choice(("", "", "~")),
        faults=tuple(dice.sample(list(Fault), k=dice.randint(1, len(Fault)))),
        weather=weather,
    )


def _client(dice: Random, number: int) -> Client:
    burst = dice.random() < 0.5
    return Client(
        request=_request(dice, number),
        comes_at=20.0 if burst else dice.uniform(0, LENGTH_SECONDS),
        leaves_after=dice.uniform(0, 20) if dice.random() < 0.1 else None,
    )


def _request(dice: Random, number: int) -> GenerationRequest | EmbeddingRequest:
    common = {
        "id": f"r{number}",
        "model": dice.choice((*MODELS, "m", "m")) if dice.random() < 0.98 else "unknown",
        "priority": dice.choice(list(Priority)),
        "owner": dice.choice(("", "x", "y")),
        "terms": Terms(
            deadline_seconds=dice.choice((None, None, dice.uniform(0.1, 60.0))),
            agent=dice.choice(("", "", "agent")),
            tags=("t",),
            on_stream_failure=dice.choice(list(StreamFailure)),
        ),
    }
    if dice.random() < 0.1:
        return EmbeddingRequest(inputs=("one", "two"), **common)
    text = " ".join(f"w{number}.{place}" for place in range(dice.randint(1, 30)))
    prompt = TextPrompt(text) if dice.random() < 0.5 else ChatPrompt((Message(Role.USER, text),))
    sampling = Sampling(
        temperature=dice.choice((0.0, 0.0, 0.8)),
        seed=dice.choice((None, 7)),
        max_tokens=dice.choice((None, None, dice.randint(1, 40))),
    )
    return GenerationRequest(prompt=prompt, sampling=sampling, **common)


def _settings(dice: Random) -> Settings:
    gateway = GatewaySettings(
        max_waiting=dice.choice((1, 4, 64)),
        max_running=dice.choice((0, 0, 3)),
        max_running_per_key=dice.choice((0, 0, 5)),
        requests_per_minute=dice.choice((0, 0, 20)),
        fallbacks=dice.choice(((), MODELS)),
        timeouts=TimeoutSettings(
            total_seconds=60.0, queue_seconds=20.0, first_token_seconds=10.0, stall_seconds=5.0
        ),
        retry=RetrySettings(
            extra_attempts=dice.randint(0, 3), least_per_minute=dice.choice((0, 3, 20)), traffic_share=0.1
        ),
        breaker=BreakerSettings(
            consecutive_failures=dice.choice((0, 3)), most_out_share=dice.choice((0.5, 1.0))
        ),
    )
    return Settings(home=Path("/nowhere"), gateway=gateway, routes=_routes(dice))


def _routes(dice: Random) -> Mapping[str, RouteSettings]:
    return {} if dice.random() < 0.5 else {"m": RouteSettings(fallbacks=("n",))}


def _forced(dice: Random, members: tuple[Member, ...]) -> tuple[tuple[float, str, str], ...]:
    if dice.random() < 0.9:
        return ()
    times = sorted(dice.uniform(0, LENGTH_SECONDS) for _ in range(4))
    return tuple((at, dice.choice(members).name, dice.choice(("open", "reset"))) for at in times)
