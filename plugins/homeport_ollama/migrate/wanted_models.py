"""Models that a project names, and where on this machine each is."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from homeport_ollama.migrate.finding import Finding, State
from homeport_ollama.store_names import parsed

Name = tuple[str, ...]

_RECORD_SUFFIX = ".json"


def installed_names(folder: Path) -> frozenset[Name]:
    """List what homeport has installed: host, namespace, model and tag of each, in lower case.

    Args:
        folder: Of its models; it keeps a record per name, ``names/<host>/<namespace>/<model>/<tag>.json``.
    """
    names = folder / "names"
    found = (path.relative_to(names).parts for path in names.glob(f"*/*/*/*{_RECORD_SUFFIX}"))
    return frozenset((*parts[:-1], parts[-1].removesuffix(_RECORD_SUFFIX)) for parts in found)


def wanted_findings(
    wanted: Sequence[str], installed: frozenset[Name], shelved: Sequence[Finding]
) -> Iterator[Finding]:
    """Say of each model that a project names whether it can be asked here, and what gets it.

    Args:
        wanted: Their names.
        installed: As :func:`installed_names` gives them.
        shelved: Findings of the models of Ollama's folder.
    """
    in_folder = {parsed(finding.path): finding for finding in shelved}
    for name in wanted:
        place = parsed(name)
        shelf = in_folder.get(place)
        if place in installed:
            yield Finding(
                path=name, value="in homeport's store", state=State.READY, reason="homeport answers with it"
            )
        elif shelf is not None and shelf.state is State.READY:
            reason = f"answers without a download; convert it ahead with: homeport pull {name}"
            yield Finding(path=name, value="in Ollama's folder", state=State.READY, reason=reason)
        elif shelf is not None:
            reason = f"{shelf.reason}; get another copy with: homeport pull {name}"
            yield Finding(path=name, value="in Ollama's folder", state=State.ATTENTION, reason=reason)
        else:
            reason = f"get it with: homeport pull {name}"
            yield Finding(path=name, value="not on this machine", state=State.ATTENTION, reason=reason)
