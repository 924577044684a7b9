"""Snapshots of hub repositories, taken with the hub's own client."""

import errno
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import huggingface_hub
from huggingface_hub import constants

from homeport import FetchProgress, PullError
from homeport_sources.hub_locator import HubLocator
from homeport_sources.published import cached_patterns, choose_files

_GIGABYTE = 1e9
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@attrs.frozen
class _Listing:
    """What a repository holds: sizes of its files, and the digests that are known."""

    sizes: Mapping[str, int]
    digests: Mapping[str, str]


def take_snapshot(locator: HubLocator, into: Path, progress: FetchProgress) -> tuple[Path, Mapping[str, str]]:
    """Bring the cache up to date, or take what it holds where the hub cannot be reached.

    Args:
        locator: What to fetch.
        into: A folder on the disk that is to have room for it.
        progress: Told the bytes done so far and in all.

    Returns:
        The folder of the repository in the cache, and the SHA-256 of its files where the hub tells one.

    Raises:
        PullError: It does not exist, is gated, holds no usable weights, or cannot be reached.
    """
    # homeport never reports on its users; without this the client tells the hub what else is installed.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        listing = _list(locator)
    except Exception as error:  # the client lets errors of the HTTP library through, whichever it uses
        refusal = _refusal(error, locator)
        if refusal is not None:
            raise refusal from error
        return _cached(locator, error), {}
    try:
        wanted = choose_files(sorted(listing.sizes), locator.quant)
    except PullError as error:
        raise PullError(f"{locator.repository}: {error.message}", hint=error.hint) from error
    total = sum(listing.sizes[name] for name in wanted)
    _check_room(into, total)
    bar = _progress_bar(lambda done: progress(locator.repository, min(done, total), total))
    try:
        folder = huggingface_hub.snapshot_download(
            locator.repository, revision=locator.revision, allow_patterns=wanted, tqdm_class=bar
        )
    except Exception as error:  # see above
        raise _refusal(error, locator) or PullError(
            f"the download of {locator.repository} broke off ({type(error).__name__})",
            hint="pull again: what the Hugging Face cache has got already is kept",
        ) from error
    progress(locator.repository, total, total)
    return Path(folder), listing.digests


def _list(locator: HubLocator) -> _Listing:
    info = huggingface_hub.HfApi().model_info(
        locator.repository, revision=locator.revision, files_metadata=True
    )
    files = info.siblings or []
    return _Listing(
        {file.rfilename: file.size or 0 for file in files},
        {file.rfilename: file.lfs.sha256 for file in files if file.lfs is not None},
    )


def _refusal(error: Exception, locator: HubLocator) -> PullError | None:
    """Say why the hub or the disk refused; None where the hub only could not be reached."""
    repository, errors = locator.repository, huggingface_hub.errors
    if isinstance(error, OSError) and error.errno in _FULL:
        return PullError("the disk of the Hugging Face cache is full", hint="make room, or set HF_HOME")
    if isinstance(error, errors.GatedRepoError):
        return PullError(
            f"the hub asks you to accept the licence of {repository} first",
            hint=f"accept it at https://huggingface.co/{repository}, then: hf auth login",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return PullError(f"{repository} has no revision {locator.revision!r}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return PullError(
            "pull model manifest: file does not exist",
            hint=f"the hub has no model {repository}, or it is private; for a private one: hf auth login",
        )
    return None


def _cached(locator: HubLocator, cause: Exception) -> Path:
    try:
        folder = huggingface_hub.snapshot_download(
            locator.repository,
            revision=locator.revision,
            allow_patterns=cached_patterns(locator.quant),
            local_files_only=True,
        )
    except Exception as error:  # see above
        raise PullError(
            f"the Hugging Face hub cannot be reached ({type(cause).__name__}), and its cache has no whole "
            f"{locator.repository}",
            hint="check the connection, the proxy and HF_HUB_OFFLINE",
        ) from error
    return Path(folder)


def _progress_bar(report: Callable[[int], None]) -> type:
    """Make a bar for the client's use that draws nothing and tells the bytes of whichever got furthest.

    The client has one bar for what comes over the wire and one for what is written.
    """
    furthest = 0
    lock = threading.Lock()
    bar: Any = huggingface_hub.utils.tqdm  # type: ignore[attr-defined]

    class Bytes(bar):  # type: ignore[misc]
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **{**options, "disable": True})
            self._counts_bytes = options.get("unit") == "B"
            self._done = 0

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal furthest
            if self._counts_bytes:
                with lock:
                    self._done += int(n or 0)
                    furthest = max(furthest, self._done)
                    report(furthest)
            return None

    return Bytes


def _check_room(into: Path, needed: int) -> None:
    free = shutil.disk_usage(into).free
    if needed > free:
        raise PullError(
            f"the download needs {needed / _GIGABYTE:.2f} GB of disk, {free / _GIGABYTE:.2f} GB are free",
            hint="make room, or choose another folder with HOMEPORT_HOME",
        )
