"""Settings of the sources."""

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class FolderConfig:
    """Settings of the folder source, ``[plugins.folder]``.

    Attributes:
        models: Folders (or GGUF files) by the model name that means them. A request can only ever name a
            model, never a path.
    """

    models: Mapping[str, str] = attrs.field(
        factory=dict, metadata={"summary": "folders or GGUF files that can be pulled, by model name"}
    )
