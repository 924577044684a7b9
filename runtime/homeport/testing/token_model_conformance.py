"""The contract of ``TokenModel``, as tests: inherit the class, say how to build your model, run pytest.

Needs pytest and numpy: ``pip install 'homeport[testing]'`` and your backend's own requirements.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from homeport import LoadError, LoadPlan, TokenModel, TokenModelFacts, TokenRow, UnsupportedError
from homeport.testing.loaded_model import LoadedModel

_INPUT_LENGTHS = (5, 2, 9)
_LIVELY_SLOTS = 3
_LIVELY_STEPS = 40
_LIVELY_TOKENS = 24


class TokenModelConformance:
    """What every local backend must do: whatever shares a batch or a slot, each sequence is as if alone.

    Example:
        >>> from homeport.testing.tiny_model import ChecksumModel, write_tiny_model
        >>> class TestChecksum(TokenModelConformance):
        ...     def make_model(self):
        ...         return ChecksumModel()
        ...
        ...     @pytest.fixture
        ...     def model_path(self, tmp_path):
        ...         write_tiny_model(tmp_path)
        ...         return tmp_path

    Attributes:
        plan: What the model is loaded with; at least 4 slots of 32 tokens.
        tolerance: By how much logits of one sequence may differ between ways to compute it.
    """

    plan: ClassVar[LoadPlan] = LoadPlan(context_length=64, slots=4, threads=1)
    tolerance: ClassVar[float] = 1e-3

    def make_model(self) -> TokenModel:
        """Build a model that is not loaded yet."""
        raise NotImplementedError(f"{type(self).__name__} must define make_model()")

    @pytest.fixture
    def model_path(self) -> Path:
        """Folder of a model that can be loaded."""
        raise NotImplementedError(f"{type(self).__name__} must define the fixture model_path")

    @pytest.fixture
    def loaded(self, model_path: Path) -> LoadedModel:
        """The model under test, loaded."""
        model = self.make_model()
        return LoadedModel(model=model, facts=model.load(model_path, self.plan), plan=self.plan)

    @pytest.fixture
    def decoder(self, loaded: LoadedModel) -> LoadedModel:
        """The same, where it generates."""
        if not loaded.facts.generates:
            pytest.skip("the model generates nothing")
        return loaded

    def assert_same(self, actual: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
        """Compare logits within the tolerance."""
        np.testing.assert_allclose(actual, expected, rtol=0, atol=self.tolerance)

    def test_facts_are_possible(self, loaded: LoadedModel) -> None:
        """The engine sizes its work by them."""
        facts = loaded.facts
        assert isinstance(facts, TokenModelFacts)
        assert facts.vocabulary_size >= 1
        assert facts.context_length >= 1
        assert facts.kv_bytes_per_token >= 0
        assert facts.embedding_length >= 0
        assert facts.computes.isprintable(), "computes is one line"
        assert facts.generates or facts.embedding_length, "a model generates, embeds, or both"

    def test_folder_without_a_model_is_a_load_error(self, tmp_path: Path) -> None:
        """What cannot be loaded is refused with a typed error."""
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(LoadError):
            self.make_model().load(empty, self.plan)

    def test_model_that_generates_nothing_says_so(self, loaded: LoadedModel) -> None:
        """What works on a cache is unsupported on an encoder."""
        if loaded.facts.generates:
            pytest.skip("the model generates")
        with pytest.raises(UnsupportedError):
            loaded.logits(loaded.tokens(1))
        with pytest.raises(UnsupportedError):
            loaded.model.copy_prefix(0, 1, 1)
        with pytest.raises(UnsupportedError):
            loaded.model.release(0, 0)

    def test_logits_are_float32_numbers_for_each_row_that_wants_them(self, decoder: LoadedModel) -> None:
        """Rows that want none have none, whatever their place in the batch."""
        rows = [TokenRow(slot, 0, decoder.tokens(3, slot), int(slot in {1, 3})) for slot in range(4)]
        logits = decoder.forward(*rows)
        assert logits.shape == (2, decoder.facts.vocabulary_size)
        assert logits.dtype == np.float32
        assert np.isfinite(logits).all()
        assert decoder.forward(TokenRow(0, 0, decoder.tokens(3), logits=0)).shape[0] == 0

    def test_last_tokens_of_a_row_have_logits_where_asked(self, decoder: LoadedModel) -> None:
        """Logits behind several tokens of a row are those that each token alone would give."""
        prompt, other = decoder.tokens(9, seed=11), decoder.tokens(4, seed=12)
        alone = [decoder.logits(prompt[:end]) for end in range(7, 10)] + [decoder.logits(other)]
        decoder.logits(prompt[:5], slot=1)
        rows = (TokenRow(1, 5, prompt[5:], logits=3), TokenRow(2, 0, other, logits=1))
        self.assert_same(decoder.forward(*rows), np.stack(alone))

    def test_ragged_batch_computes_each_row_as_if_alone(self, decoder: LoadedModel) -> None:
        """Prompts and single tokens of different lengths share a step and change nothing."""
        histories = [decoder.tokens(length, seed=length) for length in (0, 7, 1, 12)]
        news = [decoder.tokens(length, seed=20 + length) for length in (6, 1, 9, 1)]
        alone = [decoder.logits(history + new) for history, new in zip(histories, news, strict=True)]
        for slot, history in enumerate(histories):
            if history:
                decoder.logits(history, slot=slot)
        together = decoder.forward(
            *(
                TokenRow(slot, len(history), new, logits=1)
                for slot, (history, new) in enumerate(zip(histories, news, strict=True))
            )
        )
        self.assert_same(together, np.stack(alone))

    def test_order_of_rows_is_the_order_of_logits(self, decoder: LoadedModel) -> None:
        """Rows need not come by slot."""
        prompts = [decoder.tokens(4, seed) for seed in range(3)]
        alone = [decoder.logits(prompt) for prompt in prompts]
        slots = (2, 0, 3)
        rows = (TokenRow(slot, 0, prompt, 1) for slot, prompt in zip(slots, prompts, strict=True))
        self.assert_same(decoder.forward(*rows), np.stack(alone))

    @pytest.mark.parametrize("part", [1, 5])
    def test_prompt_in_parts_equals_a_prompt_at_once(self, decoder: LoadedModel, part: int) -> None:
        """The cache holds all that a later part needs to know of an earlier one."""
        prompt = decoder.tokens(12)
        whole = decoder.logits(prompt, slot=1)
        for start in range(0, len(prompt), part):
            tokens = prompt[start : start + part]
            last = decoder.forward(TokenRow(0, start, tokens, int(start + part >= len(prompt))))
        self.assert_same(last[0], whole)

    def test_slot_used_before_starts_afresh(self, decoder: LoadedModel) -> None:
        """Nothing of a longer earlier sequence is seen by the next one in its slot."""
        prompt = decoder.tokens(4, seed=1)
        fresh = decoder.logits(prompt, slot=1)
        decoder.logits(decoder.tokens(20, seed=2), slot=0)
        self.assert_same(decoder.logits(prompt, slot=0), fresh)

    def test_sequence_can_be_rewound(self, decoder: LoadedModel) -> None:
        """A row that starts before the end of its slot overwrites what lies behind."""
        old, new = decoder.tokens(15, seed=3), decoder.tokens(4, seed=4)
        fresh = decoder.logits(old[:6] + new, slot=1)
        decoder.logits(old, slot=0)
        self.assert_same(decoder.logits(new, slot=0, start=6), fresh)

    def test_neighbouring_slots_are_left_alone(self, decoder: LoadedModel) -> None:
        """Sequences in other slots do not change one that rests."""
        resting, new = decoder.tokens(8, seed=5), decoder.tokens(1, seed=6)
        whole = decoder.logits(resting + new, slot=1)
        decoder.logits(resting, slot=1)
        for slot in (0, 2, 3):
            decoder.logits(decoder.tokens(12, seed=slot), slot=slot)
        self.assert_same(decoder.logits(new, slot=1, start=len(resting)), whole)

    def test_copied_prefix_continues_in_both_slots(self, decoder: LoadedModel) -> None:
        """A copy is as good as a computation, over a longer sequence too, and its source stays whole."""
        source, new = decoder.tokens(10, seed=7), decoder.tokens(3, seed=8)
        from_prefix = decoder.logits(source[:6] + new, slot=0)
        from_source = decoder.logits(source + new, slot=0)
        decoder.logits(decoder.tokens(18, seed=9), slot=2)
        decoder.logits(source, slot=1)
        decoder.model.copy_prefix(1, 2, 6)
        self.assert_same(decoder.logits(new, slot=2, start=6), from_prefix)
        self.assert_same(decoder.logits(new, slot=1, start=10), from_source)

    @pytest.mark.parametrize("length", [0, 6])
    def test_released_slot_keeps_its_first_tokens(self, decoder: LoadedModel, length: int) -> None:
        """What stays continues as before, what is written again is found, and neighbours keep theirs."""
        old, new, last = (decoder.tokens(count, seed=13 + count) for count in (20, 5, 1))
        fresh = decoder.logits(old[:length] + new, slot=1)
        neighbour = decoder.logits(old + last, slot=1)
        for slot in range(3):
            decoder.logits(old, slot=slot)
        decoder.model.release(1, length)
        decoder.model.release(1, length)
        self.assert_same(decoder.logits(new, slot=1, start=length), fresh)
        for slot in (0, 2):
            self.assert_same(decoder.logits(last, slot=slot, start=len(old)), neighbour)

    def test_every_slot_holds_a_whole_window(self, decoder: LoadedModel) -> None:
        """The last place of each slot can be used."""
        rest, last = decoder.tokens(decoder.window - 1), decoder.tokens(1, seed=10)
        slots = range(decoder.plan.slots)
        decoder.forward(*(TokenRow(slot, 0, rest, logits=0) for slot in slots))
        logits = decoder.forward(*(TokenRow(slot, len(rest), last, logits=1) for slot in slots))
        assert np.isfinite(logits).all()
        self.assert_same(logits, np.stack([logits[0]] * len(slots)))

    def test_sequences_come_and_go_as_if_alone(self, decoder: LoadedModel) -> None:
        """Slots join, rest, grow at several speeds, leave, and begin as copies; none shows in another."""
        draw = np.random.default_rng(3)
        held: list[list[int]] = [[] for _ in range(_LIVELY_SLOTS)]
        found: list[tuple[list[int], NDArray[np.float32]]] = []
        for step in range(_LIVELY_STEPS):
            self._release_or_copy(decoder, held, draw)
            count = int(draw.integers(1, _LIVELY_SLOTS + 1))
            rows = []
            for slot in draw.permutation(_LIVELY_SLOTS)[:count].tolist():
                new = decoder.tokens(int(draw.choice((1, 1, 1, 4))), seed=100 + _LIVELY_SLOTS * step + slot)
                rows.append(TokenRow(slot, len(held[slot]), new, logits=1))
                held[slot] += new
            found += zip(([*held[row.slot]] for row in rows), decoder.forward(*rows), strict=True)
        for sequence, logits in found:
            self.assert_same(logits, decoder.logits(sequence, slot=_LIVELY_SLOTS))

    def _release_or_copy(
        self, decoder: LoadedModel, held: list[list[int]], draw: np.random.Generator
    ) -> None:
        """End sequences that are long, and now and then go back in one, or begin one as a copy."""
        for slot, sequence in enumerate(held):
            if len(sequence) > _LIVELY_TOKENS:
                decoder.model.release(slot, 0)
                sequence.clear()
        source, target = draw.permutation(_LIVELY_SLOTS)[:2].tolist()
        length = int(draw.integers(len(held[source]) + 1))
        match draw.integers(6):
            case 0:
                decoder.model.release(source, length)
                del held[source][length:]
            case 1 if length:
                decoder.model.copy_prefix(source, target, length)
                held[target][:] = held[source][:length]

    def test_embeddings_are_a_row_for_each_input_as_if_alone(self, loaded: LoadedModel) -> None:
        """Inputs of different lengths share a batch and change nothing; without embeddings, that is said."""
        inputs = [loaded.tokens(length, seed=length) for length in _INPUT_LENGTHS]
        if not loaded.facts.embedding_length:
            with pytest.raises(UnsupportedError):
                loaded.model.embed(inputs)
            return
        vectors = loaded.model.embed(inputs)
        assert vectors.shape == (len(inputs), loaded.facts.embedding_length)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        self.assert_same(vectors, np.concatenate([loaded.model.embed([ids]) for ids in inputs]))
