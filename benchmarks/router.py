"""How good the trained routers are: which task a prompt is, and which questions need the stronger model.

    python -m benchmarks.router --json
    python -m benchmarks.router --corpus ../shared/corpus/routing

The second part needs answers of a weak and a strong model to the same questions, with marks of which are
right (``gsm8k_responses.jsonl``); it is left out, and says so, where they are not there. A router sends the
questions with the highest scores to the strong model, and its quality is the mean of the chosen answers'
marks. APGR is the area under the recovered part of the gap between both models, over the share of questions
that the strong one gets (Ong et al. 2024, RouteLLM): the random mix has 0.5. Intervals are the middle 95 % of
a bootstrap over questions. Nothing that ships was trained with these answers.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a file: this folder's http.py must not hide the standard library's
    sys.path[0] = str(Path(__file__).parents[1])

import click

from benchmarks.command import Setup, command
from benchmarks.figures import percentile, rounded
from benchmarks.router_training.held_out_scores import held_out_scores
from benchmarks.router_training.prompts import held_out_prompts
from benchmarks.routing_pairs import Pairs, shipped_scores
from benchmarks.tables import Row
from homeport_routers.complexity_score import ComplexityScore
from homeport_routers.prompt_text import READ_CHARACTERS
from homeport_routers.task_classifier import TaskClassifier

_CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "routing"
_RESAMPLES = 2000
_QUICK_RESAMPLES = 50
_TIMED = 2000
_QUICK_TIMED = 50
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_MS = 1000


@command(
    "router",
    click.option("--corpus", type=click.Path(path_type=Path, file_okay=False), default=_CORPUS),
)
def main(setup: Setup, *, corpus: Path):
    """Measure the classifier of tasks on held-out prompts, and the complexity score on public answers."""
    classifier = TaskClassifier.shipped()
    rows = [
        {"measure": "task classifier, held out", **held_out_scores(classifier, held_out_prompts())},
        *_times(classifier, _QUICK_TIMED if setup.quick else _TIMED),
    ]
    if not Pairs.are_in(corpus):
        click.echo(f"no answers of two models in {corpus}: the second part is left out", err=True)
        return rows
    return [*rows, *_routing(Pairs.read(corpus), _QUICK_RESAMPLES if setup.quick else _RESAMPLES)]


def _times(classifier: TaskClassifier, count: int) -> Iterator[Row]:
    """Time prompts of as many characters as are ever read, made of the held-out ones, with one thread."""
    long = " ".join(prompt.text for prompt in held_out_prompts())
    texts = [long[start : start + READ_CHARACTERS] for start in range(0, len(long) - READ_CHARACTERS, 97)]
    scorer = ComplexityScore()
    for name, work in (("task", classifier.guess), ("score", lambda text: scorer.score(text, ""))):
        taken = []
        for place in range(count):
            text = texts[place % len(texts)]
            started = time.perf_counter()
            work(text)
            taken.append((time.perf_counter() - started) * _MS)
        yield {
            "measure": f"time of a prompt of {READ_CHARACTERS} characters",
            "part": name,
            "p50_ms": rounded(percentile(taken, 50)),
            "p99_ms": rounded(percentile(taken, 99)),
        }


def _routing(pairs: Pairs, resamples: int) -> Iterator[Row]:
    scores = shipped_scores(pairs.questions)
    for mark in ("correct_final", "correct"):
        marked = pairs.marked(mark)
        for name, values in (
            ("complexity, as shipped", scores),
            ("length of the question", [float(len(question)) for question in pairs.questions]),
            ("fitted to the weak model's marks (cross-fitted, evaluation only)", pairs.cross_fitted(mark)),
        ):
            yield {"measure": "APGR", "marks": mark, "score": name, **marked.apgr(values, resamples)}
    marked = pairs.marked("correct_final")
    for share in _SHARES:
        yield {"measure": "curve", "marks": "correct_final", **marked.point(scores, share)}
    for threshold, share in _bands(scores):
        yield {"measure": "shipped thresholds", "from": threshold, **marked.point(scores, share)}


def _bands(scores: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Give the shares that the shipped thresholds send to the strong model."""
    for threshold in (0.35, 0.7):
        yield threshold, sum(score >= threshold for score in scores) / len(scores)


if __name__ == "__main__":
    main()
