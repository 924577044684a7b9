import asyncio
import time

import attrs
import pytest

from homeport import (
    Attempt,
    BackendError,
    BudgetError,
    ChatPrompt,
    ConfigError,
    DeadlineError,
    EmbeddingRequest,
    Message,
    RefusedError,
    Role,
    Usage,
)
from homeport.testing import in_virtual_time, run_virtual
from homeport_costguard.config import PriceSettings
from homeport_costguard.guard import CostGuard
from homeport_costguard.ledger_file import FILE_NAME, LedgerError

from .conftest import FREE, USED, candidate, config, request, run
from .ledger_view import check_sums, rows, spent

ROOM_FOR_TEN = 10
ATTEMPTS = 64
WORST_CASE_USD = (5 + 64 + 2 * 10) / 1e6
"""Of ``request()``: five bytes, the frame of a prompt, ten tokens of an answer at two micro-USD."""


async def attempts_at_once(guard):
    """Start all attempts at once, keep those that got in until all were decided; give how many got in."""
    decided = asyncio.Semaphore(0)
    passed = 0

    async def one():
        nonlocal passed
        usage = Usage(prompt_tokens=1, completion_tokens=1)
        try:
            async with guard.attempt(Attempt(request=request(), candidate=candidate(), usage=usage)):
                passed += 1
                decided.release()
                await done.wait()
        except BudgetError:
            decided.release()

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(ATTEMPTS):
            group.create_task(one())
        for _ in range(ATTEMPTS):
            await decided.acquire()
        done.set()
    return passed


async def test_room_for_ten_lets_ten_of_sixty_four_in(opened, tmp_path):
    """Parallel attempts overspend nothing, and no room is left unused."""
    budgets = {"all": {"hard_usd": ROOM_FOR_TEN * WORST_CASE_USD}}
    async with opened(config(budgets=budgets)) as guard:
        assert await attempts_at_once(guard) == ROOM_FOR_TEN
    assert spent(tmp_path)[3] == ROOM_FOR_TEN
    check_sums(tmp_path)


async def test_free_attempt_that_falls_back_to_a_priced_one_passes_the_budget_of_that(opened, tmp_path):
    """Each attempt has its own reservation: what was free before opens nothing."""
    budgets = {"all": {"hard_usd": ROOM_FOR_TEN * WORST_CASE_USD}}

    async with opened(config(budgets=budgets)) as guard:
        for _ in range(ATTEMPTS):
            with pytest.raises(BackendError):
                await run(guard, who=FREE, usage=None, error=BackendError("gone"))
        assert await attempts_at_once(guard) == ROOM_FOR_TEN
    check_sums(tmp_path)


async def test_refusal_names_scope_cap_spent_and_reset(opened):
    """A caller learns which budget it was, how it stands, and when to come back."""
    async with opened(config(budgets={"team": {"scope": "agent", "hard_calls": 1}})) as guard:
        await run(guard, request(agent="scribe"))
        with pytest.raises(BudgetError) as refused:
            await run(guard, request(agent="scribe"))
        await run(guard, request(agent="other"))
    told = str(refused.value)
    for part in (
        "'team'",
        "agent 'scribe'",
        "cap is 1 call per day",
        "1 call spent or reserved",
        "2026-11-22 00:00 UTC",
    ):
        assert part in told
    assert refused.value.resets_at.isoformat() == "2026-11-22T00:00:00+00:00"
    assert (refused.value.status, refused.value.code) == (429, "insufficient_quota")


async def test_what_was_used_is_charged_and_the_rest_of_the_reservation_is_free(opened, tmp_path):
    """After an answer the budget holds its actual cost."""
    async with opened() as guard:
        await run(guard)
    assert spent(tmp_path) == (5 + 2 * 7, 12, 0, 1)
    check_sums(tmp_path)


async def test_failed_attempt_costs_nothing(opened, tmp_path):
    """An attempt that broke before anything was used leaves no entry and no reservation."""
    async with opened() as guard:
        with pytest.raises(BackendError):
            await run(guard, usage=None, error=BackendError("gone"))
    assert rows(tmp_path, "SELECT * FROM entries") == rows(tmp_path, "SELECT * FROM reservations") == []
    check_sums(tmp_path)


