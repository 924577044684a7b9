import attrs
import numpy as np
import pytest

from homeport import TokenBatch
from homeport.testing.tiny_model import ChecksumModel

pytest_plugins = ["pytester"]

KIT = """
import pytest
from homeport.testing.tiny_model import write_tiny_model
from homeport.testing.token_model_conformance import TokenModelConformance

class TestSubject(TokenModelConformance):
    @pytest.fixture(autouse=True)
    def _subject(self, make_subject):
        self.make_model = make_subject

    @pytest.fixture
    def model_path(self, tmp_path):
        write_tiny_model(tmp_path)
        return tmp_path
"""


class Boundless(ChecksumModel):
    """Claims impossible facts."""

    def load(self, path, plan):
        return attrs.evolve(super().load(path, plan), context_length=0)


class Useless(ChecksumModel):
    """Neither generates nor embeds."""

    def load(self, path, plan):
        return attrs.evolve(super().load(path, plan), generates=False, embedding_length=0)


class Modest(ChecksumModel):
    """Says that it generates nothing, and does."""

    def load(self, path, plan):
        return attrs.evolve(super().load(path, plan), generates=False)


class Trusting(ChecksumModel):
    """Loads whatever it is given."""

    def load(self, path, plan):
        (path / "config.json").touch()
        return super().load(path, plan)


class Otherwise(ChecksumModel):
    """Changes its logits."""

    def forward(self, batch):
        return self.change(super().forward(batch))


class Double(Otherwise):
    def change(self, logits):
        return logits.astype(np.float64)


class NotANumber(Otherwise):
    def change(self, logits):
        return np.where(logits > 0, np.float32("nan"), logits)


class Narrow(Otherwise):
    def change(self, logits):
        return logits[:, :-1]


class Generous(ChecksumModel):
    """Gives logits to rows that want none."""

    def forward(self, batch):
        return super().forward(TokenBatch(tuple(attrs.evolve(row, logits=1) for row in batch.rows)))


class Single(ChecksumModel):
    """Gives logits of the last token only, however many are wanted."""

    def forward(self, batch):
        wanted = [row.logits for row in batch.rows]
        rows = (attrs.evolve(row, logits=min(row.logits, 1)) for row in batch.rows)
        return np.repeat(super().forward(TokenBatch(tuple(rows))), [w for w in wanted if w], axis=0)


class Padded(ChecksumModel):
    """Pads the rows of a batch to one length and lets the padding be seen."""

    def forward(self, batch):
        longest = max(len(row.tokens) for row in batch.rows)
        rows = (
            attrs.evolve(row, tokens=[*row.tokens, *[0] * (longest - len(row.tokens))]) for row in batch.rows
        )
        return super().forward(TokenBatch(tuple(rows)))


class Sorted(ChecksumModel):
    """Answers in the order of slots."""

    def forward(self, batch):
        return super().forward(TokenBatch(tuple(sorted(batch.rows, key=lambda row: row.slot))))


class Forgetful(ChecksumModel):
    """Sees only the newest tokens."""

    def _extend(self, row):
        super()._extend(row)
        return list(row.tokens)


class Appending(ChecksumModel):
    """Takes no notice of where a row starts."""

    def _extend(self, row):
        return super()._extend(attrs.evolve(row, start=len(self._cache[row.slot])))


class Restarting(ChecksumModel):
    """Knows a fresh start, but keeps what lies behind a rewound one."""

    def _extend(self, row):
        start = len(self._cache[row.slot]) if row.start else 0
        return super()._extend(attrs.evolve(row, start=start))


class Spilling(ChecksumModel):
    """Writes into the next slot too."""

    def _extend(self, row):
        neighbour = row.slot + 1
        if row.start == 0 and neighbour < len(self._cache) and self._cache[neighbour]:
            self._cache[neighbour][0] = row.tokens[0]
        return super()._extend(row)


class Lending(ChecksumModel):
    """Shares a prefix instead of copying it."""

    def copy_prefix(self, source, target, length):
        del self._cache[source][length:]
        self._cache[target] = self._cache[source]


class CopyingAll(ChecksumModel):
    """Takes no notice of the length of a prefix, nor of rewinding behind it."""

    def copy_prefix(self, source, target, length):
        self._cache[target] = [0] * length


class Wiping(ChecksumModel):
    """Forgets all of a slot that keeps a part."""

    def release(self, slot, length):
        self._cache[slot] = [0] * length


class Losing(ChecksumModel):
    """Loses what a slot holds that rests while two others go on."""

    def forward(self, batch):
        running = {row.slot for row in batch.rows}
        for slot, cached in enumerate(self._cache):
            if len(running) == 2 and slot not in running:
                cached[:] = [0] * len(cached)
        return super().forward(batch)


class Short(ChecksumModel):
    """Has no room for the last token of a window."""

    def _extend(self, row):
        if row.start + len(row.tokens) >= 64:
            raise IndexError("the slot is full")
        return super()._extend(row)


class Shared(ChecksumModel):
    """Embeds an input by the longest one beside it."""

    def embed(self, inputs):
        longest = max(inputs, key=len)
        return super().embed([longest for _ in inputs])


class Flat(ChecksumModel):
    """Gives one vector for all inputs."""

    def embed(self, inputs):
        return super().embed(inputs)[0]


class Pretending(ChecksumModel):
    """Says that it cannot embed, and does."""

    def load(self, path, plan):
        return attrs.evolve(super().load(path, plan), embedding_length=0)


FACTS = "test_facts_are_possible"
LOGITS = "test_logits_are_float32_numbers_for_each_row_that_wants_them"
EMBEDDINGS = "test_embeddings_are_a_row_for_each_input_as_if_alone"

BROKEN = {
    Boundless: FACTS,
    Useless: FACTS,
    Modest: "test_model_that_generates_nothing_says_so",
    Trusting: "test_folder_without_a_model_is_a_load_error",
    Double: LOGITS,
    NotANumber: LOGITS,
    Narrow: LOGITS,
    Generous: LOGITS,
    Padded: "test_ragged_batch_computes_each_row_as_if_alone",
    Sorted: "test_order_of_rows_is_the_order_of_logits",
    Forgetful: "test_prompt_in_parts_equals_a_prompt_at_once",
    Appending: "test_slot_used_before_starts_afresh",
    Restarting: "test_sequence_can_be_rewound",
    Spilling: "test_neighbouring_slots_are_left_alone",
    Lending: "test_copied_prefix_continues_in_both_slots",
    Single: "test_last_tokens_of_a_row_have_logits_where_asked",
    Wiping: "test_released_slot_keeps_its_first_tokens",
    CopyingAll: "test_copied_prefix_continues_in_both_slots",
    Losing: "test_sequences_come_and_go_as_if_alone",
    Short: "test_every_slot_holds_a_whole_window",
    Shared: EMBEDDINGS,
    Flat: EMBEDDINGS,
    Pretending: EMBEDDINGS,
}


@pytest.mark.parametrize(("broken", "test"), BROKEN.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_model_that_breaks_a_rule_fails_the_test_of_that_rule(failures, broken, test):
    """A test that cannot fail would be a defect of the kit."""
    assert failures(KIT, broken, only=test) == {test}


def test_whole_model_fails_nothing(failures):
    """What fails above fails for its own fault."""
    assert failures(KIT, ChecksumModel) == set()
