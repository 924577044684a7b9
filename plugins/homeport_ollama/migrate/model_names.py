"""Models that a configuration file asks an Ollama for, by its keys and by what stands beside them."""

import re
from collections.abc import Callable, Iterator, Sequence

import attrs

from homeport_ollama.migrate.addresses import Place, Targets, find_addresses, is_composed
from homeport_ollama.migrate.scalar import Scalar
from homeport_ollama.migrate.variables import HONOURED, names_model
from homeport_ollama.store_names import parsed

ASSIGNED = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)
"""A variable and its value in one text, as in a list of compose."""
_KEY = re.compile(r"(?:.*_)?models?(?:_names?|_ids?)?")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NO_LETTER = re.compile(r"[^a-z0-9]+")
_PREFIX = re.compile(r"ollama(?:_chat)?[/:](?=[^/:])", re.IGNORECASE)
"""By which routers of requests, such as LiteLLM, name the server."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:-]{0,199}")
_NO_NAME = re.compile(
    r"[0-9.]+|true|false|none|null|auto|default|.*\.(gguf|bin|pt|pth|onnx|safetensors|json|py|ya?ml|toml)",
    re.IGNORECASE,
)
_HOSTED = re.compile(
    r"(chat)?gpt-[345].*|o[134](-.*)?|claude-.*|gemini-.*|text-embedding-.*|whisper-1|dall-e-.*",
    re.IGNORECASE,
)
"""Models that no one but their maker serves."""
_PROVIDERS = frozenset(
    {"openai", "azure", "anthropic", "claude", "gemini", "google", "vertex", "vertexai", "bedrock", "cohere"}
    | {"groq", "mistralai", "deepseek", "together", "openrouter", "replicate", "huggingface", "hf", "voyage"}
    | {"perplexity", "fireworks", "xai", "vllm", "lmstudio", "llamacpp", "whisper", "elevenlabs"}
)
_URL_KEY = re.compile(r"(?:.*_)?(?:url|uri|base|endpoint)")

Path = tuple[str, ...]


@attrs.frozen(kw_only=True)
class _Entry:
    """A value, its key in small letters and underscores, and the object that it is in."""

    setting: str
    key: str
    value: str
    home: Path
    is_server: bool


def named_models(
    scalars: Sequence[Scalar],
    targets: Targets,
    sources: frozenset[str],
    is_servers: Callable[[Scalar], bool],
) -> tuple[str, ...]:
    """List the models that a file asks for; those of other providers, as far as it tells, are left out.

    Args:
        scalars: All values of the file.
        targets: Where homeport is.
        sources: Further places of an Ollama.
        is_servers: Whether a value is a setting of Ollama's own server.
    """
    entries = [_entry(scalar, is_server=is_servers(scalar)) for scalar in scalars]
    return tuple(dict.fromkeys(_Owners(entries, targets, sources).models()))


def models_in(value: str) -> Iterator[str]:
    """Give the names of models in a value, which may be a list with commas."""
    for part in value.split(","):
        name = _PREFIX.sub("", part.strip(), count=1)
        if _NAME.fullmatch(name) and not _NO_NAME.fullmatch(name) and parsed(name):
            yield name


class _Owners:
    """Tells which objects of a file speak to an Ollama, and which to somebody else."""

    def __init__(self, entries: Sequence[_Entry], targets: Targets, sources: frozenset[str]) -> None:
        self._entries = entries
        self._targets = targets
        self._sources = sources
        pointing = [entry for entry in entries if self._points(entry)]
        self._pointing = {entry.home for entry in pointing if not entry.is_server}
        self._is_pointing = bool(pointing)
        self._prefixes = {entry.key.partition("_")[0] for entry in pointing}
        self._foreign = {entry.home for entry in entries if _is_foreign(entry)} - self._pointing
        self._keyed = {entry.home for entry in entries if _KEY.fullmatch(entry.key)}

    def models(self) -> Iterator[str]:
        """Give them in their order."""
        for entry in self._entries:
            if not entry.is_server and self._names_models(entry):
                sure = self._is_sure(entry)
                names = models_in(entry.value) if self._is_ours(entry) else ()
                yield from (name for name in names if sure or not _HOSTED.fullmatch(name))

    def _points(self, entry: _Entry) -> bool:
        if entry.is_server or "ollama" in entry.key or entry.value.lower() == "ollama":
            return True
        if _KEY.fullmatch(entry.key) and _PREFIX.match(entry.value):
            return True
        known = self._sources | {
            each.place.lower() for each in (self._targets.outer, self._targets.inner) if each
        }
        found = find_addresses(entry.value, known)
        return any(address.kind is Place.OLLAMA for address in found) or is_composed(entry.value)

    def _names_models(self, entry: _Entry) -> bool:
        if entry.setting.upper() in HONOURED and not names_model(entry.setting):
            return False
        if entry.key in {"name", "id"}:
            listed = entry.home[-2:-1] == ("models",) and entry.home[-1].isdigit()
            return listed and entry.home not in self._keyed
        return _KEY.fullmatch(entry.key) is not None

    def _is_sure(self, entry: _Entry) -> bool:
        """Say whether nothing but an Ollama can be meant, so that even a copy named gpt-4 is one."""
        return "ollama" in entry.key or bool(entry.home and entry.home in self._pointing)

    def _is_ours(self, entry: _Entry) -> bool:
        if "ollama" in entry.key or _PREFIX.match(entry.value):
            return True
        prefix = entry.key.partition("_")[0]
        if prefix in _PROVIDERS:
            return prefix in self._prefixes
        for depth in range(len(entry.home), 0, -1):
            home = entry.home[:depth]
            if home in self._pointing or "ollama" in home[-1].lower():
                return True
            if home in self._foreign or _PROVIDERS & set(_words(home[-1])):
                return False
        return self._is_pointing and not (not entry.home and entry.home in self._foreign)


def _is_foreign(entry: _Entry) -> bool:
    if entry.value.lower() in _PROVIDERS:
        return True
    return _URL_KEY.fullmatch(entry.key) is not None and entry.value.lower().startswith(
        ("http://", "https://")
    )


def _entry(scalar: Scalar, *, is_server: bool) -> _Entry:
    path = scalar.path
    while path and path[-1].isdigit():
        path = path[:-1]
    assigned = ASSIGNED.fullmatch(scalar.value)
    if assigned:
        setting, value, home = assigned.group(1), assigned.group(2), path
    else:
        setting, value, home = (path[-1] if path else ""), scalar.value, path[:-1]
    key = "_".join(_words(_CAMEL.sub("_", setting)))
    return _Entry(setting=setting, key=key, value=value, home=home, is_server=is_server)


def _words(text: str) -> list[str]:
    return [word for word in _NO_LETTER.split(text.lower()) if word]
