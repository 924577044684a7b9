"""TOML 1.0: ``tomllib`` says whether a file is one, this finds where its texts stand."""

import re
import tomllib

from homeport_ollama.migrate.scalar import GrammarError, Scalar

_TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*)"
    r'|(?P<text>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<header>^[ \t]*\[{1,2}[^\[\]\n,]+\]{1,2}[ \t]*(?=\r?$|\#|\Z))"
    r"|(?P<key>[A-Za-z0-9_.-]+)(?=[ \t]*=)",
    re.DOTALL | re.MULTILINE,
)
_BEHIND_KEY = re.compile(r"[ \t]*[=.]")


def toml_scalars(text: str) -> list[Scalar]:
    """List all values that are texts.

    Raises:
        GrammarError: It is no TOML; names the line.
    """
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GrammarError(f"no TOML: {error}") from error
    scalars: list[Scalar] = []
    table, key = "", ""
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "header":
            table, key = token.group().strip(" \t[]"), ""
        elif token.lastgroup == "key":
            key = token.group()
        elif token.lastgroup == "text":
            if _BEHIND_KEY.match(text, token.end()):
                key = token.group()[1:-1]
            else:
                scalars.append(_scalar(token, (*([table] if table else []), key)))
    return scalars


def _scalar(token: "re.Match[str]", path: tuple[str, ...]) -> Scalar:
    try:
        value = tomllib.loads(f"v = {token.group()}")["v"]
    except tomllib.TOMLDecodeError as error:
        raise GrammarError(f"no TOML: {error}") from error
    return Scalar(path=path, start=token.start(), end=token.end(), value=str(value))
