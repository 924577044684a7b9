"""What an attempt is expected to cost, before it runs, and what it cost, after."""

import asyncio
import os
from uuid import uuid4

import attrs

from homeport import Attempt, Candidate, DeadlineError, RefusedError, Request, Usage
from homeport_costguard.amounts import MILLISECONDS, Amounts, bounded
from homeport_costguard.config import CostGuardConfig
from homeport_costguard.labels import Labels
from homeport_costguard.money import micro_usd
from homeport_costguard.prices import Price, PriceTable
from homeport_costguard.records import Charge, Outcome, Reservation
from homeport_costguard.worst_case import Sizes, Tokens, bounded_request

_MS_PER_HOUR = 3_600_000
_LEFT = (asyncio.CancelledError, DeadlineError)
"""What ends an attempt while its server may still be reading the prompt."""


@attrs.frozen(kw_only=True)
class Plan:
    """One attempt, as it is accounted for.

    Attributes:
        labels: Whom it is accounted to.
        price: Of its model; None where it is local, or may be used without one.
        most: What it could take.
        tokens: Most tokens it could take.
    """

    labels: Labels
    price: Price | None
    most: Amounts
    tokens: Tokens

    def reservation(self) -> Reservation:
        """Give a fresh reservation of the worst case."""
        return Reservation(attempt=uuid4().hex, labels=self.labels, most=self.most)


class Pricing:
    """Tells what attempts could take, and what they took.

    Args:
        config: The settings.

    Raises:
        ConfigError: The file of prices cannot be used.
    """

    def __init__(self, config: CostGuardConfig) -> None:
        self._config = config
        self._table = PriceTable(config)
        self._sizes = Sizes()
        self._threads = config.local_threads or len(os.sched_getaffinity(0))
        self._micro_per_hour = micro_usd(config.local_usd_per_cpu_hour)

    def plan(self, request: Request, candidate: Candidate) -> Plan:
        """Say what an attempt could take.

        Raises:
            RefusedError: It would go to a remote model without a price.
        """
        refusal = self.refusal(candidate)
        if refusal:
            raise RefusedError(
                f"{refusal}, so nothing was sent",
                hint="State its price in [plugins.cost-guard.prices], or list it in allow_unpriced there",
            )
        labels = Labels.of(request, candidate)
        price = self._table.find(candidate.model.name) if labels.is_remote else None
        tokens = self._sizes.most(request, self._config.most_answer_tokens)
        if labels.is_remote:
            cpu_ms = 0
            money = price.most(prompt_tokens=tokens.prompt, completion_tokens=tokens.answer) if price else 0
        else:
            cpu_ms = bounded(self._config.most_local_seconds * self._threads * MILLISECONDS)
            money = self._local_cost(cpu_ms)
        most = Amounts(
            micro_usd=bounded(money), tokens=bounded(tokens.prompt + tokens.answer), cpu_ms=cpu_ms, calls=1
        )
        return Plan(labels=labels, price=price, most=most, tokens=tokens)

    def refusal(self, candidate: Candidate) -> str:
        """Say why a candidate must not be used at any budget; empty where it may."""
        model = candidate.model
        if not model.is_remote or self._table.find(model.name) or self._table.may_be_unpriced(model):
            return ""
        return f"remote model {model.name!r} has no price"

    def bounded(self, request: Request) -> Request | None:
        """Give a request that ends at the reservation; None where it does anyway."""
        return bounded_request(request, self._config.most_answer_tokens)

    def expected(self, request: Request, candidate: Candidate) -> int:
        """Estimate what a request costs at a candidate, in micro-USD, to compare candidates by."""
        if not candidate.model.is_remote:
            return self._local_cost(bounded((candidate.standing.latency_seconds or 0.0) * MILLISECONDS))
        price = self._table.find(candidate.model.name)
        if price is None:
            return 0
        tokens = self._sizes.likely(request)
        return price.cost(prompt_tokens=tokens.prompt, completion_tokens=tokens.answer)

    def charge(self, plan: Plan, attempt: Attempt, name: str, error: BaseException | None) -> Charge | None:
        """Say what an attempt took, once it ended; None where it failed and nothing is known to be used.

        Args:
            plan: As it was expected.
            attempt: As it ended.
            name: Of the reservation.
            error: What it failed with.
        """
        usage = attempt.usage or getattr(error, "partial", None)
        is_left = usage is None and plan.labels.is_remote and attempt.was_sent and isinstance(error, _LEFT)
        if usage is None and error is not None and not is_left:
            return None
        if usage is None and not is_left:
            return self._estimate(plan, attempt, name)
        usage = usage or Usage()
        prompt, answer = bounded(usage.prompt_tokens), bounded(usage.completion_tokens)
        is_silent = is_left or (plan.labels.is_remote and not prompt and answer > 0)
        if is_silent:  # left or broken before its server told; the prompt was read, and billed, all the same
            prompt = plan.tokens.prompt
        cached = min(bounded(usage.cached_tokens), prompt)
        if plan.labels.is_remote:
            cpu_ms, money = 0, 0
            if plan.price is not None:
                money = plan.price.cost(prompt_tokens=prompt, completion_tokens=answer, cached_tokens=cached)
        else:
            cpu_ms = self._cpu_ms(attempt, usage)
            money = self._local_cost(cpu_ms)
        return Charge(
            attempt=name,
            labels=plan.labels,
            request=attempt.request.id,
            outcome=_outcome(error),
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=answer,
            cpu_ms=cpu_ms,
            micro_usd=bounded(money),
            is_estimate=is_silent,
        )

    def _estimate(self, plan: Plan, attempt: Attempt, name: str) -> Charge:
        """Charge an answer whose backend told nothing: what it could take, for remote ones."""
        is_remote = plan.labels.is_remote
        cpu_ms = 0 if is_remote else self._cpu_ms(attempt, Usage())
        return Charge(
            attempt=name,
            labels=plan.labels,
            request=attempt.request.id,
            prompt_tokens=plan.tokens.prompt,
            completion_tokens=plan.tokens.answer,
            cpu_ms=cpu_ms,
            micro_usd=plan.most.micro_usd if is_remote else self._local_cost(cpu_ms),
            is_estimate=True,
        )

    def _cpu_ms(self, attempt: Attempt, usage: Usage) -> int:
        """Measure a local attempt: what the engine computed for it, or else how long it took, per CPU."""
        seconds = usage.prompt_seconds + usage.completion_seconds or attempt.seconds
        return bounded(seconds * self._threads * MILLISECONDS)

    def _local_cost(self, cpu_ms: int) -> int:
        return -(-cpu_ms * self._micro_per_hour // _MS_PER_HOUR)


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome.OK
    left = isinstance(error, asyncio.CancelledError | GeneratorExit)
    return Outcome.CANCELLED if left else Outcome.FAILED
