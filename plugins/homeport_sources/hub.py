"""Models of the Hugging Face hub, fetched with its own client and so with the user's token and cache."""

import hashlib
import os
import shutil
from pathlib import Path

from homeport import Artifact, FetchProgress, PullError
from homeport_sources.hub_locator import HubLocator
from homeport_sources.published import choose_files


class Hub:
    """Fetches repositories; those that the Hugging Face cache holds are not fetched twice."""

    def locate(self, locator: str) -> Artifact | None:
        """Recognise ``hf:`` locators; whether the repository exists is seen on fetching."""
        return None if HubLocator.parse(locator) is None else Artifact(source="hub", locator=locator)

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        """Fetch the needed files of a repository into the cache and link them.

        Raises:
            PullError: It does not exist, is gated, holds no usable weights, or cannot be reached.
        """
        locator = HubLocator.parse(artifact.locator)
        if locator is None:
            raise PullError(
                f"{artifact.locator!r} is no locator of the hub", hint="its form is hf:NAMESPACE/MODEL"
            )
        from homeport_sources.snapshot import take_snapshot  # noqa: PLC0415 - the host only locates

        snapshot, digests = take_snapshot(locator, into, progress)
        found = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
        for name in choose_files(sorted(found), locator.quant):
            target = into / name
            target.parent.mkdir(exist_ok=True)
            _link(snapshot / name, target)
            _verify(target, digests.get(name))


def _link(source: Path, target: Path) -> None:
    """Share a file of the cache, whose files are never changed in place; copy it from another disk."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _verify(path: Path, digest: str | None) -> None:
    if digest is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise PullError(
            f"sha256 of {path.name} is {found}, expected {digest}",
            hint="remove the model from the Hugging Face cache with: hf cache rm, then pull again",
        )
