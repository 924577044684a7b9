"""Settings of the gateway: who may enter, who serves, and what happens when something breaks."""

from enum import StrEnum

import attrs

from homeport.config.limits import at_least, between, one_of, positive_seconds, share
from homeport.config.setting import setting
from homeport.domain.terms import Strategy


class Chain(StrEnum):
    """What a fallback is for; each is the name of its setting."""

    GENERAL = "fallbacks"
    CONTEXT = "context_fallbacks"
    CONTENT = "content_fallbacks"


@attrs.frozen(kw_only=True)
class TimeoutSettings:
    """How long each stage of a request may take."""

    total_seconds: float = setting(
        600.0, "the whole answer; a request may ask for less", check=positive_seconds
    )
    queue_seconds: float = setting(60.0, "waiting for a place", check=positive_seconds)
    first_token_seconds: float = setting(
        30.0,
        "from the backend's start to its first token, or three times what the prompt is expected to take",
        check=positive_seconds,
    )
    stall_seconds: float = setting(
        15.0, "silence of a backend in the middle of an answer", check=positive_seconds
    )


@attrs.frozen(kw_only=True)
class RetrySettings:
    """Further attempts on the same backend, after errors that pass."""

    extra_attempts: int = setting(2, "further attempts; one where there is a fallback", check=between(0, 10))
    first_delay_seconds: float = setting(
        0.1, "upper bound of the first delay; each further one doubles", check=positive_seconds
    )
    most_delay_seconds: float = setting(5.0, "upper bound of any delay", check=positive_seconds)
    most_retry_after_seconds: float = setting(
        30.0, "longest Retry-After of a backend that is waited for", check=positive_seconds
    )
    traffic_share: float = setting(0.1, "share of the requests of a minute that retries may add", check=share)
    least_per_minute: int = setting(3, "retries that a minute may always have", check=at_least(0))


@attrs.frozen(kw_only=True)
class BreakerSettings:
    """When a backend is left alone, per model."""

    calls: int = setting(20, "calls that are remembered", check=at_least(1))
    window_seconds: float = setting(30.0, "how long they are remembered", check=positive_seconds)
    failure_share: float = setting(0.5, "share of failures that opens it", check=share)
    least_calls: int = setting(5, "calls before a share counts", check=at_least(1))
    consecutive_failures: int = setting(
        0, "failures in a row that open it whatever the share; 0 is off", check=at_least(0)
    )
    open_seconds: float = setting(
        10.0, "how long it stays open the first time; twice, thrice ... as long again", check=positive_seconds
    )
    most_open_seconds: float = setting(120.0, "the longest that it stays open", check=positive_seconds)
    jitter: float = setting(0.2, "share of that time that is left to chance", check=share)
    most_out_share: float = setting(
        0.5, "share of the backends of a request that may be out; never the last", check=share
    )


@attrs.frozen(kw_only=True)
class GatewaySettings:
    """How requests are admitted, ranked and checked."""

    max_waiting: int = setting(
        512,
        "requests that wait for a place at once; more get 503",
        env=("OLLAMA_MAX_QUEUE",),
        check=at_least(1),
    )
    max_running: int = setting(
        0, "requests that run at once, over all models; 0 sets no bound", check=at_least(0)
    )
    max_running_per_key: int = setting(
        0, "requests of one API key in the house at once; more get 429; 0 sets no bound", check=at_least(0)
    )
    max_running_per_agent: int = setting(
        3, "requests of one agent that run at once; more wait", check=at_least(1)
    )
    requests_per_minute: int = setting(0, "requests of one API key; 0 sets no bound", check=at_least(0))
    tokens_per_minute: int = setting(
        0, "tokens of one API key, prompts and answers; 0 sets no bound", check=at_least(0)
    )
    ageing_seconds: float = setting(
        10.0, "a request that waited so long counts as one class more urgent", check=positive_seconds
    )
    batch_share: float = setting(
        0.1, "share of places that low and background get while others wait too", check=share
    )
    routers: tuple[str, ...] = setting((), "routers that rank candidates, first to last")
    validators: tuple[str, ...] = setting((), "validators that check whole answers, first to last")
    strategy: str = setting(
        "balanced", "what counts among several models: " + ", ".join(Strategy), check=one_of(Strategy)
    )
    default_model: str = setting(
        "balanced",
        "model, tier or route that the name inherit stands for",
        env=("OLLAMA_DEFAULT_MODEL", "OLLAMA_MODEL"),
    )
    fallbacks: tuple[str, ...] = setting((), "models or tiers to try when the one asked for fails")
    context_fallbacks: tuple[str, ...] = setting((), "models to try when a prompt exceeds the window")
    content_fallbacks: tuple[str, ...] = setting((), "models to try when a validator rejects an answer")
    timeouts: TimeoutSettings = attrs.field(factory=TimeoutSettings)
    retry: RetrySettings = attrs.field(factory=RetrySettings)
    breaker: BreakerSettings = attrs.field(factory=BreakerSettings)


@attrs.frozen(kw_only=True)
class RouteSettings:
    """One ``[routes.NAME]``: a name that clients may ask for, or what else may serve a model of that name."""

    models: tuple[str, ...] = setting((), "models or tiers, preferred first; none is the model of that name")
    weights: tuple[float, ...] = setting((), "share of the traffic of each of them; none is equal shares")
    fallbacks: tuple[str, ...] = setting((), "as gateway.fallbacks, for this name")
    context_fallbacks: tuple[str, ...] = setting((), "as gateway.context_fallbacks, for this name")
    content_fallbacks: tuple[str, ...] = setting((), "as gateway.content_fallbacks, for this name")
    canary: str | None = setting(None, "a model that is tried out on some of the requests")
    canary_share: float = setting(0.05, "share of the requests that it gets", check=share)
    shadow: str | None = setting(None, "a model that is asked too, without anybody waiting for it")
    shadow_share: float = setting(0.1, "share of the requests that it is asked", check=share)
    trial_requests: int = setting(
        1000, "requests after which the canary and the shadow stop", check=at_least(0)
    )
