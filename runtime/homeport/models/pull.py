"""Pulling: from a name to an entry of the store, once for all who ask at the same time."""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from pathlib import Path

import attrs
from loguru import logger

from homeport.config.structuring import unstructure
from homeport.domain.errors import PullError, StoreError
from homeport.domain.extras import MODELS_REMEDY
from homeport.domain.quantisation import Quantisation, WeightsWish
from homeport.models.aliases import Alias, AliasTable
from homeport.models.background import uninterrupted
from homeport.models.fetch_job import ENTRY_FOLDER, FETCHING, FetchJob, FetchReport
from homeport.models.flight import Flight, Flights, PullProgress
from homeport.models.job_process import JobKilledError, run_job
from homeport.models.job_reports import Stage
from homeport.models.manifest import CREATED, Manifest
from homeport.models.names import DEFAULT_TAG, ModelName
from homeport.models.store import ModelStore
from homeport.models.store_faults import store_writing
from homeport.models.workshop import Workshop
from homeport.plugin.imports import reference_to
from homeport.plugin.protocols import Artifact, ModelSource
from homeport.plugin.records import StoredForm

_NOT_FOUND = "pull model manifest: file does not exist"
_HUB_HINT = f"models of the Hugging Face hub need: {MODELS_REMEDY}"
_AWAITED_HINT = "It is installed, and is built when it is first loaded"
_SERVED_HINT = "It is installed, and the build that it had serves it"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHORT_DIGEST_DIGITS = 12
_WEIGHT_BYTES = {Quantisation.FP32: 4.0, Quantisation.BF16: 2.0}
"""Bytes that a weight takes where it is kept as a number."""
_PACKED_WEIGHT_BYTES = 34 / 32
"""The most that a weight takes otherwise that has fewer bits in its source: 8, and a scale for 32."""
_GIGABYTE = 1e9


@attrs.frozen(kw_only=True)
class PullSource:
    """A source, built here to locate and once more in another process to fetch.

    Attributes:
        source: Asked to locate.
        factory: Import string of its class.
        config: Instance of its settings' attrs class; None where it has none.
    """

    source: ModelSource
    factory: str
    config: attrs.AttrsInstance | None = None


@attrs.frozen(kw_only=True)
class _Plan:
    """What to fetch from where, what to make of it, and the name to give it."""

    name: ModelName
    wish: WeightsWish
    artifact: Artifact
    source: PullSource
    alias: Alias | None


