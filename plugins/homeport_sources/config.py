"""Settings of the sources."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from homeport import setting


def _absent(models: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, path in models.items():
        try:
            is_there = Path(path).expanduser().exists()
        except RuntimeError:  # the home of a user who does not exist
            is_there = False
        if not is_there:
            yield (name,), f"{path!r} does not exist"


@attrs.frozen(kw_only=True)
class FolderConfig:
    """Settings of the folder source, ``[plugins.folder]``.

    Attributes:
        models: Folders (or GGUF files) by the model name that means them. A request can only ever name a
            model, never a path.
    """

    models: Mapping[str, str] = setting(
        dict, "folders or GGUF files that can be pulled, by model name", doubts=_absent
    )
