import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVELOPE = {
    "quick": False,
    "settings": {"threads": 2},
    "machine": {
        "cpu": "a CPU",
        "family": "1/2",
        "cores": 2,
        "memory_gib": 4.0,
        "instruction_sets": ["avx2"],
        "kernel": "6.1",
        "read_gb_per_s": {"1": 10.0, "2": 20.0},
    },
    "versions": {"homeport": "1"},
    "llama_cpp": None,
}


@pytest.fixture
def report(tmp_path):
    """Write a page from the outputs of runs."""

    def run(*arguments, **results):
        for name, rows in results.items():
            (tmp_path / f"{name}.json").write_text(json.dumps({**ENVELOPE, "results": rows}))
        target = tmp_path / "page.md"
        options = ["--results", str(tmp_path), "--page", str(target)]
        subprocess.run([sys.executable, *arguments, *options], cwd=ROOT, check=True, capture_output=True)
        return target.read_text()

    return run


def startup(seconds):
    spread = {"n": 3, "median": seconds, "low": seconds, "high": seconds}
    return [{"until": "first token", "seconds": spread}]


@pytest.mark.parametrize(("seconds", "verdict"), [(1.25, "met"), (9.5, "**missed**")])
def test_a_goal_is_told_with_its_figure_met_or_missed(report, seconds, verdict):
    """What was measured stands beside its goal with a plain verdict."""
    page = report("-m", "benchmarks.report", startup=startup(seconds))
    assert f"| start to first token, 1.1B | <= 2.5 s | {seconds} s | {verdict} |" in page


def test_what_was_not_measured_is_said(report):
    """A page without figures names every goal as not measured."""
    page = report("-m", "benchmarks.report")
    assert "0 are met, 0 missed" in page
    assert "| not measured |" in page


def test_quick_tries_are_not_published(report, monkeypatch):
    """Figures of --quick never reach the page."""
    monkeypatch.setitem(ENVELOPE, "quick", True)
    assert "**missed**" not in report("-m", "benchmarks.report", startup=startup(9.5))


def test_commands_run_as_files_too(report):
    """Started by its path, a command still finds the standard library's http, not the file beside it."""
    assert report("benchmarks/report.py") == report("-m", "benchmarks.report")
    helped = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "overhead.py", "--help"], capture_output=True, check=True
    )
    assert b"Usage" in helped.stdout


def test_the_published_page_is_what_the_kept_results_give(tmp_path):
    """Nobody edits the page by hand."""
    published = ROOT / "docs" / "explanation" / "performance.md"
    if not published.is_file():
        pytest.skip("nothing has been published yet")
    target = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks.report", "--page", str(target)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert target.read_text() == published.read_text()