class Puller:
    """Fetches models into the store; use one per store and close it.

    Args:
        store: Where models go.
        aliases: What short names mean.
        sources: By name, in the order in which they are asked.
        quantisation: What a pull that does not say makes of weights.
        workshop: Builds what is pulled; None where models are loaded as they are.
        forms: What some backend here loads; models that are stored otherwise are refused.
    """

    def __init__(
        self,
        store: ModelStore,
        aliases: AliasTable,
        sources: Mapping[str, PullSource],
        quantisation: Quantisation = Quantisation.AUTO,
        *,
        workshop: Workshop | None = None,
        forms: frozenset[StoredForm] = frozenset(StoredForm),
    ) -> None:
        self._workshop = workshop
        self._forms = forms
        self._store = store
        self._quantisation = quantisation
        self._aliases = aliases
        self._sources = dict(sources)
        self._flights = Flights()

    async def pull(
        self,
        name: str,
        *,
        force: bool = False,
        quantisation: Quantisation | None = None,
        source: str | None = None,
    ) -> AsyncGenerator[PullProgress, None]:
        """Fetch a model, or join the pull of it that runs already; the last progress is ``success``.

        An installed model is verified, and fetched only when it is damaged or another quantisation of it is
        asked for. When the last of those who iterate leaves (``aclose``), the pull is cancelled and nothing
        of it remains; a model that was fetched and is being built stays.

        Args:
            name: As a user types it.
            force: Fetch and build it even if that was done.
            quantisation: What to make of its weights; None is what the settings say.
            source: The only source that is asked; None asks all.

        Raises:
            InvalidRequestError: It is no model name.
            PullError: No source has it, fetching failed, the quantisation cannot be had, or the store cannot
                be written.
        """
        wanted = ModelName.parse(name)
        yield PullProgress(status="pulling manifest")
        wish = WeightsWish(quantisation or self._quantisation, is_demanded=quantisation is not None)
        plan = await asyncio.to_thread(self._plan, wanted, wish, source)
        key = (plan.name, wish)
        following = self._flights.join(key, lambda flight: self._run(plan, flight, force=force))
        async with aclosing(following):
            async for progress in following:
                yield progress

    async def aclose(self) -> None:
        """Cancel all pulls and wait until they have cleaned up."""
        await self._flights.aclose()

    def _plan(self, wanted: ModelName, wish: WeightsWish, only: str | None) -> _Plan:
        """Ask the sources: for the very name first, then for what the alias table says, then as a hub id.

        Other tags of the same model come before what has to be downloaded: one may lie on this machine.
        """
        alias = self._aliases.find(wanted)
        canonical = self._aliases.canonical(wanted)
        locators = [(wanted.display, wanted)]
        if alias is not None:
            revision = f"?revision={alias.revision}" if alias.revision else ""
            own = [alias.locator] if alias.locator else []
            tags = [] if wanted.hub_id else [(name.display, name) for name in alias.names]
            locators += tags
            locators += [(locator, canonical) for locator in (*own, f"hf:{alias.hub}{revision}")]
        elif wanted.hub_id is not None:
            quant = "" if wanted.tag == DEFAULT_TAG else f"?quant={wanted.tag}"
            locators.append((f"hf:{wanted.hub_id}{quant}", wanted))
        for locator, name in [] if wanted.is_cloud else locators:
            for source in self._asked(only):
                artifact = source.source.locate(locator)
                if artifact is not None:
                    return _Plan(name=name, wish=wish, artifact=artifact, source=source, alias=alias)
        raise self._not_found(wanted, alias)

    def _asked(self, only: str | None) -> Sequence[PullSource]:
        return [source for name, source in self._sources.items() if only in {None, name}]

    def _not_found(self, wanted: ModelName, alias: Alias | None) -> PullError:
        if alias is not None:
            return PullError(f"no model source that is installed here has {wanted.display!r}", hint=_HUB_HINT)
        if wanted.hub_id is not None:
            return PullError(_NOT_FOUND, hint=_HUB_HINT)
        alike = self._aliases.nearest(wanted.display)
        return PullError(_NOT_FOUND, hint=f"names spelt alike: {', '.join(alike)}" if alike else None)

    async def _run(self, plan: _Plan, flight: Flight, *, force: bool) -> None:
        if force or not await self._is_sound(plan, flight):
            with store_writing(f"pulling {plan.name.display}"):
                await self._fetch(plan, flight)
        await self._build(plan.name, flight, anew=force)
        flight.report(PullProgress(status="success"))

    async def _is_sound(self, plan: _Plan, flight: Flight) -> bool:
        """Say whether a model is installed as it is wanted, undamaged, and not one that was made here."""
        try:
            model = await asyncio.to_thread(self._store.find, plan.name)
            if model is None or model.manifest.source == CREATED or not _fulfils(model.manifest, plan.wish):
                return False
            flight.report(PullProgress(status="verifying sha256 digest"))
            await asyncio.to_thread(self._store.verify, model)
        except StoreError as error:
            logger.warning("fetching {} again: {}", plan.name.display, error)
            return False
        return True

    async def _fetch(self, plan: _Plan, flight: Flight) -> None:
        stack = ExitStack()
        try:
            staging = await uninterrupted(stack.enter_context, self._store.staging())
            room = await asyncio.to_thread(self._room, plan)
            manifest = await self._converted(_job(plan, staging, room), flight)
            if manifest.form not in self._forms:
                form = manifest.form.value.upper()
                raise PullError(
                    f"{plan.name.display} is stored as {form}, which no backend here loads",
                    hint="pip install 'homeport[onnx]', and leave the plugin onnx-cpu switched on",
                )
            flight.report(PullProgress(status="writing manifest"))
            await uninterrupted(self._store.commit, staging / ENTRY_FOLDER, manifest, [plan.name])
        finally:
            await uninterrupted(stack.close)

    async def _build(self, name: ModelName, flight: Flight, *, anew: bool) -> None:
        """Build an installed model for the backend that serves it, where that is missing or wanted anew.

        Raises:
            PullError: It cannot be built; it stays installed.
        """
        model = None if self._workshop is None else await asyncio.to_thread(self._store.find, name)
        if self._workshop is None or model is None:
            return
        try:
            async with aclosing(self._workshop.make(model, anew=anew)) as steps:
                async for step in steps:
                    flight.report(step)
        except JobKilledError as error:
            has_build = await asyncio.to_thread(self._workshop.find, model) is not None
            told = _SERVED_HINT if has_build else _AWAITED_HINT
            raise JobKilledError(error.message, hint=f"{told}. {error.hint}") from error

    async def _converted(self, job: FetchJob, flight: Flight) -> Manifest:
        async with aclosing(run_job(FETCHING, job)) as reports:
            async for report in reports:
                if report.manifest is not None:
                    return report.manifest
                flight.report(_progress(report, job.artifact))
        raise PullError("the fetching process was done without a manifest")

    def _room(self, plan: _Plan) -> int:
        """Bytes that may be written; refuses what cannot fit."""
        free = self._store.free_bytes()
        size = plan.artifact.size_bytes
        weight_bytes = _WEIGHT_BYTES.get(plan.wish.quantisation, _PACKED_WEIGHT_BYTES)
        known = plan.artifact.local_bytes  # of files that are here, the alias may know less
        converted = known or max(size, plan.alias.params * weight_bytes if plan.alias else 0)
        needed = 2 * size + converted
        if needed > free:
            raise PullError(
                f"pulling {plan.name.display!r} needs about {needed / _GIGABYTE:.2f} GB of disk, "
                f"{free / _GIGABYTE:.2f} GB are free",
                hint="remove models with: homeport rm NAME, or choose another folder with HOMEPORT_HOME",
            )
        return free


