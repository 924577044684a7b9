"""What a model folder holds, told from its headers: bytes, bits per weight, sizes."""

import json
from pathlib import Path

import attrs

from benchmarks.random_llama import LlamaSizes

_EMBEDDING = "model.embed_tokens.weight"
_BF16_BYTES = 2
PACKED_TYPE = "U8"
"""What the codes of packed weights are stored as."""


@attrs.frozen(kw_only=True)
class ModelFiles:
    """A stored Llama.

    Attributes:
        sizes: Of the architecture.
        tied: Whether the head is the embedding.
        stored_bytes: Of all tensors.
        read_bytes: Of those that decoding one token reads: an embedding that is not the head is left out.
        stored_as: The type of most bytes, as safetensors names it; packed weights are ``PACKED_TYPE``.
    """

    sizes: LlamaSizes
    tied: bool
    stored_bytes: int
    read_bytes: int
    stored_as: str

    @classmethod
    def read(cls, folder: Path) -> "ModelFiles":
        """Read config.json and the headers of a folder."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tied = bool(config.get("tie_word_embeddings", False))
        stored, unread = 0, 0
        by_type: dict[str, int] = {}
        for file in folder.glob("*.safetensors"):
            for name, tensor in _header(file).items():
                begin, end = tensor["data_offsets"]
                stored += end - begin
                by_type[tensor["dtype"]] = by_type.get(tensor["dtype"], 0) + end - begin
                if not tied and name.startswith(_EMBEDDING):
                    unread += end - begin
        sizes = LlamaSizes(
            hidden=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            mlp=config["intermediate_size"],
            vocabulary=config["vocab_size"],
            context=config["max_position_embeddings"],
        )
        return cls(
            sizes=sizes,
            tied=tied,
            stored_bytes=stored,
            read_bytes=stored - unread,
            stored_as=max(by_type, key=by_type.__getitem__),
        )

    @property
    def linear_weights(self) -> int:
        """Count the weights that every token is multiplied with, the head among them."""
        s = self.sizes
        attention = 2 * s.hidden * s.heads * s.head_width + 2 * s.hidden * s.kv_heads * s.head_width
        return s.layers * (attention + 3 * s.hidden * s.mlp) + s.vocabulary * s.hidden

    @property
    def parameters(self) -> int:
        """Count all weights."""
        s = self.sizes
        embedding = 0 if self.tied else s.vocabulary * s.hidden
        return self.linear_weights + embedding + s.hidden * (2 * s.layers + 1)

    @property
    def bits_per_weight(self) -> float:
        """Give the mean bits of a weight, scales included."""
        return 8 * self.stored_bytes / self.parameters

    def decode_seconds(self, rows: int, depth: int, bandwidth: float, flops: float) -> float:
        """Give the least time of a step: performance.md's limit, with a cache of two bytes a number."""
        s = self.sizes
        cached = 2 * s.layers * s.kv_heads * s.head_width * _BF16_BYTES * depth * rows
        return max((self.read_bytes + cached) / bandwidth, 2 * self.linear_weights * rows / flops)

    def prefill_seconds(self, tokens: int, flops: float) -> float:
        """Give the least time of a prompt; its head is computed once."""
        s = self.sizes
        linear = self.linear_weights - s.vocabulary * s.hidden
        attention = 2 * s.layers * tokens**2 * s.heads * s.head_width
        return (2 * linear * tokens + attention) / flops


def _header(file: Path) -> dict[str, dict[str, object]]:
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    header.pop("__metadata__", None)
    return header
