"""Which values of a file belong to Ollama's own server, and so are not a client's."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from homeport_ollama.migrate.file_kinds import FileKind
from homeport_ollama.migrate.scalar import Scalar

_IMAGE = re.compile(r"(?:[\w.-]+(?::[0-9]+)?/)*ollama/ollama(?:[:@].*)?|ollama(?::.*)?")
_SERVES = re.compile(r"\S*\bollama[\"']?\s+(?:serve|start)\b")


def servers_of(kind: FileKind, path: str, scalars: Sequence[Scalar]) -> Callable[[Scalar], bool]:
    """Tell, value by value, whether it is a setting of Ollama's server.

    In YAML and JSON that is all beside an ``image`` of Ollama, as in a service of compose or a container of
    Kubernetes; a unit file is as a whole its server's, or not.
    """
    if kind is FileKind.UNIT:
        place = PurePosixPath(path)
        is_server = "ollama.service" in {place.name, place.parent.name.removesuffix(".d")} or any(
            scalar.path[-1] in {"ExecStart", "Exec"} and _SERVES.search(scalar.value) for scalar in scalars
        )
        return lambda _: is_server
    owners = {
        scalar.path[:-1]
        for scalar in scalars
        if scalar.path[-1] == "image" and len(scalar.path) > 1 and _IMAGE.fullmatch(scalar.value)
    }
    return lambda scalar: any(scalar.path[: len(owner)] == owner for owner in owners)
