"""Guesses what a request is about, or abstains.

The model embeds marks of a text (see :mod:`homeport_routers.marks`): it has a small vector for each mark that
it was trained with, averages those of a text, and a linear layer scores the types (the shape of Joulin et al.
2016, Bag of Tricks for Efficient Text Classification). ``python -m benchmarks.router_training``
makes the file.
"""

import json
import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from importlib.resources import files
from operator import add, mul
from typing import Self

import attrs

from homeport import LoadError
from homeport_routers.marks import marks_of
from homeport_routers.task_type import TaskType

ARTEFACT = "task_classifier.dat"
MAGIC = b"HPTC\x01"
"""Of the file, whose parts are: this, the length of the head as uint32 (little endian), the head in JSON
(``types``, ``marks``, ``dimensions``, ``scale``, ``weights`` [types][dimensions], ``bias`` [types]), the
hashes of the marks in rising order, uint32 (little endian), and their vectors, int8 [marks][dimensions]."""
_HASH_BYTES = 4
_LENGTH = struct.Struct("<I")
_MOST_BYTES = 1_000_000
_MOST_DIMENSIONS = 64


@attrs.frozen
class Guess:
    """What a text seems to be about.

    Attributes:
        task: The likeliest type.
        probability: How likely, 0 to 1.
        known: Share of the text's marks that the classifier was trained with, 0 to 1.
    """

    task: TaskType
    probability: float
    known: float


@attrs.frozen(kw_only=True)
class TaskClassifier:
    """A trained table and its head.

    Attributes:
        types: What is told apart.
        dimensions: Length of a vector.
        places: Where the vector of a mark is found in ``table``, by its hash.
        table: All vectors, one behind the other, in units that ``weights`` account for.
        weights: A row for each type.
        bias: A number for each type.
    """

    types: tuple[TaskType, ...]
    dimensions: int
    places: Mapping[int, int] = attrs.field(repr=False)
    table: "array[int]" = attrs.field(repr=False)
    weights: tuple[tuple[float, ...], ...] = attrs.field(repr=False)
    bias: tuple[float, ...] = attrs.field(repr=False)

    @classmethod
    def shipped(cls) -> Self:
        """Read the file that is installed with the plugin, 0.15 MB.

        Raises:
            LoadError: It is damaged.
        """
        return cls.parse((files("homeport_routers") / ARTEFACT).read_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a file's bytes.

        Raises:
            LoadError: They are not what ``MAGIC`` describes; says what is wrong.
        """
        try:
            return cls._parse(data)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise LoadError(
                f"the task classifier of homeport_routers is damaged: {error}", hint="install homeport again"
            ) from error

    @classmethod
    def _parse(cls, data: bytes) -> Self:
        if not data.startswith(MAGIC) or len(data) > _MOST_BYTES:
            raise ValueError(f"{len(data)} bytes that begin with {data[: len(MAGIC)]!r}")
        start = len(MAGIC) + _LENGTH.size
        (length,) = _LENGTH.unpack_from(data, len(MAGIC))
        head = json.loads(data[start : start + length])
        types = tuple(TaskType(name) for name in head["types"])
        dimensions = int(head["dimensions"])
        marks, vectors = int(head["marks"]), start + length + int(head["marks"]) * _HASH_BYTES
        if not 0 < dimensions <= _MOST_DIMENSIONS or len(data) - vectors != marks * dimensions or marks < 1:
            raise ValueError(f"{len(data)} bytes for {marks} marks of {dimensions} dimensions")
        hashes = struct.unpack(f"<{marks}I", data[start + length : vectors])
        table = array("b", data[vectors:])
        scale = _finite(head["scale"])
        weights = tuple(tuple(scale * _finite(number) for number in row) for row in head["weights"])
        bias = tuple(_finite(number) for number in head["bias"])
        if [len(row) for row in weights] != [dimensions] * len(types) or len(bias) != len(types):
            raise ValueError("the head has another shape than its table")
        return cls(
            types=types,
            dimensions=dimensions,
            places={mark: place * dimensions for place, mark in enumerate(hashes)},
            table=table,
            weights=weights,
            bias=bias,
        )

    def guess(self, text: str) -> Guess:
        """Give the likeliest type of a text; takes 1 to 2 ms for 2,000 characters."""
        marks = marks_of(text)
        places = [self.places[mark] for mark in marks if mark in self.places]
        scores = self._scores(places)
        top = max(scores)
        shares = [math.exp(score - top) for score in scores]
        best = scores.index(top)
        return Guess(self.types[best], shares[best] / sum(shares), len(places) / max(1, len(marks)))

    def _scores(self, places: Sequence[int]) -> list[float]:
        width, table = self.dimensions, self.table
        total = [0] * width
        for place in places:
            total = list(map(add, total, table[place : place + width]))
        means = [number / max(1, len(places)) for number in total]
        return [bias + sum(map(mul, row, means)) for row, bias in zip(self.weights, self.bias, strict=True)]


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