@pytest.mark.parametrize(
    ("error", "outcome"), [(asyncio.CancelledError(), "cancelled"), (BackendError("cut"), "failed")]
)
async def test_broken_stream_is_charged_what_was_used(opened, tmp_path, error, outcome):
    """Tokens that were sent are paid for, however the stream ended."""
    async with opened() as guard:
        with pytest.raises(type(error)):
            await run(guard, usage=Usage(prompt_tokens=5, completion_tokens=3), error=error)
    assert rows(tmp_path, "SELECT outcome, micro_usd FROM entries") == [(outcome, 11)]
    check_sums(tmp_path)


async def test_partial_usage_of_an_error_is_charged(opened, tmp_path):
    """Where only the error knows what was used, that counts."""
    error = BackendError("cut")
    error.partial = Usage(prompt_tokens=5, completion_tokens=1)
    async with opened() as guard:
        with pytest.raises(BackendError):
            await run(guard, usage=None, error=error)
    assert spent(tmp_path)[0] == 7


async def test_answer_without_usage_costs_its_worst_case(opened, tmp_path):
    """A remote server that tells nothing is charged what was reserved, and the entry says so."""
    async with opened() as guard:
        await run(guard, usage=None)
    assert rows(tmp_path, "SELECT micro_usd, estimate FROM entries") == [(89, 1)]


async def test_broken_stream_of_a_server_that_told_nothing_pays_for_its_prompt(opened, tmp_path):
    """Where an answer began, the prompt was read: it costs what it could be."""
    error = BackendError("cut")
    async with opened() as guard:
        with pytest.raises(BackendError):
            await run(guard, usage=Usage(completion_tokens=3), error=error)
    assert rows(tmp_path, "SELECT micro_usd, estimate FROM entries") == [(5 + 64 + 2 * 3, 1)]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), DeadlineError("first token", 30)], ids=repr)
@pytest.mark.parametrize("was_sent", [True, False])
async def test_remote_attempt_that_is_left_early_pays_for_its_prompt(opened, tmp_path, error, was_sent):
    """Its server reads it, and bills it, whether or not anybody waits; what was never sent costs nothing."""
    attempt = Attempt(request=request(), candidate=candidate(), was_sent=was_sent)
    async with opened() as guard:
        with pytest.raises(type(error)):
            async with guard.attempt(attempt):
                attempt.error = error
                raise error
    assert rows(tmp_path, "SELECT micro_usd, estimate FROM entries") == ([(5 + 64, 1)] if was_sent else [])


async def test_answer_that_is_left_behind_its_last_event_is_whole(opened, tmp_path):
    """A client that goes once it has everything has cancelled nothing."""
    attempt = Attempt(request=request(), candidate=candidate())

    async def events(guard):
        async with guard.attempt(attempt):
            attempt.usage = Usage(prompt_tokens=5, completion_tokens=7)
            yield

    async with opened() as guard:
        answer = events(guard)
        await anext(answer)
        await answer.aclose()
    assert rows(tmp_path, "SELECT outcome, micro_usd FROM entries") == [("ok", 19)]


async def test_more_than_was_reserved_is_charged_and_flagged(opened, tmp_path, log):
    """A server that ignores the bound costs what it says; the entry and the log tell."""
    async with opened() as guard:
        await run(guard, usage=Usage(prompt_tokens=5, completion_tokens=500))
    assert rows(tmp_path, "SELECT micro_usd, over FROM entries") == [(1005, 1)]
    assert any("more than was reserved" in line for line in log)
    check_sums(tmp_path)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(prompt_tokens=-5, completion_tokens=-7, prompt_seconds=float("nan")),
        Usage(prompt_tokens=10**30, completion_tokens=10**30, completion_seconds=float("inf")),
    ],
)
@pytest.mark.parametrize("who", [candidate(), FREE])
async def test_absurd_usage_breaks_no_sum(opened, tmp_path, usage, who):
    """Negative, endless and undefined figures of a backend are bounded before they are added."""
    async with opened(config(budgets={"all": {"soft_tokens": 10}})) as guard:
        await run(guard, who=who, usage=usage)
    assert all(value >= 0 for value in spent(tmp_path))
    check_sums(tmp_path)


async def test_unpriced_remote_model_is_refused_unless_allowed_by_name(opened):
    """Nothing is sent to a model whose price nobody knows."""
    unknown = candidate("mystery:latest")
    async with opened() as guard:
        assert "no price" in guard.objection(request(), unknown)
        with pytest.raises(RefusedError, match=r"'mystery:latest' has no price.*allow_unpriced"):
            await run(guard, who=unknown)
    async with opened(config(allow_unpriced=("myst*",))) as guard:
        assert guard.objection(request(), unknown) == ""
        await run(guard, who=unknown)


