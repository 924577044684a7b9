"""From the states of all tokens to one vector, as a model's sentence-transformers files say.

Format: ``modules.json`` and the ``config.json`` of each module, as sentence-transformers saves them.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import attrs
import torch
from torch.nn import functional

from homeport import LoadError
from homeport_transformers.checkpoint import REPAIR_HINT, read_json
from homeport_transformers.decoders import MODULES_FILE

LIMITS_FILE = "sentence_bert_config.json"
_POOLING_FILE = "config.json"
_MODE_PREFIX = "pooling_mode_"


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask).sum(1) / mask.sum(1)


def _mean_sqrt_len(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (states * mask).sum(1) / mask.sum(1).sqrt()


def _max(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask == 0, -torch.inf).amax(1)


def _cls(states: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return states[:, 0]


def _last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    ends = mask[..., 0].sum(1).long() - 1
    return states[torch.arange(len(states)), ends]


POOLINGS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls_token": _cls,
    "max_tokens": _max,
    "mean_tokens": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "lasttoken": _last,
}
"""By the name after ``pooling_mode_``, in the order in which several are joined."""


@attrs.frozen(kw_only=True)
class SentencePooling:
    """How a model makes one vector of a text.

    Attributes:
        modes: Names out of ``POOLINGS``; their vectors follow one another.
        normalize: Scale the vector to length 1.
        max_tokens: Longest input it was made for; None where the files do not say.
    """

    modes: tuple[str, ...] = ("mean_tokens",)
    normalize: bool = False
    max_tokens: int | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a model folder; without ``modules.json``, tokens are averaged, as sentence-transformers does.

        Raises:
            LoadError: It names a module or a pooling that is not computed here.
        """
        modes: tuple[str, ...] = ("mean_tokens",)
        normalize = False
        for kind, folder in _modules(path):
            if kind == "Pooling":
                modes = _modes(folder)
            elif kind == "Normalize":
                normalize = True
            elif kind != "Transformer":
                raise LoadError(
                    f"{MODULES_FILE} in {path} names a module {kind!r}, "
                    "expected Transformer, Pooling and Normalize",
                    hint="Choose an embedding model without further layers",
                )
        return cls(modes=modes, normalize=normalize, max_tokens=_max_tokens(path))

    @torch.inference_mode()
    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Make one vector per text.

        Args:
            states: [texts, tokens, hidden].
            mask: 1 for tokens and 0 for padding behind them, [texts, tokens].

        Returns:
            float32 [texts, modes * hidden].
        """
        states, weights = states.float(), mask.unsqueeze(-1).float()
        vectors = torch.cat([POOLINGS[mode](states, weights) for mode in self.modes], dim=1)
        return functional.normalize(vectors, dim=1) if self.normalize else vectors


def _modules(path: Path) -> list[tuple[str, Path]]:
    file = path / MODULES_FILE
    if not file.is_file():
        return []
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return [(str(entry["type"]).rpartition(".")[2], path / str(entry["path"])) for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise LoadError(
            f"{MODULES_FILE!r} in {path} is no list of modules with type and path: {error!r}",
            hint=REPAIR_HINT,
        ) from error


def _modes(folder: Path) -> tuple[str, ...]:
    config = read_json(folder / _POOLING_FILE)
    asked = [
        key.removeprefix(_MODE_PREFIX)
        for key, on in config.items()
        if key.startswith(_MODE_PREFIX) and on is True
    ]
    unknown = [mode for mode in asked if mode not in POOLINGS]
    if unknown or not asked:
        raise LoadError(
            f"{folder.name}/{_POOLING_FILE} asks for {asked!r}, expected some of {', '.join(POOLINGS)}",
            hint="Choose an embedding model that pools so",
        )
    return tuple(mode for mode in POOLINGS if mode in asked)


def _max_tokens(path: Path) -> int | None:
    if not (path / LIMITS_FILE).is_file():
        return None
    limit = read_json(path / LIMITS_FILE).get("max_seq_length")
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise LoadError(
            f"{LIMITS_FILE} in {path} says max_seq_length is {limit!r}, expected a whole number above 0",
            hint=REPAIR_HINT,
        )
    return limit