def _job(plan: _Plan, staging: Path, room: int) -> FetchJob:
    config = plan.source.config
    return FetchJob(
        artifact=plan.artifact,
        factory=plan.source.factory,
        config_class=None if config is None else reference_to(type(config)),
        config={} if config is None else unstructure(config),
        folder=str(staging),
        wish=plan.wish,
        license=(plan.alias.license if plan.alias else "") or plan.artifact.license,
        room_bytes=room,
    )


def _fulfils(manifest: Manifest, wish: WeightsWish) -> bool:
    """Say whether a model was made as somebody wants it; whoever does not say takes any."""
    return not wish.is_demanded or wish.quantisation in {manifest.quant, manifest.weights}


def _progress(report: FetchReport, artifact: Artifact) -> PullProgress:
    total = report.total or None
    if report.stage is Stage.CONVERTING:
        return PullProgress(status="converting model", total=total, completed=report.completed)
    if report.stage is Stage.VERIFYING:
        return PullProgress(status="verifying sha256 digest")
    digest = report.item
    if not _DIGEST.fullmatch(digest):
        digest = f"sha256:{hashlib.sha256(f'{artifact.locator} {report.item}'.encode()).hexdigest()}"
    short = digest.removeprefix("sha256:")[:_SHORT_DIGEST_DIGITS]
    return PullProgress(status=f"pulling {short}", digest=digest, total=total, completed=report.completed)
