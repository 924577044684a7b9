"""The rules that hold in every simulation, whatever fails in it."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence

from host import Host
from scenario import MODELS, Scenario
from visit import Visit

from homeport import (
    HomeportError,
    RequestFinished,
    RequestStarted,
    Settings,
)
from homeport.gateway.target import TargetKey
from homeport.testing import Fault

SAMPLE_SECONDS = 1.0
GRACE_SECONDS = 1.0
"""How much later than its deadline a request may end."""
_WINDOW_SECONDS = 60


class Referee:
    """Watches one simulation."""

    def __init__(self, scenario: Scenario, host: Host) -> None:
        self.scenario = scenario
        self.host = host
        self.faults: list[str] = []
        self.forced: set[TargetKey] = set()

    async def watch(self) -> None:
        """Look at the host from time to time."""
        while True:
            self.look()
            await asyncio.sleep(SAMPLE_SECONDS)

    def look(self) -> None:
        """Look at the host now."""
        self.faults += self._queue()
        self.faults += self._running()
        self.faults += self._last_members()
        self.faults += self._budget()

    def judge(self, visits: Sequence[Visit]) -> list[str]:
        """Give every broken rule, after the end."""
        for visit in visits:
            self.faults += (f"{visit.client.request.id}: {fault}" for fault in self._visit(visit))
        self.faults += self._retries()
        self.faults += self._emptiness()
        self.faults += self._events()
        self.faults += self._ledger()
        return self.faults

    def _queue(self) -> Iterator[str]:
        stats = self.host.gateway.admission.stats()
        most = max(settings.gateway.max_waiting for settings in self._all_settings())
        if stats.current_size > most:
            yield f"{stats.current_size} wait, {most} may"

    def _running(self) -> Iterator[str]:
        for member in self.scenario.members:
            backend = self.host.backends[member.name]
            for model, count in backend.most_running.items():
                if member.slots and count > member.slots:
                    yield f"{count} run on {member.name}/{model}, it has {member.slots} slots"
        bounds = [settings.gateway.max_running for settings in self._all_settings()]
        running = sum(backend.running.total() for backend in self.host.backends.values())
        if all(bounds) and running > max(bounds):
            yield f"{running} run, {max(bounds)} may"

    def _budget(self) -> Iterator[str]:
        cap = self.scenario.most_calls
        taken = self.host.calls_taken()
        if cap is not None and taken > cap:
            yield f"{taken} calls are charged or reserved, the budget has {cap}"

    def _last_members(self) -> Iterator[str]:
        breakers = self.host.gateway.breakers
        for model in MODELS:
            group = [TargetKey(each.name, model) for each in self.scenario.members if model in each.models]
            if group and self.forced.isdisjoint(group) and all(breakers.refusal(key, group) for key in group):
                yield f"every member of {model} is out"

    def _visit(self, visit: Visit) -> Iterator[str]:
        if visit.over_at is None or visit.told_at is None:
            yield "was lost"
            return
        yield from self._times(visit)
        if visit.error is not None:
            yield from self._error(visit)
        elif visit.finished is not None:
            yield from self._answer(visit)
        elif not visit.has_left and not visit.embedded:
            yield "ended without an answer or an error"

    def _times(self, visit: Visit) -> Iterator[str]:
        allowed = self._allowed_seconds(visit)
        seconds = visit.told_at - visit.client.comes_at
        if seconds > allowed + GRACE_SECONDS:
            yield f"took {seconds:.3f} s of {allowed:.3f}"
        if visit.over_at - visit.told_at > GRACE_SECONDS:
            yield f"held its client for {visit.over_at - visit.told_at:.3f} s after the end"
        if visit.has_left and seconds > visit.client.leaves_after + GRACE_SECONDS:
            yield f"held a client that left for {seconds - visit.client.leaves_after:.3f} s"

    def _allowed_seconds(self, visit: Visit) -> float:
        total = max(settings.gateway.timeouts.total_seconds for settings in self._all_settings())
        wanted = visit.client.request.terms.deadline_seconds
        return total if wanted is None else min(wanted, total)

    def _error(self, visit: Visit) -> Iterator[str]:
        error = visit.error
        has_bugs = any(Fault.BUG in member.faults for member in self.scenario.members)
        if not isinstance(error, HomeportError) and not (isinstance(error, ZeroDivisionError) and has_bugs):
            yield f"failed with {error!r}"
            return
        partial = getattr(error, "partial", None)
        if visit.text and partial is None:
            yield f"got {visit.text!r:.60} and an error that does not say so: {error!r:.100}"
        if visit.text and not any(answer.startswith(visit.text) for answer in self._answers(visit)):
            yield f"got {visit.text!r:.200}, with which no answer begins"
        if visit.finished is not None:
            yield f"got an answer and then {error!r:.100}"

    def _answer(self, visit: Visit) -> Iterator[str]:
        if visit.route is None:
            yield "got an answer from nobody"
            return
        expected = self.host.backends[visit.route.backend].answer_to(visit.client.request)
        if visit.text != expected:
            yield f"got {visit.text!r:.200}, expected {expected!r:.200} of {visit.route.backend}"
        told, seen = visit.finished.usage.completion_tokens, len(visit.text.split())
        if told != seen and not any(Fault.WRONG_USAGE in member.faults for member in self.scenario.members):
            yield f"was told {told} tokens and got {seen}"

    def _answers(self, visit: Visit) -> Iterator[str]:
        return (backend.answer_to(visit.client.request) for backend in self.host.backends.values())

    def _retries(self) -> Iterator[str]:
        """Compare what backends were asked again with the budget, over every minute; its ring counts seconds.

        A retry is decided on when the attempt before it ends, and made after its pause.
        """
        calls = [(name, call) for name, backend in self.host.backends.items() for call in backend.calls]
        last: dict[str, tuple[tuple[str, str], float]] = {}
        extras = []
        for name, call in sorted(calls, key=lambda pair: pair[1].began_at):
            target = (name, call.request.model)
            before, ended_at = last.get(call.request.id, (("", ""), 0.0))
            if before == target:
                extras.append(ended_at)
            last[call.request.id] = (target, call.ended_at)
        extras.sort()
        retry = [settings.gateway.retry for settings in self._all_settings()]
        least = max(settings.least_per_minute for settings in retry)
        share = max(settings.traffic_share for settings in retry)
        arrivals = [client.comes_at for client in self.scenario.clients]
        for number, at in enumerate(extras):
            spent = sum(at - _WINDOW_SECONDS + 1 < other for other in extras[: number + 1])
            asked = sum(at - 2 * _WINDOW_SECONDS < came <= at for came in arrivals)
            if spent > max(least, share * asked):
                yield f"{spent} retries in the minute before {at:.3f}, of {asked} requests"

    def _emptiness(self) -> Iterator[str]:
        stats = self.host.gateway.admission.stats()
        if stats.current_size or stats.active:
            yield f"{stats.active} run and {stats.current_size} wait after the end"
        for backend in self.host.backends.values():
            if backend.running.total():
                yield f"{backend.name} has open calls after the end: {dict(backend.running)}"

    def _events(self) -> Iterator[str]:
        events = self.host.recorder.events
        started = Counter(event.request_id for event in events if isinstance(event, RequestStarted))
        finished = Counter(event.request_id for event in events if isinstance(event, RequestFinished))
        if started != finished:
            yield f"attempts that began and ended differ: {started - finished} {finished - started}"

    def _ledger(self) -> Iterator[str]:
        cap = self.scenario.most_calls
        if cap is None or self.host.ledger is None:
            return
        calls = sum(len(backend.calls) for backend in self.host.backends.values())
        if not self.host.ledger.exists():
            return
        connection = sqlite3.connect(self.host.ledger)
        try:
            (held,) = connection.execute("SELECT count(*) FROM reservations").fetchone()
            (entries,) = connection.execute("SELECT count(*) FROM entries").fetchone()
            taken = connection.execute(
                "SELECT spent_calls, reserved_calls FROM accounts WHERE scope = 'global'"
            ).fetchone()
        finally:
            connection.close()
        if held:
            yield f"{held} reservations are held after the end"
        if taken is not None and taken[1]:
            yield f"{taken[1]} calls are reserved after the end"
        if entries > calls:
            yield f"{entries} charges for {calls} calls"
        if taken is not None and taken[0] > min(cap, calls):
            yield f"{taken[0]} calls were charged of {calls}, the budget has {cap}"

    def _all_settings(self) -> list[Settings]:
        later = self.scenario.later_settings
        return [self.scenario.settings] if later is None else [self.scenario.settings, later]
