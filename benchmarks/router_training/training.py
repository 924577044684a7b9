"""Fits the models; all is computed in float64 and rounded at the end, so that runs agree to the byte."""

import json
import struct
from collections import Counter
from collections.abc import Sequence
from random import Random

import attrs
import numpy as np
from numpy.typing import NDArray

from benchmarks.router_training.logistic import fitted_logistic
from benchmarks.router_training.prompts import Prompt, training_prompts
from benchmarks.router_training.sums import word_problems
from homeport_routers.features import NAMES, features
from homeport_routers.marks import marks_of
from homeport_routers.task_classifier import MAGIC
from homeport_routers.task_type import TaskType

_SEED = 20240817
_DIMENSIONS = 16
_EPOCHS = 12
_BATCH = 32
_RATE = 0.02
_DECAY = 1e-5
_DROPPED = 0.3
"""Share of marks that a pass leaves out, so that no single word decides."""
_LEAST_PROMPTS = 3
"""Marks of fewer prompts are left out."""
_INT8 = 127
_DIGITS = 6
_SCALE_DIGITS = 9
_PROBLEMS = 3200
_LEVEL_TARGETS = {1: 0.15, 2: 0.5, 3: 0.85}
_STEP_TARGETS = {1: 0.15, 2: 0.25, 3: 0.4, 4: 0.5, 5: 0.6, 6: 0.7, 7: 0.8, 8: 0.85}

Array = NDArray[np.float64]
Marks = NDArray[np.int64]


@attrs.frozen(kw_only=True)
class Artefacts:
    """What the plugin ships.

    Attributes:
        classifier: Bytes of the file of the task classifier.
        difficulty: Text of the file of the difficulty weights.
    """

    classifier: bytes
    difficulty: str


def train() -> Artefacts:
    """Make both files; takes some seconds, and gives the same bytes each time."""
    prompts = training_prompts(_random())
    return Artefacts(classifier=_classifier(prompts), difficulty=_difficulty(prompts))


def _classifier(prompts: Sequence[Prompt]) -> bytes:
    types = list(TaskType)
    found = [marks_of(prompt.text) for prompt in prompts]
    counts = Counter(mark for marks in found for mark in marks)
    known = sorted(mark for mark, count in counts.items() if count >= _LEAST_PROMPTS)
    place = {mark: place for place, mark in enumerate(known)}
    marks = [
        np.array(sorted(place[mark] for mark in each if mark in place), dtype=np.int64) for each in found
    ]
    wanted = np.eye(len(types))[[types.index(prompt.task) for prompt in prompts]]
    table, weights, bias = _fitted(marks, wanted, len(known))
    scale = float(np.abs(table).max()) / _INT8
    head = {
        "types": types,
        "marks": len(known),
        "dimensions": _DIMENSIONS,
        "scale": round(scale, _SCALE_DIGITS),
        "weights": np.round(weights, _DIGITS).tolist(),
        "bias": np.round(bias, _DIGITS).tolist(),
    }
    encoded = json.dumps(head, separators=(",", ":")).encode()
    hashes = np.array(known, dtype="<u4").tobytes()
    vectors = np.rint(table / scale).astype(np.int8).tobytes()
    return b"".join([MAGIC, struct.pack("<I", len(encoded)), encoded, hashes, vectors])


def _fitted(marks: Sequence[Marks], wanted: Array, known: int) -> tuple[Array, Array, Array]:
    """Train table, weights and bias together with Adam (Kingma and Ba 2014) on the cross entropy.

    Args:
        marks: Of each text, as rows of the table.
        wanted: Probability of each type for each text: [texts, types].
        known: Rows of the table.
    """
    random = np.random.Generator(np.random.PCG64(_SEED))
    values = [
        random.normal(0, 0.1, (known, _DIMENSIONS)),
        random.normal(0, 0.3, (wanted.shape[1], _DIMENSIONS)),
        np.zeros(wanted.shape[1]),
    ]
    moments = [(np.zeros_like(value), np.zeros_like(value)) for value in values]
    step = 0
    for _ in range(_EPOCHS):
        order = random.permutation(len(marks))
        for batch in np.split(order, range(_BATCH, len(order), _BATCH)):
            step += 1
            kept = [marks[place][random.random(len(marks[place])) >= _DROPPED] for place in batch]
            for value, slope, moment in zip(
                values, _slopes(values, kept, wanted[batch]), moments, strict=True
            ):
                _adam(value, slope, moment, step)
    return values[0], values[1], values[2]


def _slopes(values: Sequence[Array], marks: Sequence[Marks], wanted: Array) -> tuple[Array, Array, Array]:
    table, weights, bias = values
    lengths = np.array([max(1, len(found)) for found in marks], dtype=np.float64)
    means = np.stack([table[found].sum(axis=0) for found in marks]) / lengths[:, None]
    scores = means @ weights.T + bias
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    errors = (shares - wanted) / len(wanted)
    back = (errors @ weights) / lengths[:, None]
    slope = np.zeros_like(table)
    for found, row in zip(marks, back, strict=True):
        slope[found] += row
    return slope, errors.T @ means, errors.sum(axis=0)


def _adam(value: Array, slope: Array, moment: tuple[Array, Array], step: int) -> None:
    """Move a value against its slope, in place."""
    mean, square = moment
    mean += 0.1 * (slope - mean)
    square += 0.001 * (slope**2 - square)
    value -= _RATE * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    value *= 1 - _RATE * _DECAY


def _difficulty(prompts: Sequence[Prompt]) -> str:
    problems = word_problems(_random(), _PROBLEMS)
    texts = [*(prompt.text for prompt in prompts), *(problem.text for problem in problems)]
    targets = [
        *(_LEVEL_TARGETS[prompt.level] for prompt in prompts),
        *(_STEP_TARGETS[problem.steps] for problem in problems),
    ]
    inputs = np.array([(*features(text), 1.0) for text in texts])
    fitted = np.round(fitted_logistic(inputs, np.array(targets)), _DIGITS).tolist()
    content = {"bias": fitted[-1], "weights": dict(zip(NAMES, fitted, strict=False))}
    return json.dumps(content, indent=2) + "\n"


def _random() -> Random:
    return Random(_SEED)  # noqa: S311 - choices of words
