"""Making models: from one that is there, or from uploaded files, with texts and defaults of one's own."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import ExitStack, aclosing, suppress
from pathlib import Path
from weakref import WeakValueDictionary

import attrs

from homeport.config.structuring import unstructure
from homeport.domain.errors import InvalidRequestError, PullError
from homeport.domain.quantisation import WeightsWish
from homeport.models.aliases import AliasTable
from homeport.models.background import uninterrupted
from homeport.models.blobs import Blobs
from homeport.models.creation_files import check_files, lay_out
from homeport.models.definition import Definition
from homeport.models.derivation import checked_template, define
from homeport.models.entry import link_file
from homeport.models.fetch_job import ENTRY_FOLDER, FETCHING, FetchJob
from homeport.models.flight import Flight, Flights, PullProgress
from homeport.models.job_process import JobFaultError, run_job
from homeport.models.job_reports import Stage
from homeport.models.manifest import CREATED, Manifest
from homeport.models.names import ModelName
from homeport.models.quantisation_names import NamedQuantisation
from homeport.models.records import encode_record
from homeport.models.store import ModelStore
from homeport.models.store_faults import store_writing
from homeport.models.stored_model import StoredModel
from homeport.models.uploads import UploadedFolder, UploadSource
from homeport.models.workshop import Workshop
from homeport.plugin.imports import reference_to
from homeport.plugin.protocols import Artifact
from homeport.plugin.records import StoredForm

_UPLOADS_FOLDER = "uploads"
_WEIGHTS_SUFFIXES = (".safetensors", ".onnx")
_PACKED = frozenset({"int4", "int8"})

Pull = Callable[[str], AsyncGenerator[PullProgress, None]]


@attrs.frozen(kw_only=True)
class Creation:
    """What to make.

    Attributes:
        name: Of the new model; whatever bore it before gives it up.
        base: Name of the model to begin with; empty where files are given.
        files: Digests of uploaded files by their names, 64 hexadecimal digits each; None where none were
            given.
        definition: What is said of the model.
        quantisation: What to make of its weights; None keeps those of a base, and chooses for files.
    """

    name: ModelName
    base: str = ""
    files: Mapping[str, str] | None = None
    definition: Definition = attrs.field(factory=Definition)
    quantisation: NamedQuantisation | None = None


class Creator:
    """Makes models in the store; use one per store and close it.

    Args:
        store: Where models are.
        blobs: Where uploaded files are.
        aliases: What short names mean.
        pull: Installs a base that is not there.
        usual: What is made of weights where nobody says.
        workshop: Builds what is made; None where models are loaded as they are.
    """

    def __init__(
        self,
        store: ModelStore,
        blobs: Blobs,
        aliases: AliasTable,
        pull: Pull,
        usual: WeightsWish,
        *,
        workshop: Workshop | None = None,
    ) -> None:
        self._workshop = workshop
        self._store = store
        self._blobs = blobs
        self._aliases = aliases
        self._pull = pull
        self._usual = usual
        self._flights = Flights()
        self._turns: WeakValueDictionary[ModelName, asyncio.Lock] = WeakValueDictionary()

    async def check(self, creation: Creation) -> None:
        """Check all that can be known before work begins.

        Raises:
            InvalidRequestError: Names the field at fault.
        """
        creation.definition.check()
        if creation.definition.template:
            await asyncio.to_thread(checked_template, creation.definition.template)
        if creation.base:
            ModelName.parse(creation.base)
        elif creation.files is not None:
            await asyncio.to_thread(check_files, creation.files, self._blobs)
        else:
            raise InvalidRequestError("neither 'from' or 'files' was specified", field="from")

    async def create(self, creation: Creation) -> AsyncGenerator[PullProgress, None]:
        """Make a model, or join the making of the same; the last progress is ``success``.

        What bore its name before stays until the new one is whole. When the last of those who iterate
        leaves (``aclose``), the work is cancelled and nothing of it remains.

        Raises:
            InvalidRequestError: It cannot be made as asked.
            JobFaultError: Its files could not be converted, for a cause that is not in them.
            PullError: Its base cannot be had, or the store cannot be written.
        """
        key = hashlib.sha256(encode_record(creation)).digest()
        async with aclosing(self._flights.join(key, lambda flight: self._run(creation, flight))) as following:
            async for progress in following:
                yield progress

    async def aclose(self) -> None:
        """Cancel all work and wait until it has cleaned up."""
        await self._flights.aclose()

    async def _run(self, creation: Creation, flight: Flight) -> None:
        turn = self._turns.setdefault(creation.name, asyncio.Lock())
        async with turn:
            base = await self._base(creation.base, flight) if creation.base else None
            with store_writing(f"creating {creation.name.display}"):
                made = await self._make(creation, base, flight)
        if self._workshop is not None:
            async with aclosing(self._workshop.make(made)) as steps:
                async for step in steps:
                    flight.report(step)
        flight.report(PullProgress(status="success"))

    async def _base(self, name: str, flight: Flight) -> StoredModel:
        """Find the model to begin with; pull it where it is not installed."""
        found = await asyncio.to_thread(self.find, name)
        if found is not None:
            return found
        async with aclosing(self._pull(name)) as pulling:
            async for progress in pulling:
                if progress.status != "success":
                    flight.report(progress)
        found = await asyncio.to_thread(self.find, name)
        if found is None:
            raise _removed(name)
        return found

    @property
    def blobs(self) -> Blobs:
        """The uploaded files."""
        return self._blobs

    def find(self, name: str) -> StoredModel | None:
        """Look an installed model up by any of its names; blocks.

        Raises:
            InvalidRequestError: It is no model name.
            StoreError: It is damaged.
        """
        found = (self._store.find(each) for each in self._aliases.spellings(ModelName.parse(name)))
        return next((model for model in found if model is not None), None)

    async def _make(self, creation: Creation, base: StoredModel | None, flight: Flight) -> StoredModel:
        stack = ExitStack()
        try:
            staging = await uninterrupted(stack.enter_context, self._store.staging())
            staged = staging / ENTRY_FOLDER
            if base is None:
                manifest = await self._from_files(creation, staging, flight)
            elif _keeps_weights(creation, base):
                manifest = await uninterrupted(_link_entry, base, staged)
                _report_kept(manifest, flight)
            else:
                manifest = await self._requantised(creation, base, staging, flight)
            manifest = await uninterrupted(define, manifest, _said(creation, base), staged)
            for progress in _new_layers(creation.definition):
                flight.report(progress)
            flight.report(PullProgress(status="writing manifest"))
            made = await uninterrupted(self._store.commit, staged, manifest, [creation.name])
            for digest in (creation.files or {}).values():
                await asyncio.to_thread(self._blobs.note_use, digest)
            return made
        finally:
            await uninterrupted(stack.close)

    async def _from_files(self, creation: Creation, staging: Path, flight: Flight) -> Manifest:
        uploads = staging / _UPLOADS_FOLDER
        is_gguf = await uninterrupted(lay_out, creation.files or {}, self._blobs, uploads)
        if is_gguf:
            flight.report(PullProgress(status="parsing GGUF"))
        named = creation.quantisation
        wish = self._usual if named is None else named.wish
        try:
            return await self._converted(creation, staging, wish, flight)
        except JobFaultError:
            raise
        except PullError as error:
            raise InvalidRequestError(error.message, field="files", hint=error.hint) from error

    async def _requantised(
        self, creation: Creation, base: StoredModel, staging: Path, flight: Flight
    ) -> Manifest:
        """Convert the weights of a base anew; all else is kept."""
        await uninterrupted(_link_entry, base, staging / _UPLOADS_FOLDER)
        assert creation.quantisation is not None  # noqa: S101 - it is why we are here
        made = await self._converted(creation, staging, creation.quantisation.wish, flight)
        return attrs.evolve(
            base.manifest,
            source=CREATED,
            quant=made.quant,
            weights=made.weights,
            weights_note=made.weights_note,
            bits_per_weight=made.bits_per_weight,
            files=made.files,
        )

    async def _converted(
        self, creation: Creation, staging: Path, wish: WeightsWish, flight: Flight
    ) -> Manifest:
        job = FetchJob(
            artifact=Artifact(source=CREATED, locator="files"),
            factory=reference_to(UploadSource),
            config_class=reference_to(UploadedFolder),
            config=unstructure(UploadedFolder(path=str(staging / _UPLOADS_FOLDER))),
            folder=str(staging),
            wish=wish,
            room_bytes=await asyncio.to_thread(self._store.free_bytes),
        )
        status = "converting model"
        async with aclosing(run_job(FETCHING, job)) as reports:
            async for report in reports:
                if report.manifest is not None:
                    return report.manifest
                if report.stage is Stage.FETCHING and creation.quantisation is not None:
                    status = f"quantizing {report.item} model to {creation.quantisation.label}"
                elif report.stage is Stage.CONVERTING:
                    done, total = report.completed, report.total or None
                    flight.report(PullProgress(status=status, total=total, completed=done))
        raise PullError("the converting process was done without a manifest")


def _keeps_weights(creation: Creation, base: StoredModel) -> bool:
    """Say whether the weights of a base are as they are wanted.

    Raises:
        InvalidRequestError: They are not, and are packed already.
    """
    named, weights = creation.quantisation, base.manifest.weights
    if named is None or named.wish.quantisation == weights:
        return True
    if base.manifest.form is not StoredForm.SAFETENSORS:
        form = base.manifest.form.value.upper()
        message = f"{base.name.display} is stored as {form}, as it was exported, and cannot be quantized here"
        raise InvalidRequestError(message, field="quantize")
    if weights in _PACKED:
        message = f"quantization is only supported for F16 and F32 models; {base.name.display} is {weights}"
        raise InvalidRequestError(message, field="quantize")
    return False


def _said(creation: Creation, base: StoredModel | None) -> Definition:
    """Give what is said of the new model; a licence does not lift that of the base."""
    said = creation.definition
    given = said.license
    if base is not None and given and base.manifest.license not in given:
        given = f"{base.manifest.license}\n{given}"
    return attrs.evolve(said, license=given)


def _link_entry(base: StoredModel, staged: Path) -> Manifest:
    """Give all files of an entry a further name, and describe them as those of a new model.

    Raises:
        PullError: The entry has gone meanwhile.
    """
    for file in base.manifest.files:
        try:
            with suppress(FileExistsError):
                link_file(base.folder / file.path, staged / file.path)
        except FileNotFoundError as error:
            raise _removed(base.name.display) from error
    parent = base.name.full
    return attrs.evolve(base.manifest, source=CREATED, parent=parent)


def _removed(name: str) -> PullError:
    return PullError(f"{name!r} was removed while a model was made from it")


def _report_kept(manifest: Manifest, flight: Flight) -> None:
    for file in manifest.files:
        if file.path.endswith(_WEIGHTS_SUFFIXES):
            flight.report(PullProgress(status=f"using existing layer sha256:{file.sha256}"))


def _new_layers(definition: Definition) -> Iterator[PullProgress]:
    """Tell each thing that is said, by the hash of what it says, as Ollama keeps it."""
    messages = [{"role": each.role.value, "content": each.content} for each in definition.messages]
    texts = (
        definition.template,
        definition.system,
        definition.license,
        json.dumps(dict(definition.parameters), sort_keys=True) if definition.parameters else "",
        json.dumps(messages) if messages else "",
    )
    for text in filter(None, texts):
        yield PullProgress(status=f"creating new layer sha256:{hashlib.sha256(text.encode()).hexdigest()}")
