"""Text to token ids and back, as the files of the model say."""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
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
        special_tokens: Texts of the named special tokens, and of the begin token once more as
            ``leading_token`` where it stands before every text.
        template: Source of the chat template; empty where there is none.
        added_tokens: Ids of tokens that are found in a text whatever surrounds them, by their text.
        hidden_tokens: Those of them that are special: they belong to no text.

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
        self.special_tokens |= self._leading_token()
        self.template = _template(folder, config)
        self.stop_tokens = self._stop_tokens(folder)
        added = self._tokenizer.get_added_tokens_decoder()
        self.added_tokens = {token.content: number for number, token in added.items()}
        self.hidden_tokens = frozenset(token.content for token in added.values() if token.special)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Turn text into ids.

        Args:
            text: Special tokens written out in it are recognised.
            add_special_tokens: Put what the tokenizer adds around a text, such as a begin token.
        """
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_plainly(self, text: str) -> list[int]:
        """Turn text into ids; added tokens written out in it are text like any other."""
        return list(self._plain_tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Turn ids into text; bytes that are no whole character become U+FFFD."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    @property
    def size(self) -> int:
        """How many ids it knows, counted to the highest."""
        return max(self._tokenizer.get_vocab().values(), default=-1) + 1

    def token_id(self, text: str) -> int | None:
        """Give the id of the token that is written so; None where there is none."""
        found: int | None = self._tokenizer.token_to_id(text)
        return found

    def definition(self) -> str:
        """Give the text of a tokenizer.json that says all of it."""
        return str(self._tokenizer.to_str())

    def decoder(self, shown: frozenset[str]) -> Callable[[Sequence[int]], str]:
        """Give what turns ids into text as :meth:`decode` does, but shows some special tokens."""
        if not shown & self.hidden_tokens:
            return self.decode
        left_out = frozenset(self.added_tokens[token] for token in self.hidden_tokens - shown)

        def decode(ids: Sequence[int]) -> str:
            return self.decode([token for token in ids if token not in left_out], skip_special_tokens=False)

        return decode

    def begin_token(self) -> int | None:
        """Give the id that a sequence may begin with when there is no prompt."""
        for name in ("bos_token", "eos_token"):
            if name in self.special_tokens:
                found: int | None = self._tokenizer.token_to_id(self.special_tokens[name])
                return found
        return None

    @cached_property
    def longest_token(self) -> int:
        """Characters that one id can spell at most; reading the vocabulary for it takes 25 ms."""
        return max(map(len, self._tokenizer.get_vocab()), default=1)

    def is_too_long(self, characters: int, most: int) -> bool:
        """Tell whether so long a text is too much to read for ``most`` ids.

        Any text of words that are in the vocabulary has more. One of blanks, or of words that become a single
        unknown token, may have fewer, and is not read either.
        """
        return characters > most and characters > most * self.longest_token

    @cached_property
    def _plain_tokenizer(self) -> Tokenizer:
        """The same vocabulary and rules, with no added tokens."""
        described = json.loads(self._tokenizer.to_str())
        return Tokenizer.from_str(json.dumps(described | {"added_tokens": []}))

    def _leading_token(self) -> dict[str, str]:
        """Give the begin token as ``leading_token`` where the tokenizer puts it before every text."""
        begin = self.special_tokens.get("bos_token", "")
        first = self.encode("", add_special_tokens=True)[:1]
        leads = bool(begin) and first == [self._tokenizer.token_to_id(begin)]
        return {"leading_token": begin} if leads else {}

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
