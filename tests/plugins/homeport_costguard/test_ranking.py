import attrs
import pytest

from homeport import Strategy

from .conftest import FREE, candidate, config, request, run

REMOTE = candidate()
DEAR = candidate("dear:latest", backend="dear")


def names(ranked):
    return [each.backend for each in ranked]


async def test_local_stands_before_remote_when_nothing_is_known(opened):
    """Without a word about the request, free and local comes first and nobody is left out."""
    async with opened() as guard:
        ranked = guard.rank(request(), [REMOTE, FREE])
    assert names(ranked) == ["here", "far"]
    assert "local first, complexity unknown, costs about" in ranked[1].note


@pytest.mark.parametrize(
    ("tag", "order"),
    [("simple", ["here", "far"]), ("complex", ["far", "here"]), ("critical", ["far", "here"])],
)
async def test_complex_requests_keep_the_order_of_the_routers_before(opened, tag, order):
    """A request above the threshold is not held back from a remote model."""
    async with opened() as guard:
        assert names(guard.rank(request(tags=(tag,)), [REMOTE, FREE])) == order


async def test_complexity_that_a_router_noted_is_heeded(opened):
    """The note of a router before this one counts as a tag does."""
    noted = [attrs.evolve(REMOTE, complexity=0.83), FREE]
    async with opened() as guard:
        assert names(guard.rank(request(), noted)) == ["far", "here"]


async def test_middling_requests_go_out_once_enough_were_local(opened):
    """Between .5 and .7 there must be three local attempts per remote one."""
    noted = [attrs.evolve(REMOTE, complexity=0.60), FREE]
    async with opened() as guard:
        await run(guard)
        await run(guard, who=FREE)
        assert names(guard.rank(request(), noted)) == ["here", "far"]
        for _ in range(2):
            await run(guard, who=FREE)
        assert names(guard.rank(request(), noted)) == ["far", "here"]


async def test_remote_stands_last_when_a_budget_is_nearly_taken(opened):
    """From 90 percent of a cap on even a critical request tries local models first."""
    async with opened(config(budgets={"all": {"hard_calls": 10}})) as guard:
        for _ in range(9):
            await run(guard)
        ranked = guard.rank(request(tags=("critical",)), [REMOTE, FREE])
    assert names(ranked) == ["here", "far"]
    assert "taken to 90%" in ranked[1].note


async def test_soft_cap_turns_to_local_models(opened):
    """Above a soft cap remote models stand last."""
    async with opened(config(budgets={"all": {"soft_calls": 0}})) as guard:
        await run(guard)
        assert names(guard.rank(request(tags=("critical",)), [REMOTE, FREE])) == ["here", "far"]


async def test_cheapest_comes_first_where_cost_is_the_strategy(opened):
    """The expected cost alone decides; equal ones keep their order."""
    prices = dict(config().prices) | {"dear": attrs.evolve(config().prices["paid"], output=50.0)}
    async with opened(config(prices=prices)) as guard:
        ranked = guard.rank(request(strategy=Strategy.COST), [DEAR, REMOTE, FREE])
    assert names(ranked) == ["here", "far", "dear"]
    assert ranked[2].note.startswith("costs about 0.000")
