"""What a definition changes of a model: the files and the manifest of its entry."""

import hashlib
import importlib
from pathlib import Path

import attrs
from loguru import logger

from homeport.domain.errors import InvalidRequestError, LoadError
from homeport.models.definition import Definition
from homeport.models.go_template import is_go_template, to_jinja
from homeport.models.manifest import Manifest, ModelFile

TEMPLATE_FILE = "chat_template.jinja"


def checked_template(text: str) -> str:
    """Translate a template to Jinja where it is in Go, and see that it is sound.

    Raises:
        InvalidRequestError: ``template error: ...``.
    """
    jinja = to_jinja(text)
    try:
        rendering = importlib.import_module("homeport.engine.chat_template")
    except ModuleNotFoundError:  # without the extra "engine" nothing is rendered here at all
        logger.debug("the template is not checked: homeport[engine] is not installed")
        return jinja
    try:
        rendering.ChatTemplate(jinja, {})
    except (LoadError, RecursionError) as error:
        cause = error.__cause__ or error
        raise InvalidRequestError(f"template error: {cause}", field="template") from error
    return jinja


def define(manifest: Manifest, definition: Definition, folder: Path) -> Manifest:
    """Apply a definition to the staged files of a model.

    What it does not say stays as it is; its parameters are laid over those that are there.

    Args:
        manifest: Of the files as they are.
        definition: What to change.
        folder: Where the files are; hard links in it are left untouched.

    Raises:
        InvalidRequestError: The template cannot be used.
    """
    changed = attrs.evolve(
        manifest,
        system=definition.system or manifest.system,
        messages=definition.messages or manifest.messages,
        license=definition.license or manifest.license,
        requires=definition.requires or manifest.requires,
        parameters={**manifest.parameters, **definition.parameters},
    )
    if not definition.template:
        return changed
    jinja = checked_template(definition.template)
    return attrs.evolve(
        changed,
        template=jinja,
        written_template=definition.template if is_go_template(definition.template) else "",
        files=_with_file(manifest, folder, TEMPLATE_FILE, jinja.encode()),
    )


def _with_file(manifest: Manifest, folder: Path, name: str, data: bytes) -> tuple[ModelFile, ...]:
    """Put a file into the folder, in the place of one of this name, which may be a hard link."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_bytes(data)
    file = ModelFile(path=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    others = [each for each in manifest.files if each.path != name]
    return tuple(sorted([*others, file], key=lambda each: each.path))
