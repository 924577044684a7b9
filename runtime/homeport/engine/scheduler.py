"""Which sequences compute what in the next step."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Listed

import attrs

from homeport.engine.draft_budget import DraftBudget
from homeport.engine.prefix_cache import PrefixCache
from homeport.engine.prompt_budget import PromptBudget
from homeport.engine.prompt_scores import MOST_SCORED_TOKENS
from homeport.engine.sequence import Sequence
from homeport.engine.waiting_list import WaitingList, standing, urgency
from homeport.plugin.token_model import TokenBatch, TokenRow

RESERVE_TOKENS = 128
"""Room beyond its tokens that a sequence needs to be admitted, so that it is not swapped out at once."""
WORTH_WAITING_TOKENS = 64
"""Of several prompts that begin alike one goes ahead, where it saves the others so many tokens."""
MOST_FOLLOWERS = 64
"""So many that wait for a prefix are looked at in a step: comparing 4,000 tokens takes up to 0.1 ms."""
MOST_FORCED_TOKENS = 16
"""Tokens that forms force on all streams of a step together, which come true and so are worth it."""
LEAST_FORCED_TOKENS = 4
"""Of each stream, however many there are."""
_OLDEST_SHARE = 4
"""One part in four of the prompt budget goes to the prompt that came first, however long it is."""
_HEAD_START_SECONDS = 0.5
"""Counted as waited by every prompt, so that a short one that just came goes before most."""
_RETRY_SECONDS = 0.5
"""When nothing changes, the head of the waiting list is looked at again so often, for it ages."""


@attrs.frozen(kw_only=True)
class Step:
    """Work for one forward pass: the sequences, and a row for each.

    Attributes:
        sequences: Ordered by slot.
        batch: A row for each.
        prompt_tokens: Tokens of prompts among them.
        streams: Rows that are no prompts.
        drafted: Guessed tokens behind those of the streams.
    """

    sequences: tuple[Sequence, ...]
    batch: TokenBatch
    prompt_tokens: int = 0
    streams: int = 0
    drafted: int = 0


class Scheduler:
    """Admits waiting sequences to slots and memory; running ones share every step.

    A sequence that is more urgent than a running one takes its place, as does one whose owner has two fewer
    running. What gives way is swapped out: its slot is parked and it waits again. So does the least urgent
    when memory runs out.

    Args:
        cache: The slots.
        most_running: Sequences that run at once.
        most_stall_seconds: How long a step with running streams may take.
        speculates: Whether streams guess tokens while few run.
        clock: Monotonic seconds, that of the arrivals.
    """

    def __init__(
        self,
        cache: PrefixCache,
        *,
        most_running: int,
        most_stall_seconds: float,
        speculates: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._most_running = most_running
        self._budget = PromptBudget(most_stall_seconds)
        self._drafts = DraftBudget() if speculates else None
        self._clock = clock
        self._waiting = WaitingList()
        self._running: list[Sequence] = []
        self._running_of: Counter[str] = Counter()
        self._retry_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self._waiting.add(sequence)
        self._retry_at = 0.0

    def remove(self, sequence: Sequence, *, broken: bool = False) -> None:
        """Take a sequence out, wherever it is.

        Args:
            sequence: Waiting or running.
            broken: Whether what its slot holds is doubtful; otherwise it is remembered.
        """
        self._retry_at = 0.0
        if sequence.slot is None:
            self._waiting.remove(sequence)
        elif broken:
            self._cache.drop(self._vacate(sequence))
        else:
            self._cache.park(self._vacate(sequence), sequence.computed)

    def find(self, request_id: str) -> list[Sequence]:
        """List the sequences of a request."""
        return [
            sequence for sequence in (*self._waiting, *self._running) if sequence.request_id == request_id
        ]

    def schedule(self) -> Step:
        """Plan the next step: streams go on by a token and guesses, prompts share the time that is left."""
        if self._waiting:
            self._admit()
        for sequence in tuple(self._running):
            if sequence.remaining == 1 and sequence.slot is not None:
                self._grow(sequence)
        streams = [sequence for sequence in self._running if sequence.remaining == 1]
        prompts = [sequence for sequence in self._running if sequence.remaining > 1]
        if self._drafts is not None and streams and not prompts:
            self._draft(streams, self._drafts.tokens(len(streams)))
        parts = dict.fromkeys(streams, 1)
        if prompts:
            parts.update(_shares(prompts, self._budget.tokens(len(streams)), self._clock()))
        planned = sorted(((sequence.row(count), sequence) for sequence, count in parts.items()), key=_slot)
        return Step(
            sequences=tuple(sequence for _, sequence in planned),
            batch=TokenBatch(tuple(row for row, _ in planned)),
            streams=len(streams),
            prompt_tokens=sum(parts.values()) - len(streams),
            drafted=sum(len(sequence.guesses.pending) for sequence in streams),
        )

    def settle(self, step: Step, seconds: float) -> None:
        """Take note that a step was computed, and how long it took."""
        if self._drafts is not None and step.streams and not step.prompt_tokens:
            self._drafts.observe(drafted=step.drafted, seconds=seconds)
        if (step.streams or step.prompt_tokens) and not step.drafted:
            self._budget.observe(streams=step.streams, prompt_tokens=step.prompt_tokens, seconds=seconds)

    def _admit(self) -> None:
        """Give places to those whose turn it is, until one must wait or many wait for a prefix."""
        now = self._clock()
        if now < self._retry_at:
            return
        followers = 0
        for sequence in self._waiting.turns(self._running_of, now):
            if followers == MOST_FOLLOWERS:
                return
            if self._follows(sequence):
                followers += 1
                continue
            if not self._enter(sequence, now) and not self._displace(sequence, now):
                self._retry_at = now + _RETRY_SECONDS
                return

    def _follows(self, sequence: Sequence) -> bool:
        """Say whether a running sequence is about to compute a prefix that this one waits to copy."""
        return (self._cache.remembers and not sequence.is_scoring) and any(
            running.remaining > 1
            and running.owner == sequence.owner
            and running.priority <= sequence.priority
            and _share_more(running, sequence)
            for running in self._running
        )

    def _enter(self, sequence: Sequence, now: float) -> bool:
        if len(self._running) >= self._most_running:
            return False
        reuses = not sequence.is_scoring
        place = self._cache.admit(sequence.owner, sequence.tokens, reserve=RESERVE_TOKENS, reuses=reuses)
        if place is None:
            return False
        self._waiting.remove(sequence)
        self._running.append(sequence)
        self._running_of[sequence.owner] += 1
        sequence.enter(place.slot, place.length, now)
        return True

    def _displace(self, sequence: Sequence, now: float) -> bool:
        """Let a sequence enter in place of rivals; none of them gives way where it would still not fit."""
        leaving: list[Sequence] = []
        for rival in self._rivals(sequence, now):
            leaving.append(rival)
            slots = [running.running_slot for running in leaving]
            if self._cache.fits(sequence.tokens, reserve=RESERVE_TOKENS, without=slots):
                for running in leaving:
                    self._swap_out(running)
                return self._enter(sequence, now)
        return False

    def _rivals(self, first: Sequence, now: float) -> Iterator[Sequence]:
        """Give those who give way to the first that waits: less urgent, or of an owner with two more running.

        One that runs is as urgent as when it entered: who has had a place for long is not entitled to it.
        """
        fair_count = self._running_of[first.owner] + 2
        running_of = Counter(self._running_of)
        for running in sorted(self._running, key=lambda running: standing(running, now), reverse=True):
            if (
                running.priority > first.priority
                and urgency(running, running.entered_at) > urgency(first, now)
            ) or (running.priority >= first.priority and running_of[running.owner] >= fair_count):
                running_of[running.owner] -= 1
                yield running

    def _draft(self, streams: Listed[Sequence], most: int) -> None:
        """Let streams guess, where their slots can hold the guesses without harm to others."""
        most_forced = max(MOST_FORCED_TOKENS // len(streams), LEAST_FORCED_TOKENS)
        for sequence in streams:
            length = len(sequence.tokens) + sequence.guess(most, most_forced)
            if not self._cache.grow(sequence.running_slot, length):
                sequence.guesses.drop()

    def _grow(self, sequence: Sequence) -> None:
        """Make room for the next token; the least urgent, youngest sequences give way to it."""
        while sequence.slot is not None and not self._cache.grow(sequence.slot, len(sequence.tokens)):
            now = self._clock()
            self._swap_out(max(self._running, key=lambda running: standing(running, now)))

    def _swap_out(self, sequence: Sequence) -> None:
        self._cache.park(self._vacate(sequence), sequence.computed)
        self._waiting.add(sequence)

    def _vacate(self, sequence: Sequence) -> int:
        self._running.remove(sequence)
        self._running_of[sequence.owner] -= 1
        if not self._running_of[sequence.owner]:
            del self._running_of[sequence.owner]
        return sequence.leave()


def _share_more(running: Sequence, waiting: Sequence) -> bool:
    """Say whether both begin alike for so much longer than one has computed that the other should wait."""
    known, end = running.computed, running.computed + WORTH_WAITING_TOKENS
    if end > min(len(running.tokens), len(waiting.tokens)):
        return False
    differ = running.tokens[known:end] != waiting.tokens[known:end]
    return not differ and running.tokens[:known] == waiting.tokens[:known]


def _shares(prompts: Listed[Sequence], budget: int, now: float) -> dict[Sequence, int]:
    """Share prompt tokens: some for the prompt that came first, the rest by urgency and response ratio.

    Shortest first would let long prompts wait for minutes behind a crowd; so what counts is how long a prompt
    has waited beside how much of it is left (Hansen 1971, highest response ratio next).
    """
    oldest = min(prompts, key=lambda sequence: sequence.arrived_at)
    shares = {oldest: min(oldest.remaining, max(budget // _OLDEST_SHARE, 1))}
    left = budget - shares[oldest]

    def turn(sequence: Sequence) -> tuple[int, float]:
        waited = now - sequence.arrived_at + _HEAD_START_SECONDS
        return sequence.priority, sequence.remaining / waited

    for sequence in sorted(prompts, key=turn):
        known = shares.get(sequence, 0)
        more = min(left, sequence.remaining - known)
        if more > 0:
            shares[sequence] = known + more
            left -= more
    return _bounded(shares)


def _bounded(shares: dict[Sequence, int]) -> dict[Sequence, int]:
    """Bound the tokens whose logits are wanted for their scores, for memory."""
    left = MOST_SCORED_TOKENS
    bounded: dict[Sequence, int] = {}
    for sequence, count in shares.items():
        given = min(count, left) if sequence.is_scoring else count
        left -= given if sequence.is_scoring else 0
        if given:
            bounded[sequence] = given
    return bounded


def _slot(planned: tuple[TokenRow, Sequence]) -> int:
    return planned[0].slot
