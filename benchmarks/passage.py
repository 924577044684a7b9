"""The text that ships with the benchmarks, as tokens. It was written for them; anyone may use it."""

from pathlib import Path

from tokenizers import Tokenizer

_TEXT = Path(__file__).with_name("passage.txt")


def passage_tokens(model_folder: Path) -> list[int]:
    """Split the text with a model's own tokenizer, without special tokens."""
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    encoded = tokenizer.encode(_TEXT.read_text(encoding="utf-8"), add_special_tokens=False)
    return list(encoded.ids)


def windows(tokens: list[int], length: int) -> list[list[int]]:
    """Cut tokens into pieces of one length; what is left over is dropped."""
    return [tokens[start : start + length] for start in range(0, len(tokens) - length + 1, length)]
