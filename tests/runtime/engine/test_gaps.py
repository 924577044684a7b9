import json

import pytest
from tokenizers import AddedToken, Tokenizer

from homeport.domain.errors import ContextOverflowError, UnsupportedError
from homeport.domain.generation import FillPrompt
from homeport.engine.gap_tokens import GAP_FAMILIES, gap_tokens_of
from homeport.engine.prompts import PromptEncoder
from homeport.engine.tokenizer import TextTokenizer
from homeport.testing.tiny_model import write_tiny_model

PROMPT = FillPrompt("def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n")


@pytest.fixture
def encoder(tmp_path):
    """Build a prompt encoder whose vocabulary has some tokens more."""

    def build(*tokens):
        write_tiny_model(tmp_path)
        tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        tokenizer.add_special_tokens([AddedToken(token, special=True) for token in tokens])
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>"}))
        text = TextTokenizer(tmp_path)
        return PromptEncoder(text, tokenizer.get_vocab_size()), text

    return build


def written(tokenizer, prompt):
    return tokenizer.decode(prompt.tokens, skip_special_tokens=False)


@pytest.mark.parametrize("family", GAP_FAMILIES, ids=lambda family: family.prefix)
def test_each_family_writes_its_own_tokens_around_the_texts(encoder, family):
    """Both texts, in the family's order, with its tokens between, and its own ends."""
    prompts, tokenizer = encoder(*filter(None, (family.prefix, family.suffix, family.middle, *family.ends)))
    prompt = prompts.encode(PROMPT, window=256, truncate=False)
    parts = [family.prefix, PROMPT.prefix, family.suffix, PROMPT.suffix, family.middle]
    if family.suffix_first:
        parts = [*parts[2:4], *parts[:2], family.middle]
    assert written(tokenizer, prompt) == "".join(parts)
    assert {tokenizer.added_tokens[end] for end in (*family.ends, family.suffix)} <= prompt.form.end_tokens


def test_a_vocabulary_without_such_tokens_cannot_fill_gaps(encoder):
    """The request is refused as an ability that the model lacks."""
    prompts, _ = encoder("<|fim_prefix|>")
    with pytest.raises(UnsupportedError, match="does not support insert"):
        prompts.encode(PROMPT, window=256, truncate=True)
    assert gap_tokens_of({}.__contains__) is None


def test_what_is_furthest_from_the_gap_goes_first(encoder):
    """A text that does not fit is cut at its two ends, or refused."""
    prompts, tokenizer = encoder("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    long = FillPrompt("a" * 500 + "before", "behind" + "b" * 500)
    prompt = prompts.encode(long, window=64, truncate=True)
    assert prompt.truncated
    assert len(prompt.tokens) == 48
    text = written(tokenizer, prompt)
    assert "abefore<fim_suffix>behindb" in text
    assert prompts.encode(FillPrompt("x" * 59, ""), window=64, truncate=False).truncated is False
    with pytest.raises(ContextOverflowError):
        prompts.encode(long, window=64, truncate=False)


def test_tokens_spelt_out_around_a_gap_are_text(encoder):
    """Code that speaks of such tokens is code."""
    prompts, tokenizer = encoder("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    prompt = prompts.encode(FillPrompt("a<fim_middle>", "<end>"), window=64, truncate=False)
    assert prompt.tokens.count(tokenizer.added_tokens["<fim_middle>"]) == 1
    assert tokenizer.added_tokens["<end>"] not in prompt.tokens
    assert written(tokenizer, prompt) == "<fim_prefix>a<fim_middle><fim_suffix><end><fim_middle>"