async def test_priced_answer_without_a_bound_is_bounded(opened):
    """What is sent ends where the reservation ends; a bound of the client stays as it is."""
    async with opened(config(most_answer_tokens=50)) as guard:
        sent = await run(guard, request(max_tokens=None))
        assert sent.sampling.max_tokens == 50
        assert await run(guard, request(max_tokens=10)) is None
        assert await run(guard, request(max_tokens=None), FREE) is None


async def test_free_local_attempt_waits_for_nothing_and_is_written_down(opened, tmp_path):
    """What costs nothing and no budget counts has an entry all the same."""
    async with opened() as guard:
        await run(guard, who=FREE)
    assert rows(tmp_path, "SELECT model, remote, micro_usd, cpu_ms FROM entries") == [("own", 0, 0, 1000)]


async def test_local_cost_is_cpu_time_times_the_rate(opened, tmp_path):
    """Half a second on two CPUs at 3.6 USD per CPU hour is 1000 micro-USD."""
    async with opened(config(local_usd_per_cpu_hour=3.6)) as guard:
        await run(guard, who=FREE)
        await run(guard, who=FREE, usage=Usage(prompt_seconds=0.1, completion_seconds=0.2))
    assert rows(tmp_path, "SELECT micro_usd FROM entries ORDER BY 1") == [(600,), (1000,)]


async def test_objection_is_what_the_ledger_last_told(opened):
    """Routing sees a spent budget before anything is tried; a free model stays welcome."""
    async with opened(config(budgets={"all": {"hard_usd": WORST_CASE_USD}})) as guard:
        assert guard.objection(request(), candidate()) == ""
        await run(guard)
        assert "'all'" in guard.objection(request(), candidate())
        assert guard.objection(request(), FREE) == ""


async def test_failed_attempt_makes_room_that_routing_sees(opened):
    """What a failure releases is not taken for spent."""
    async with opened(config(budgets={"all": {"hard_usd": WORST_CASE_USD}})) as guard:
        with pytest.raises(BackendError):
            await run(guard, usage=None, error=BackendError("gone"))
        await guard._writer.submit(lambda book: book.recover())
        assert guard.objection(request(), candidate()) == ""
        await run(guard)


@in_virtual_time
async def test_what_routing_knows_grows_old(tmp_path):
    """After five seconds the attempt itself asks the ledger, where another process may have made room."""
    guard = CostGuard(config(budgets={"all": {"hard_usd": WORST_CASE_USD}}), state=tmp_path)
    await run(guard)
    assert guard.objection(request(), candidate())
    await asyncio.sleep(6)
    assert guard.objection(request(), candidate()) == ""
    await guard.aclose()


async def test_cancelled_wait_leaves_nothing_reserved(opened, tmp_path):
    """A client that leaves while its reservation is being written holds no room."""
    async with opened() as guard:
        for turns in range(8):
            task = asyncio.ensure_future(run(guard))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert rows(tmp_path, "SELECT * FROM reservations") == []
    check_sums(tmp_path)


async def test_shares_of_a_cap_are_told_once_each(opened, log):
    """Half, 80, 90 and 100 percent have one line each, also after a restart."""
    settings = config(budgets={"ten": {"hard_calls": 10}})
    for count in (5, 5):
        async with opened(settings) as guard:
            for _ in range(count):
                await run(guard)
    told = [line for line in log if "'ten'" in line]
    assert [line.partition("reached ")[2].partition(" of")[0] for line in told] == [
        "50 %",
        "80 %",
        "90 %",
        "100 %",
    ]


async def test_soft_cap_warns_once_and_refuses_nothing(opened, log):
    """Above a soft cap attempts go on, and the log says so."""
    async with opened(config(budgets={"soft": {"soft_calls": 1}})) as guard:
        for _ in range(3):
            await run(guard)
    assert sum("soft cap" in line for line in log) == 1


async def test_embeddings_and_chats_are_counted(opened, tmp_path):
    """Bytes bound the tokens of every kind of prompt."""
    chat = attrs.evolve(request(), prompt=ChatPrompt((Message(Role.USER, "ä" * 10),)))
    vectors = EmbeddingRequest(id="e", model="any", inputs=("abc", (1, 2)))
    async with opened() as guard:
        await run(guard, chat, usage=None)
        await run(guard, vectors, usage=None)
    assert rows(tmp_path, "SELECT prompt_tokens, completion_tokens FROM entries ORDER BY rowid") == [
        (20 + 16 + 64, 10),
        (3 + 2 + 2 * 64, 0),
    ]


