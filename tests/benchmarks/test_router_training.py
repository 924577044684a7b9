from importlib.resources import files

import pytest

from homeport_routers.task_classifier import TaskClassifier


@pytest.fixture
def training(benchmarks):
    """The module that trains."""
    return benchmarks("router_training.training")


def test_training_again_gives_the_shipped_files(training):
    """One command makes what is installed, to the byte."""
    made = training.train()
    shipped = files("homeport_routers")
    assert made.classifier == (shipped / "task_classifier.dat").read_bytes()
    assert made.difficulty == (shipped / "difficulty.json").read_text(encoding="utf-8")


def test_the_classifier_is_right_about_prompts_that_it_never_saw(benchmarks):
    """Macro-F1 is at least 0.80 on prompts that were written one by one."""
    prompts = benchmarks("router_training.prompts").held_out_prompts()
    scores = benchmarks("router_training.held_out_scores").held_out_scores(TaskClassifier.shipped(), prompts)
    assert len(prompts) >= 160
    assert scores["macro_f1"] >= 0.80


def test_no_held_out_prompt_was_trained_with(benchmarks, training):
    """Not even with other spaces or letters."""
    prompts = benchmarks("router_training.prompts")
    trained = {
        "".join(prompt.text.casefold().split()) for prompt in prompts.training_prompts(training._random())
    }
    held_out = {"".join(prompt.text.casefold().split()) for prompt in prompts.held_out_prompts()}
    assert not trained & held_out


def test_every_type_is_trained_alike(benchmarks, training):
    """Each type has as many different prompts."""
    prompts = benchmarks("router_training.prompts").training_prompts(training._random())
    assert len({prompt.text for prompt in prompts}) > 0.99 * len(prompts)
    assert len({sum(other.task == prompt.task for other in prompts) for prompt in prompts[::400]}) == 1
