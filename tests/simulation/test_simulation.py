import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation import simulate

from homeport.gateway.admission.places import Places
from homeport.gateway.attempts.breakers import Breakers
from homeport.gateway.attempts.partial_answer import PartialAnswer
from homeport.gateway.attempts.retry import RetryBudget
from homeport_costguard.book import Book

BLOCK = 100
REPLAY = Path(__file__).parent / "simulation.py"
HOW_TO_REPLAY = "replay with: python tests/simulation/simulation.py SEED\n"


def broken(seeds):
    """Give the seeds that break a rule, each with the first one."""
    reports = ((seed, simulate(seed)) for seed in seeds)
    return [f"seed {seed}: {report.faults[0]}" for seed, report in reports if report.faults]


@pytest.mark.parametrize("first", range(0, 1000, BLOCK))
def test_no_rule_is_broken_in_a_thousand_simulations(first):
    """Whatever fails, every request ends in time and honestly, and every bound holds."""
    found = broken(range(first, first + BLOCK))
    assert not found, HOW_TO_REPLAY + "\n".join(found)


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(1000, 10_000, BLOCK))
def test_no_rule_is_broken_in_ten_thousand_simulations(first):
    """The same for nine thousand others."""
    found = broken(range(first, first + BLOCK))
    assert not found, HOW_TO_REPLAY + "\n".join(found)


def test_a_seed_replays():
    """A seed alone makes the same simulation, to the last digit of its clock, in any process."""
    told = [
        subprocess.run(
            [sys.executable, str(REPLAY), *map(str, range(10))],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0].count("answer") > 50


@pytest.mark.parametrize(
    ("place", "name", "flaw", "rule"),
    [
        (RetryBudget, "take", lambda _self: True, "retries in the minute"),
        (Breakers, "refusal", lambda _self, _key, _group: "breaker open", "every member of"),
        (PartialAnswer, "rest_of", lambda _self, request: request, "got '"),
        (Places, "can_start", lambda *_: True, "slots"),
        (Book, "_refusal", lambda *_: None, "the budget has"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_flaw_in_the_gateway_is_found(monkeypatch, place, name, flaw, rule):
    """A gateway that forgets one rule is caught within a hundred seeds."""
    monkeypatch.setattr(place, name, flaw)
    for seed in range(BLOCK):
        if any(rule in fault for fault in simulate(seed).faults):
            return
    pytest.fail(f"nobody noticed that {place.__name__}.{name} is broken")