async def test_ledger_that_cannot_be_opened_refuses_what_costs_and_lets_the_rest_pass(opened, tmp_path, log):
    """A guard that cannot account fails closed for money, and open for what is free."""
    (tmp_path / FILE_NAME).mkdir()
    async with opened() as guard:
        with pytest.raises(LedgerError, match="cannot be opened") as refused:
            await run(guard)
        await run(guard, who=FREE)
    assert str(tmp_path) not in refused.value.public_message
    assert any("lost" in line for line in log)


async def test_other_settings_are_taken_while_attempts_run(opened, tmp_path):
    """An attempt is charged at the price it was reserved at; the next one meets the new cap."""
    async with opened() as guard:
        attempt = Attempt(request=request(), candidate=candidate())
        async with guard.attempt(attempt):
            guard.reconfigure(config(prices={}, allow_unpriced=("paid",), budgets={"all": {"hard_calls": 1}}))
            attempt.usage = Usage(prompt_tokens=5, completion_tokens=7)
        with pytest.raises(BudgetError, match="'all'"):
            await run(guard)
    assert spent(tmp_path)[0] == 19


async def test_budget_that_comes_while_a_free_attempt_runs_counts_it(opened, tmp_path):
    """What was in no budget when it began takes its room in the new one, and gives it back if it fails."""
    async with opened() as guard:
        attempt = Attempt(request=request(), candidate=FREE)
        async with guard.attempt(attempt):
            guard.reconfigure(config(budgets={"all": {"hard_calls": 1}}))
            with pytest.raises(BudgetError, match="'all'"):
                await run(guard, who=FREE)
            attempt.usage = USED
        with pytest.raises(BudgetError, match="'all'"):
            await run(guard, who=FREE)
        guard.reconfigure(config())
        with pytest.raises(BackendError):
            async with guard.attempt(Attempt(request=request(), candidate=FREE)):
                guard.reconfigure(config(budgets={"all": {"hard_calls": 2}}))
                raise BackendError("gone")
        await run(guard, who=FREE)
    assert spent(tmp_path)[3] == 2
    check_sums(tmp_path)


@pytest.mark.parametrize("bound", [2**63 - 1, 10**25])
async def test_absurd_bound_of_an_answer_breaks_no_sum(opened, tmp_path, bound):
    """A worst case beyond 64 bits is held as the largest amount, and a budget still refuses it."""
    async with opened() as guard:
        await run(guard, request(max_tokens=bound))
    async with opened(config(budgets={"all": {"hard_usd": 1e9}})) as guard:
        with pytest.raises(BudgetError, match="'all'"):
            await run(guard, request(max_tokens=bound))
    check_sums(tmp_path)


async def test_budget_of_a_model_is_found_with_its_tag_too(opened):
    """``paid:latest`` and ``paid`` are one model."""
    budgets = {"one": {"scope": "model", "match": "paid:latest", "hard_calls": 0}}
    async with opened(config(budgets=budgets)) as guard:
        with pytest.raises(BudgetError, match="'one'"):
            await run(guard)


async def test_long_prompt_is_measured_once_for_all_candidates(opened):
    """63 objections to two megabytes of umlauts took 80 ms when each measured the prompt anew."""
    asked = request("\u00e4" * 1_000_000)
    candidates = [candidate(f"paid-{number}:latest") for number in range(63)]
    prices = {"paid*": PriceSettings(input=1.0, as_of="2026-11-01")}
    async with opened(config(prices=prices, budgets={"all": {"hard_usd": 100.0}})) as guard:
        await run(guard, asked, candidates[0])
        began = time.process_time()
        assert not any(guard.objection(asked, each) for each in candidates)
        assert time.process_time() - began < 0.03


async def test_settings_that_cannot_be_used_leave_the_old_ones_in_force(opened, tmp_path):
    """A file of prices that is not there changes nothing."""
    async with opened() as guard:
        with pytest.raises(ConfigError):
            guard.reconfigure(config(price_file=str(tmp_path / "none.toml")))
        await run(guard)
    assert spent(tmp_path)[0] == 19


def test_ledger_keeps_step_with_virtual_time(tmp_path):
    """In a simulation the ledger is written in place: equal runs, no thread, no waiting."""

    async def race():
        budgets = {"all": {"hard_usd": ROOM_FOR_TEN * WORST_CASE_USD}}
        guard = CostGuard(config(budgets=budgets), state=tmp_path)
        try:
            return await attempts_at_once(guard)
        finally:
            await guard.aclose()

    assert run_virtual(race()) == ROOM_FOR_TEN
    check_sums(tmp_path)
