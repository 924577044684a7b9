"""Trains what homeport_routers ships, and tells how good it is.

python -m benchmarks.router_training            into the plugin's folder
python -m benchmarks.router_training --into X   elsewhere
"""

from pathlib import Path

import click

from benchmarks.router_training.held_out_scores import held_out_scores
from benchmarks.router_training.prompts import held_out_prompts
from benchmarks.router_training.training import train
from homeport_routers import difficulty, task_classifier

_PLUGIN = Path(__file__).parents[2] / "plugins" / "homeport_routers"


@click.command()
@click.option("--into", type=click.Path(path_type=Path, file_okay=False, exists=True), default=_PLUGIN)
def main(into: Path) -> None:
    """Train both models, write them, and test the classifier on prompts that were held out."""
    artefacts = train()
    (into / task_classifier.ARTEFACT).write_bytes(artefacts.classifier)
    (into / difficulty.ARTEFACT).write_text(artefacts.difficulty, encoding="utf-8")
    classifier = task_classifier.TaskClassifier.parse(artefacts.classifier)
    for name, value in held_out_scores(classifier, held_out_prompts()).items():
        click.echo(f"{name}: {value}")


if __name__ == "__main__":
    main()
