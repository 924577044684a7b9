"""Runs of a decoder's graph on the cache where it lies: nothing of it is copied to compute a step."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from homeport import GenerationError, TokenRow
from homeport_onnx.decoder_form import LOGITS_AT, DecoderForm, LayerNames
from homeport_onnx.kv_cache import CacheShape, SharedCache
from homeport_onnx.session import FAILURES, reason

_MOST_BINDINGS = 16
"""Remembered, one for each place and number of rows that ran together; one takes 0.3 ms to make."""
_Fed = dict[str, NDArray[np.generic]]


class _BoundLanes:
    """Neighbouring lanes, bound as past and present, and what is fed to their runs.

    Args:
        binding: Nothing is bound to it yet.
    """

    def __init__(self, binding: onnxruntime.IOBinding) -> None:
        self.binding = binding
        self._fed: dict[str, NDArray[np.generic]] = {}

    def share(
        self, names: Sequence[LayerNames], addresses: Iterable[tuple[int, int]], rows: int, cache: CacheShape
    ) -> None:
        """Let present keys and values be where the past ones are."""
        shape = (rows, cache.kv_heads, cache.length, cache.head_dim)
        for layer, (keys, values) in zip(names, addresses, strict=True):
            self.binding.bind_input(layer.past_key, "cpu", 0, cache.dtype, shape, keys)
            self.binding.bind_input(layer.past_value, "cpu", 0, cache.dtype, shape, values)
            self.binding.bind_output(layer.present_key, "cpu", 0, cache.dtype, shape, keys)
            self.binding.bind_output(layer.present_value, "cpu", 0, cache.dtype, shape, values)

    def feed(self, name: str, array: NDArray[np.generic]) -> None:
        """Give an input its value; an array of another shape is bound, and kept, in place of the last."""
        held = self._fed.get(name)
        if held is not None and held.shape == array.shape:
            held[...] = array
            return
        self._fed[name] = array
        self.binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)


class BoundGraph:
    """A graph whose past and present are both bound to the lanes of a cache.

    Args:
        session: The open graph.
        form: What it is fed with.
        cache: Its keys and values.
    """

    def __init__(self, session: onnxruntime.InferenceSession, form: DecoderForm, cache: SharedCache) -> None:
        self._session = session
        self._form = form
        self._cache = cache
        self._lanes: OrderedDict[tuple[int, int], _BoundLanes] = OrderedDict()

    def run(self, rows: Sequence[TokenRow], lanes: Sequence[int]) -> NDArray[np.float32]:
        """Compute rows of one token each, or one row.

        Args:
            rows: In any order.
            lanes: Where each of them lies; together they are neighbours.

        Returns:
            What the rows want, in their order: float32 [sum of the rows' logits, vocabulary].

        Raises:
            GenerationError: onnxruntime cannot compute it.
        """
        first = min(lanes)
        places = [lane - first for lane in lanes]
        count = len(rows[0].tokens)
        tokens = np.empty((len(rows), count), np.int64)
        ends = np.empty(len(rows), np.int32)
        for row, place in zip(rows, places, strict=True):
            tokens[place] = row.tokens
            ends[place] = row.start + count
        wanted = np.array(
            [
                (place, at)
                for row, place in zip(rows, places, strict=True)
                for at in range(count - row.logits, count)
            ],
            np.int64,
        ).reshape(-1, 2)
        bound = self._bound(first, len(rows))
        try:
            if self._form.attention_mask:
                return self._run_all(bound, tokens, ends, wanted)
            return self._run_wanted(bound, tokens, ends, wanted)
        except FAILURES as error:
            raise GenerationError(f"onnxruntime cannot compute this step: {reason(error)}") from error

    def _run_wanted(
        self,
        bound: _BoundLanes,
        tokens: NDArray[np.int64],
        ends: NDArray[np.int32],
        wanted: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Run a graph that computes logits where they are wanted."""
        logits = np.empty((len(wanted), self._form.vocabulary), np.float32)
        fed: _Fed = {
            self._form.input_ids: tokens,
            "seqlens_k": ends - np.int32(1),
            "total_sequence_length": np.array(ends.max(), np.int32),
            LOGITS_AT: wanted[:, 0] * tokens.shape[1] + wanted[:, 1],
        }
        self._launch(bound, fed, logits)
        return logits

    def _run_all(
        self,
        bound: _BoundLanes,
        tokens: NDArray[np.int64],
        ends: NDArray[np.int32],
        wanted: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Run a graph that computes logits of all tokens, or of the last so many of each row."""
        form = self._form
        rows, count = tokens.shape
        # Only the sum of a row and the width of all count: how long the row is, and the longest.
        mask = np.arange(ends.max()) < ends[:, None]
        fed: _Fed = {form.input_ids: tokens, form.attention_mask: mask.astype(np.int64)}
        if form.position_ids:
            fed[form.position_ids] = ends[:, None].astype(np.int64) + np.arange(-count, 0)
        given = 1 if form.gives_last_only else count
        if form.logits_kept:
            given = count - int(wanted[:, 1].min(initial=count - 1))
            fed[form.logits_kept] = np.array(given, np.int64)
        logits = np.empty((rows, given, form.vocabulary), form.logits_dtype)
        self._launch(bound, fed, logits)
        picked: NDArray[np.generic] = logits[wanted[:, 0], wanted[:, 1] - (count - given)]
        return picked.astype(np.float32, copy=False)

    def _launch(
        self, bound: _BoundLanes, fed: Mapping[str, NDArray[np.generic]], logits: NDArray[np.generic]
    ) -> None:
        for name, array in fed.items():
            bound.feed(name, array)
        address = logits.ctypes.data
        bound.binding.bind_output(self._form.logits, "cpu", 0, logits.dtype, logits.shape, address)
        self._session.run_with_iobinding(bound.binding)

    def _bound(self, first: int, rows: int) -> _BoundLanes:
        """Bind lanes as past and present, or find them bound."""
        key = (first, rows)
        if key in self._lanes:
            self._lanes.move_to_end(key)
            return self._lanes[key]
        if len(self._lanes) == _MOST_BINDINGS:
            self._lanes.popitem(last=False)
        bound = self._lanes[key] = _BoundLanes(self._session.io_binding())
        bound.share(self._form.layers, self._cache.addresses(first), rows, self._cache.shape)
        return bound
