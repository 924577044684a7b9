"""Text to token ids and back, as the files of the model say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from homeport.domain.errors import LoadError

_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


class TextTokenizer:
    """The tokenizer of one model, read from a folder in Hugging Face layout.

    Attributes:
        stop_tokens: Ids that end a generation, from generation_config.json, config.json and the
            tokenizer's end token.
        special_tokens: Texts of the named special tokens.
        template: Source of the chat template; empty where there is none.
        longest_token: Characters that one id can stand for at most.

    Raises:
        LoadError: tokenizer.json is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises bare Exception for every fault
            message = f"cannot read tokenizer.json: {error}"
            raise LoadError(message, hint="Pull the model again with: homeport pull NAME --force") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        config = read_json(folder / "tokenizer_config.json")
        named = {**read_json(folder / "special_tokens_map.json"), **config}
        self.special_tokens = {name: _text(named[name]) for name in _SPECIAL_NAMES if named.get(name)}
        self.template = _template(folder, config)
        self.stop_tokens = self._stop_tokens(folder)
        self.longest_token = max(map(len, self._tokenizer.get_vocab()), default=1)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Turn text into ids.

        Args:
            text: Special tokens written out in it are recognised.
            add_special_tokens: Put what the tokenizer adds around a text, such as a begin token.
        """
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Turn ids into text; bytes that are no whole character become U+FFFD."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def begin_token(self) -> int | None:
        """Give the id that a sequence may begin with when there is no prompt."""
        for name in ("bos_token", "eos_token"):
            if name in self.special_tokens:
                found: int | None = self._tokenizer.token_to_id(self.special_tokens[name])
                return found
        return None

    def _stop_tokens(self, folder: Path) -> frozenset[int]:
        ids: set[int] = set()
        for name in ("generation_config.json", "config.json"):
            listed = read_json(folder / name).get("eos_token_id")
            ids.update(listed if isinstance(listed, list) else [] if listed is None else [listed])
        end = self._tokenizer.token_to_id(self.special_tokens.get("eos_token", ""))
        return frozenset(ids if end is None else ids | {end})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a model's folder; a file that is not there is empty.

    Raises:
        LoadError: The file is there and holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        message = f"cannot read {path.name}: {error}"
        raise LoadError(message, hint="Pull the model again with: homeport pull NAME --force") from error
    if not isinstance(content, dict):
        message = f"{path.name} holds {type(content).__name__}, not an object"
        raise LoadError(message, hint="Pull the model again with: homeport pull NAME --force")
    return content


def _text(token: Any) -> str:  # noqa: ANN401 - a string, or an object of an added token
    return str(token["content"]) if isinstance(token, dict) else str(token)


def _template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template") or ""
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default", "")
    return str(template)
