"""Settings of models: how they are kept, loaded and run."""

import attrs

from homeport.config.limits import at_least, keep_alive, memory_amount, positive_seconds, quantisation
from homeport.config.setting import setting


@attrs.frozen(kw_only=True)
class ModelSettings:
    """How models are kept and loaded."""

    keep_alive: str | float = setting(
        "5m",
        "how long a model stays in memory after its last request: a duration or seconds; -1 is for ever",
        env=("OLLAMA_KEEP_ALIVE",),
        check=keep_alive,
    )
    context_length: int = setting(
        4096,
        "tokens of one conversation, prompt and answer together; 0 is the default",
        env=("OLLAMA_CONTEXT_LENGTH",),
        check=at_least(4, or_zero=True),
        zero_is_default=True,
    )
    slots: int = setting(
        32,
        "sequences of one model that run at once; 0 is the default",
        env=("OLLAMA_NUM_PARALLEL",),
        check=at_least(0),
        zero_is_default=True,
    )
    threads: int = setting(0, "compute threads of a worker; 0 takes the usable cores", check=at_least(0))
    cache_memory: str | int = setting(
        "25%",
        'memory for the keys and values of one model: a share of what is free when it is loaded, or "2GiB"',
        check=memory_amount,
    )
    prefix_cache: bool = setting(True, "remember what was computed for prompts that begin alike")
    speculation: bool = setting(True, "guess tokens from the text so far where that is faster")
    max_stall_ms: int = setting(
        250, "longest wait of running streams for a part of a prompt, in milliseconds", check=at_least(1)
    )
    quant: str = setting(
        "auto",
        "what a pull makes of the weights of a decoder: auto, int4, int8, bf16 or fp32",
        check=quantisation,
    )
    backend: str | None = setting(None, "local backend for installed models; unset takes the first available")
    load_timeout_seconds: float = setting(
        300.0,
        "how long a worker may take to get ready",
        env=("OLLAMA_LOAD_TIMEOUT",),
        check=positive_seconds,
    )
    most_loaded: int = setting(
        0,
        "models in memory at once; 0 is as many as fit",
        env=("OLLAMA_MAX_LOADED_MODELS",),
        check=at_least(0),
    )
    most_memory: str | int = setting(
        "100%",
        'memory of all models together: a share of what the machine or its control group has, or "8GiB"',
        check=memory_amount,
    )
    least_free: str | int = setting(
        "1GiB", "memory that loading a model leaves free for other programs", check=memory_amount
    )
    preload: tuple[str, ...] = setting((), "models to load at the start; /readyz waits for them")
    pin: tuple[str, ...] = setting((), "models that are preloaded and never leave")
    step_timeout_seconds: float = setting(
        15.0,
        "how long a worker with work may go without a step before it is replaced",
        check=positive_seconds,
    )
