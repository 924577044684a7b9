"""What models cost: a dated table, and what the settings lay over it."""

import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path

import attrs

from homeport import ConfigError, ModelInfo
from homeport_costguard.config import CostGuardConfig, PriceSettings
from homeport_costguard.money import micro_usd, token_cost

SHIPPED = "prices.toml"
CURRENCY = "USD"
_DEFAULT_TAG = ":latest"
_MOST_FOUND = 10_000
"""Names whose prices are remembered: routing asks for those of all candidates, several times."""
_KEYS = frozenset({"models", "provider", "input", "output", "cached_input", "as_of", "source"})


@attrs.frozen(kw_only=True)
class Price:
    """Of one model, in micro-USD per million tokens.

    Attributes:
        input: Of prompts.
        cached_input: Of the part of them that the server knew.
        output: Of answers.
        as_of: Day on which it was looked up.
        source: Where.
        provider: Whose price it is; empty where it was not told.
    """

    input: int
    cached_input: int
    output: int
    as_of: str
    source: str
    provider: str = ""

    def cost(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """Price tokens, in micro-USD, rounded up."""
        cached = min(cached_tokens, prompt_tokens)
        return token_cost(
            (
                (prompt_tokens - cached, self.input),
                (cached, self.cached_input),
                (completion_tokens, self.output),
            )
        )

    def most(self, *, prompt_tokens: int, completion_tokens: int) -> int:
        """Price tokens at the dearer of the prices of a prompt, in micro-USD."""
        dearer = max(self.input, self.cached_input)
        return token_cost(((prompt_tokens, dearer), (completion_tokens, self.output)))


class PriceTable:
    """Prices by the names of models; the settings' own first, then the file they name, then what is shipped.

    Args:
        config: The settings.

    Raises:
        ConfigError: A file of prices that cannot be read, or holds something else.
    """

    def __init__(self, config: CostGuardConfig) -> None:
        self._entries = tuple(_entries(config))
        self._allowed = config.allow_unpriced
        self._found: dict[str, Price | None] = {}

    def find(self, model: str) -> Price | None:
        """Give the price of a model; None where it has none."""
        if model not in self._found:
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            name = plain_name(model)
            fits = (price for pattern, price in self._entries if fnmatchcase(name, pattern))
            self._found[model] = next(fits, None)
        return self._found[model]

    def may_be_unpriced(self, model: ModelInfo) -> bool:
        """Tell whether the settings let a model be used without a price."""
        return any(fnmatchcase(plain_name(model.name), pattern) for pattern in self._allowed)


def plain_name(model: str) -> str:
    """Name a model without the tag that says nothing."""
    return model.removesuffix(_DEFAULT_TAG)


def _entries(config: CostGuardConfig) -> Iterator[tuple[str, Price]]:
    for pattern, settings in config.prices.items():
        yield plain_name(pattern), _price(settings)
    if config.price_file:
        path = Path(config.price_file).expanduser()
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the prices in {str(path)!r}: {error}") from error
        yield from _listed(text, str(path))
    yield from _listed(files(__package__).joinpath(SHIPPED).read_text("utf-8"), SHIPPED)


def _listed(text: str, origin: str) -> Iterator[tuple[str, Price]]:
    """Read a file of prices.

    Raises:
        ConfigError: Naming file and entry.
    """
    try:
        listed = tomllib.loads(text)["prices"]
        for number, entry in enumerate(listed, start=1):
            where = f"{origin}, entry {number}"
            strange = sorted(set(entry) - _KEYS)
            if strange:
                raise ConfigError(f"{where}: unknown key {strange[0]!r}; known: {', '.join(sorted(_KEYS))}")
            settings = _checked(entry, where)
            for pattern in entry["models"]:
                yield pattern, attrs.evolve(_price(settings), provider=str(entry.get("provider", "")))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{origin} is no list of prices: {type(error).__name__}: {error}",
            hint="Each is [[prices]] with models, input, output, as_of and source",
        ) from error


def _checked(entry: Mapping[str, object], where: str) -> PriceSettings:
    """Build the settings of one entry with the checks that the settings file has."""
    values = {key: value for key, value in entry.items() if key not in {"models", "provider"}}
    settings = PriceSettings(**values)  # type: ignore[arg-type] # checked below
    for field in attrs.fields(PriceSettings):
        check = field.metadata.get("check")
        try:
            if check is not None:
                check(getattr(settings, field.name))
        except ValueError as error:
            raise ConfigError(f"{where}: {field.name} {error}") from error
    return settings


def _price(settings: PriceSettings) -> Price:
    cached = settings.input if settings.cached_input is None else settings.cached_input
    return Price(
        input=micro_usd(settings.input),
        cached_input=micro_usd(cached),
        output=micro_usd(settings.output),
        as_of=settings.as_of,
        source=settings.source,
    )
