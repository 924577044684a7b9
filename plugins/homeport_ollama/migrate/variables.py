"""Environment variables of Ollama: which still have an effect, and what takes the place of the others."""

import re
from collections.abc import Mapping
from types import MappingProxyType

HONOURED = frozenset(
    {
        "OLLAMA_API_KEY",
        "OLLAMA_BASE_URL",
        "OLLAMA_CONTEXT_LENGTH",
        "OLLAMA_DEBUG",
        "OLLAMA_DEFAULT_MODEL",
        "OLLAMA_HOST",
        "OLLAMA_KEEP_ALIVE",
        "OLLAMA_LOAD_TIMEOUT",
        "OLLAMA_MAX_LOADED_MODELS",
        "OLLAMA_MAX_QUEUE",
        "OLLAMA_MODEL",
        "OLLAMA_MODELS",
        "OLLAMA_NOHISTORY",
        "OLLAMA_NUM_PARALLEL",
        "OLLAMA_ORIGINS",
        "OLLAMA_URL",
    }
)
"""Those that homeport reads as Ollama does, or as its documentation says."""

_CPU = "homeport computes on processors: remove it"
_REMOVED = "Ollama itself has dropped it: remove it"

WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "OLLAMA_FLASH_ATTENTION": "attention is always computed block by block: remove it",
        "OLLAMA_GPU_OVERHEAD": _CPU,
        "OLLAMA_SCHED_SPREAD": _CPU,
        "OLLAMA_LLM_LIBRARY": "the backend is chosen with HOMEPORT_MODELS_BACKEND",
        "OLLAMA_VULKAN": _CPU,
        "OLLAMA_IGPU_ENABLE": _CPU,
        "OLLAMA_REMOTES": "other servers are listed in [plugins.remote] of homeport.toml",
        "OLLAMA_DEBUG_LOG_REQUESTS": "see HOMEPORT_LOG_LEVEL",
        "OLLAMA_KV_CACHE_TYPE": "keys and values are kept in 16 bits, within HOMEPORT_MODELS_CACHE_MEMORY",
        "OLLAMA_NOPRUNE": "nothing is pruned at the start: remove it",
        "OLLAMA_MAX_TRANSFER_STREAMS": "a pull takes what its source gives: remove it",
        "OLLAMA_GO_TEMPLATE": "templates are Jinja: remove it",
        "OLLAMA_NO_CLOUD": "there is no cloud: remove it",
        "LLAMA_ARG_FIT": "memory is planned by HOMEPORT_MODELS_MOST_MEMORY and HOMEPORT_MODELS_LEAST_FREE",
        "LLAMA_ARG_FIT_TARGET": "see HOMEPORT_MODELS_LEAST_FREE",
        "OLLAMA_MAX_VRAM": _REMOVED,
        "OLLAMA_TMPDIR": _REMOVED,
        "OLLAMA_RUNNERS_DIR": _REMOVED,
        "OLLAMA_MULTIUSER_CACHE": _REMOVED,
        "OLLAMA_NEW_ENGINE": _REMOVED,
        "OLLAMA_INTEL_GPU": _REMOVED,
    }
)
"""By variable, what to do about it (wire-api, environment variables)."""

_DEVICES = re.compile(r"(CUDA|HIP|ROCR|GGML_VK)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|HSA_OVERRIDE_GFX_VERSION")
_OLLAMA = re.compile(r"OLLAMA_[A-Z0-9_]+")
_MODEL = re.compile(r"(OLLAMA|LLM|CHAT|EMBEDDING|EMBED)_(DEFAULT_|CHAT_|EMBEDDING_|EMBED_)?MODEL(_NAME)?")


def advice(name: str) -> str:
    """Say what to do about a variable that has no effect; empty where it has one, or is not Ollama's."""
    if name in WITHOUT_EFFECT:
        return WITHOUT_EFFECT[name]
    return _CPU if _DEVICES.fullmatch(name) else ""


def is_unknown(name: str) -> bool:
    """Whether a variable looks like Ollama's, and is none that is known."""
    return _OLLAMA.fullmatch(name) is not None and name not in HONOURED and not _MODEL.fullmatch(name)


def names_model(name: str) -> bool:
    """Whether the value of a variable is the name of a model."""
    return _MODEL.fullmatch(name.upper()) is not None
