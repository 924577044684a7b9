"""What a backend writes that needs models in a form of its own: a ``ModelBuilder``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Protocol

import attrs

from homeport.domain.quantisation import Quantisation

BuildProgress = Callable[[int, int], None]
"""Called with the bytes done so far and in all."""


@attrs.frozen(kw_only=True)
class BuildPlan:
    """What somebody wants of a build.

    Attributes:
        quantisation: What becomes of the weights; AUTO leaves it to the builder.
        group: Columns that share a scale; None leaves it to the builder.
        is_portable: Whether other programs are to run the result, so that it keeps to the layout that is
            usual for its format; else it is for the builder's own backend alone.
        exporter: Another program that is to write it, by its name; empty for the builder itself.
        threads: Compute threads.
        room_bytes: What may be written.
    """

    quantisation: Quantisation = Quantisation.AUTO
    group: int | None = None
    is_portable: bool = False
    exporter: str = ""
    threads: int = 1
    room_bytes: int = 2**63 - 1


@attrs.frozen(kw_only=True)
class BuildReport:
    """What became of a model.

    Attributes:
        weights: The type that most weights are in: ``int4``, ``int8``, ``fp32``.
        note: Why it is that one, for people.
        bits_per_weight: Bits of all stored weights, scales among them, by the number of weights.
        kv_bytes_per_token: Cache memory of one token of one sequence; 0 where it has none.
        figures: What its check against the stored weights saw, by name: ``mean_kl_divergence`` (nats),
            ``top1_agreement`` (0 to 1), ``largest_logit_difference``, ``tokens``.
    """

    weights: str
    note: str = ""
    bits_per_weight: float = 0.0
    kv_bytes_per_token: int = 0
    figures: Mapping[str, float] = attrs.field(factory=dict)


class ModelBuilder(Protocol):
    """Makes of a stored model what its backend loads: once, before it is first loaded.

    It is built as the backend's factory is, with the same settings, and works in a process of its own.

    Attributes:
        version: Counts up when equal files would become other ones; builds of other versions are made anew.
            ``BackendSpec.builder_version`` says the same.
    """

    version: ClassVar[int]

    def build(self, source: Path, into: Path, plan: BuildPlan, progress: BuildProgress) -> BuildReport:
        """Write the files of a build, and check that they compute what the source's weights say.

        Args:
            source: A folder as ``TokenModel.load`` is given without a builder; only read.
            into: A folder that holds the files of the source but its weights: configuration, tokenizer and
                what else the engine reads. What is in it at the end is what ``TokenModel.load`` is given.
            plan: What is wanted.
            progress: Told how far it is.

        Raises:
            PullError: It cannot be built as asked, or failed its check; the message has the figures.
            OSError: The system cannot read or write; homeport says where.
        """
        ...
