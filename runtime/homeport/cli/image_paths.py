"""Paths of images in a question, which Ollama would send along."""

from pathlib import Path

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_AROUND = "\"'()<>,;:?!"
_MAX_PATH_CHARACTERS = 4096


def image_note(text: str) -> str | None:
    """Say that an image which a text names by its path stays where it is; None where it names none."""
    for word in text.split():
        path = word.strip(_AROUND)
        if path.lower().endswith(_ENDINGS) and _is_file(path):
            return f"images are not supported: the model reads the path {path!r}, not the picture"
    return None


def _is_file(path: str) -> bool:
    try:
        return len(path) <= _MAX_PATH_CHARACTERS and Path(path).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False
