"""The peer's side of :mod:`benchmarks.peer`: drives llama.cpp for another process, over lines of JSON.

Run by the interpreter that has ``llama_cpp`` (llama-cpp-python) and numpy, which need not have homeport. Each
line on standard input is ``{"do": NAME, ...}``; each is answered by ``{"ok": ...}`` or ``{"error": ...}``.
llama.cpp's own low-level interface is used, so that nothing but llama.cpp is timed.
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

import llama_cpp as ll
import numpy as np

_BATCH_TOKENS = 4096
_UBATCH_TOKENS = 512
_QUANTISED = {"Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q4_K_M": 15}
"""Values of ``llama_ftype``, llama.h."""
_FIRST_TOKEN = 1000
"""Tokens to time with are drawn above the special ones."""
_TIMING_SEED = 1


@ll.llama_log_callback
def _silence(_level, _text, _data):
    pass


class Peer:
    """One model, and one context for each way of attention."""

    def __init__(self):
        self._model = None
        self._contexts = {}
        self._vocabulary = 0

    def facts(self):
        """Tell versions and what llama.cpp was built for."""
        return {
            "version": ll.__version__,
            "system": ll.llama_print_system_info().decode().strip(" |"),
        }

    def quantise(self, source, target, kind, threads):
        """Quantise a GGUF file as ``llama-quantize`` does."""
        params = ll.llama_model_quantize_default_params()
        params.nthread = threads
        params.ftype = _QUANTISED[kind]
        unfinished = Path(f"{target}.part")
        if ll.llama_model_quantize(source.encode(), str(unfinished).encode(), ctypes.byref(params)):
            raise RuntimeError(f"cannot quantise {source!r} to {kind}")
        unfinished.rename(target)

    def open(self, path, *, threads, context, sequences, outputs, flash):
        """Load a model, and make a context for each entry of ``flash``.

        ``outputs`` is how many tokens of a batch may want logits; 0 leaves it to llama.cpp.
        """
        self.close()
        params = ll.llama_model_default_params()
        params.n_gpu_layers = 0
        self._model = ll.llama_model_load_from_file(path.encode(), params)
        if not self._model:
            raise RuntimeError(f"cannot load {path!r}")
        self._vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self._model))
        for name in flash:
            self._contexts[name] = self._context(name, threads, context * sequences, sequences, outputs)
        return {"size": ll.llama_model_size(self._model), "parameters": ll.llama_model_n_params(self._model)}

    def use_threads(self, threads):
        """Compute with so many from now on."""
        for context in self._contexts.values():
            ll.llama_set_n_threads(context, threads, threads)

    def close(self):
        """Free model and contexts."""
        for context in self._contexts.values():
            ll.llama_free(context)
        self._contexts = {}
        if self._model:
            ll.llama_model_free(self._model)
        self._model = None

    def prefill(self, flash, tokens):
        """Give the seconds of one prompt of so many tokens, in an empty cache."""
        context = self._emptied(flash)
        ids = self._draw(tokens)
        started = time.perf_counter()
        self._decode(context, [(token, place, 0) for place, token in enumerate(ids)], {tokens - 1})
        return time.perf_counter() - started

    def decode(self, flash, rows, depth, steps):
        """Give the seconds of each of ``steps`` steps of ``rows`` sequences that hold ``depth`` tokens."""
        context = self._emptied(flash)
        memory = ll.llama_get_memory(context)
        prompt = [(token, place, 0) for place, token in enumerate(self._draw(depth))]
        self._decode(context, prompt, {depth - 1})
        for row in range(1, rows):
            ll.llama_memory_seq_cp(memory, 0, row, -1, -1)
        seconds = []
        for step in range(steps + 1):
            cells = [(token, depth + step, row) for row, token in enumerate(self._draw(rows))]
            started = time.perf_counter()
            self._decode(context, cells, set(range(rows)))
            seconds.append(time.perf_counter() - started)
        return seconds[1:]

    def answers(self, flash, requests):
        """Serve requests one after the other, as a server with one slot does.

        Args:
            flash: The context.
            requests: Pairs of prompt tokens and answer tokens.
        """
        context = self._contexts[flash]
        started = time.perf_counter()
        for prompt, answer in requests:
            self._emptied(flash)
            cells = [(token, place, 0) for place, token in enumerate(self._draw(prompt))]
            self._decode(context, cells, {prompt - 1})
            for step in range(answer - 1):
                token = int(np.argmax(self._row(context, -1)))
                self._decode(context, [(token, prompt + step, 0)], {0})
        return time.perf_counter() - started

    def logits(self, flash, windows, path):
        """Write the logits behind every token of every window: float32 [windows, tokens, vocabulary]."""
        context = self._contexts[flash]
        shape = (len(windows), len(windows[0]), self._vocabulary)
        written = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for place, window in enumerate(windows):
            self._emptied(flash)
            for start in range(0, len(window), _UBATCH_TOKENS):
                part = window[start : start + _UBATCH_TOKENS]
                cells = [(token, start + i, 0) for i, token in enumerate(part)]
                self._decode(context, cells, set(range(len(part))))
                for i in range(len(part)):
                    written[place, start + i] = self._row(context, i)
        written.flush()

    def _context(self, flash, threads, length, sequences, outputs):
        params = ll.llama_context_default_params()
        params.n_ctx = length
        params.n_batch = _BATCH_TOKENS
        params.n_ubatch = _UBATCH_TOKENS
        params.n_seq_max = sequences
        if outputs:
            params.n_outputs_max = params.n_outputs_max_per_seq = outputs
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = {
            "on": ll.LLAMA_FLASH_ATTN_TYPE_ENABLED,
            "off": ll.LLAMA_FLASH_ATTN_TYPE_DISABLED,
        }[flash]
        context = ll.llama_init_from_model(self._model, params)
        if not context:
            raise RuntimeError(f"cannot make a context of {length} tokens")
        return context

    def _emptied(self, flash):
        context = self._contexts[flash]
        ll.llama_memory_clear(ll.llama_get_memory(context), False)
        return context

    def _draw(self, count):
        return np.random.default_rng(_TIMING_SEED).integers(_FIRST_TOKEN, self._vocabulary, count).tolist()

    def _row(self, context, place):
        row = ll.llama_get_logits_ith(context, place)
        return np.ctypeslib.as_array(row, (self._vocabulary,))

    def _decode(self, context, cells, outputs):
        """Compute cells of (token, position, sequence); ``outputs`` are the places that want logits."""
        batch = ll.llama_batch_init(len(cells), 0, 1)
        try:
            batch.n_tokens = len(cells)
            for place, (token, position, sequence) in enumerate(cells):
                batch.token[place] = token
                batch.pos[place] = position
                batch.n_seq_id[place] = 1
                batch.seq_id[place][0] = sequence
                batch.logits[place] = place in outputs
            result = ll.llama_decode(context, batch)
            ll.llama_synchronize(context)
            if result:
                raise RuntimeError(f"llama_decode gave {result} for {len(cells)} tokens")
        finally:
            ll.llama_batch_free(batch)


def main():
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # llama.cpp prints here and there; the answers stay clean
    ll.llama_log_set(_silence, None)
    ll.llama_backend_init()
    peer = Peer()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(peer, request.pop("do"))(**request)}
        except (RuntimeError, ValueError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    peer.close()


if __name__ == "__main__":
    main()
