"""From what a source left to an entry of the store with its manifest."""

from pathlib import Path

import attrs

from homeport.domain.errors import PullError
from homeport.domain.quantisation import WeightsWish
from homeport.models.conversion.description import Description
from homeport.models.conversion.gguf_model import convert_gguf
from homeport.models.conversion.published_folder import import_folder
from homeport.models.conversion.safetensors_file import Progress
from homeport.models.durable import regular_size, sha256_of
from homeport.models.manifest import Manifest, ModelFile
from homeport.plugin.protocols import Artifact


def convert(
    download: Path,
    folder: Path,
    *,
    artifact: Artifact,
    wish: WeightsWish,
    room_bytes: int,
    progress: Progress,
) -> Manifest:
    """Turn a download into the files of an entry.

    Args:
        download: What a source left: one GGUF file, or a folder in Hugging Face layout.
        folder: Where to; must not exist.
        artifact: Where the download came from.
        wish: What is wanted of the weights.
        room_bytes: What the result may take.
        progress: Told the bytes done so far and in all.

    Raises:
        PullError: The download is damaged, or holds what cannot be taken over for sure.
    """
    folder.mkdir()
    description = _describe(download, folder, wish, room_bytes, progress)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return Manifest(
        source=artifact.source,
        locator=artifact.locator,
        quant=wish.quantisation,
        files=tuple(
            ModelFile(
                path=path.relative_to(folder).as_posix(),
                size=regular_size(path) or 0,
                sha256=sha256_of(path),
            )
            for path in files
        ),
        **attrs.asdict(description, recurse=False),
    )


def _describe(
    download: Path, folder: Path, wish: WeightsWish, room_bytes: int, progress: Progress
) -> Description:
    gguf_files = list(download.glob("*.gguf"))
    if not gguf_files:
        return import_folder(download, folder, wish=wish, room_bytes=room_bytes, progress=progress)
    if len(gguf_files) > 1:
        raise PullError(f"the source left {len(gguf_files)} GGUF files, expected one")
    return convert_gguf(gguf_files[0], folder, wish=wish, room_bytes=room_bytes, progress=progress)
