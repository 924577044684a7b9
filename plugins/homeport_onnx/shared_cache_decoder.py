"""Decoders whose graphs keep keys and values where they lie: past and present are the same memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from homeport import GenerationError, LoadError, LoadPlan, TokenBatch, TokenModelFacts, TokenRow
from homeport.checkpoint import REPAIR_HINT, OnnxFile
from homeport_onnx.bound_graph import BoundGraph
from homeport_onnx.config import OnnxConfig
from homeport_onnx.decoder_form import DecoderForm
from homeport_onnx.kv_cache import SharedCache
from homeport_onnx.lanes import Lanes
from homeport_onnx.session import open_session

_LONGEST_RUN_TOKENS = 256
"""Longer rows are computed in parts: scores of a part take memory by its tokens."""
_MOST_LOGITS_BYTES = 64 * 1024**2
"""Graphs that give logits of all tokens are given so few tokens that these stay below."""
_SHORT_TYPES = {"float32": "fp32", "float16": "fp16"}


class SharedCacheDecoder:
    """Computes the single tokens of a batch in one run, and each longer row in one of its own.

    GroupQueryAttention has that rule on the CPU: with a past, a run has one row or one token per row. Rows of
    a run are neighbours in the cache. Which rows run together changes seldom, and only then something is
    moved, once not moving it has cost as much.

    Args:
        session: The open graph.
        form: What it is fed with.
        facts: What the engine must know of it.
        plan: What it may use.
        weight_bytes: What a run reads at least.

    Raises:
        LoadError: The system refuses the memory.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        form: DecoderForm,
        facts: TokenModelFacts,
        plan: LoadPlan,
        *,
        weight_bytes: int,
    ) -> None:
        length = min(plan.context_length, facts.context_length)
        self.facts = facts
        self._form = form
        self._cache = SharedCache(form.cache_shape(lanes=plan.slots, length=length))
        self._graph = BoundGraph(session, form, self._cache)
        self._lanes = Lanes(plan.slots)
        self._weight_bytes = weight_bytes
        self._wasted_bytes = 0

    @classmethod
    def load(cls, graph: OnnxFile, folder: Path, plan: LoadPlan, config: OnnxConfig) -> Self:
        """Open a graph, make room for a plan's sequences, and compute one token to see that it does.

        Args:
            graph: The model's file, found harmless.
            folder: Where the files lie that tell its sizes.
            plan: What it may use.
            config: The backend's settings.

        Raises:
            LoadError: onnxruntime cannot run the graph, or the system refuses the memory.
        """
        form = DecoderForm.read(graph, folder)
        session = open_session(graph.path, config, plan.threads)
        facts = TokenModelFacts(
            vocabulary_size=form.vocabulary,
            context_length=form.context_length,
            kv_bytes_per_token=form.cache_shape(lanes=1, length=1).bytes_per_token,
            computes=_computes(graph, form),
        )
        decoder = cls(session, form, facts, plan, weight_bytes=graph.weights_bytes)
        try:
            decoder.forward(TokenBatch((TokenRow(0, 0, (0,), logits=1),)))
        except GenerationError as error:
            raise LoadError(error.message, hint=REPAIR_HINT) from error
        decoder.release(0, 0)
        return decoder

    def forward(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Compute all rows; see ``TokenModel.forward``."""
        computed = [(run, self._compute(run)) for run in self._runs(batch)]
        if len(computed) == 1:
            return computed[0][1]
        ends = np.cumsum([row.logits for row in batch.rows]).tolist()
        next_place = {row.slot: end - row.logits for row, end in zip(batch.rows, ends, strict=True)}
        logits = np.empty((ends[-1], self._form.vocabulary), np.float32)
        for run, part in computed:
            places: list[int] = []
            for row in run:
                places.extend(range(next_place[row.slot], next_place[row.slot] + row.logits))
                next_place[row.slot] += row.logits
            logits[places] = part
        return logits

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        """Copy the first ``length`` cached tokens of one slot to another."""
        self._lanes.settle(target)
        self._cache.copy(self._lanes.lane(source), self._lanes.lane(target), length)
        self._lanes.hold(target, length)

    def release(self, slot: int, length: int) -> None:
        """Give back the memory of a slot behind its first ``length`` tokens."""
        self._cache.release(self._lanes.lane(slot), length)
        self._lanes.hold(slot, min(length, self._lanes.held(slot)))

    def _runs(self, batch: TokenBatch) -> Iterator[list[TokenRow]]:
        """Split a batch into runs; each is to be computed before the next is asked for."""
        for row in batch.rows:
            if len(row.tokens) > 1:
                self._lanes.settle(row.slot)
                yield from ([part] for part in self._parts(row))
        yield from self._neighbours([row for row in batch.rows if len(row.tokens) == 1])

    def _parts(self, row: TokenRow) -> Iterator[TokenRow]:
        """Cut a row into what runs at once."""
        form, longest, count = self._form, _LONGEST_RUN_TOKENS, len(row.tokens)
        if form.gives_all:
            token_bytes = form.vocabulary * form.logits_dtype.itemsize
            longest = max(1, min(longest, _MOST_LOGITS_BYTES // token_bytes))
        first_wanted = count - row.logits
        begin = 0
        while begin < count:
            end = min(begin + longest, count)
            if form.gives_last_only:
                end = min(end, max(begin, first_wanted) + 1)
            wanted = max(0, end - max(begin, first_wanted))
            yield TokenRow(row.slot, row.start + begin, row.tokens[begin:end], wanted)
            begin = end

    def _neighbours(self, rows: Sequence[TokenRow]) -> list[list[TokenRow]]:
        """Split rows into runs of neighbours, after moving them together where that pays."""
        slots = [row.slot for row in rows]
        groups = self._lanes.groups(slots)
        if len(groups) > 1:
            swaps = self._lanes.swaps(slots)
            # Every run reads the weights once more.
            self._wasted_bytes += (len(groups) - 1) * self._weight_bytes
            if self._lanes.cost(swaps) * self._cache.shape.bytes_per_token <= self._wasted_bytes:
                self._wasted_bytes = 0
                for one, other in swaps:
                    self._exchange(one, other)
                groups = self._lanes.groups(slots)
        group_of = {slot: number for number, group in enumerate(groups) for slot in group}
        runs: list[list[TokenRow]] = [[] for _ in groups]
        for row in rows:
            runs[group_of[row.slot]].append(row)
        return runs

    def _exchange(self, one: int, other: int) -> None:
        self._cache.exchange(one, other, (self._lanes.held_at(one), self._lanes.held_at(other)))
        self._lanes.exchange(one, other)

    def _compute(self, rows: Sequence[TokenRow]) -> NDArray[np.float32]:
        """Compute a run: rows of one token, which are neighbours, or one row of any length."""
        logits = self._graph.run(rows, [self._lanes.lane(row.slot) for row in rows])
        for row in rows:
            self._lanes.hold(row.slot, row.start + len(row.tokens))
        return logits


def _computes(graph: OnnxFile, form: DecoderForm) -> str:
    weights = max(graph.weights, key=graph.weights.__getitem__, default="float32")
    cache = str(form.dtype)
    return (
        f"{_SHORT_TYPES.get(weights, weights)} weights, {_SHORT_TYPES.get(cache, cache)} cache, onnxruntime"
    )
