"""The threads of a model run every task of a job once, whatever the jobs and the threads."""

import ctypes

import pytest

MANY = 2**20 + 5
"""More tasks than any step has."""


@pytest.fixture
def mistakes(library_file):
    """Run jobs on a pool, and give how many tasks ran wrongly."""
    function = ctypes.CDLL(str(library_file)).hp_test_pool
    function.restype = ctypes.c_int64
    return function


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_task_runs_once(mistakes, threads):
    """Jobs of any size in quick succession lose no task and repeat none, with more threads than cores too."""
    assert mistakes(threads, 40, 3000) == 0


def test_a_job_may_have_more_tasks_than_fit_20_bits(mistakes):
    """A long text of many heads is one job."""
    assert mistakes(2, MANY, 1) == 0


def test_pools_come_and_go(mistakes):
    """A pool ends while its threads start, spin or sleep."""
    assert sum(mistakes(4, count, 1) for count in range(200)) == 0
