import pytest

# ruff: noqa: E501 - files as people write them

PROJECT = {
    ".env": b"# where the models are\nOLLAMA_HOST=http://localhost:11434\nSECRET=hunter2\n",
    ".env.production": b'export OLLAMA_BASE_URL="http://ollama:11434/v1"  # inside\r\nOLLAMA_FLASH_ATTENTION=1\r\n',
    "deploy/app.env": b"\xef\xbb\xbfOLLAMA_URL='http://127.0.0.1:11434'\nNAME=caf\xe9\n",
    "deploy/quoted.env": b'LONG="one\ntwo # http://x\n"\nAPI=http://[::1]:11434/api   \n#API=http://localhost:11434\n',
    "deploy/no-newline.env": b"OLLAMA_HOST=localhost:11434",
    "deploy/model.env": b"OLLAMA_MODEL=llama3.2:3b\nOLLAMA_API_BASE = http://localhost:11434 # why\n",
    "docker-compose.yml": b"""\
services:
  ollama:
    image: ollama/ollama:0.33.3
    environment:
      - OLLAMA_HOST=0.0.0.0:11434
      - OLLAMA_KV_CACHE_TYPE=q8_0
    ports: ["11434:11434"]
  web: &web
    image: ghcr.io/open-webui/open-webui:main
    environment:
      OLLAMA_BASE_URL: 'http://ollama:11434'  # ours
      DEFAULT: ${OLLAMA_BASE_URL:-http://ollama:11434}
  web2:
    <<: *web
    environment: ["OLLAMA_BASE_URL=http://ollama:11434"]
""",
    "k8s/two.yaml": b"---\nkind: A\nurl: http://ollama:11434\n---\n# second\nkind: B\nargs:\n- --base=http://ollama:11434/v1\n- keep\n...\n",
    "k8s/crlf.yaml": b"a: http://localhost:11434\r\nb:\r\n  - 'x'\r\n  - \"http:\\/\\/localhost:11434\"\r\n",
    "k8s/block.yaml": b"script: |\n  curl http://localhost:11434/api/tags\n  # http://localhost:11434 too\nfolded: >-\n  see\n  http://localhost:11434\n",
    "k8s/anchors.yaml": b"base: &b {url: http://localhost:11434, n: 1}\nuse: *b\nagain:\n  <<: *b\n",
    "k8s/tagged.yaml": b"x: !Sub 'http://localhost:11434/${A}'\ny: !!str http://127.0.0.1:11434\n",
    "config/latin.yaml": b'# caf\xe9\nurl: http://localhost:11434\nname: "na\xefve"\n',
    "config/bom.yaml": b"\xef\xbb\xbfurl: http://localhost:11434\n",
    "config/settings.json": b'{\n  "llm": {"base_url": "http:\\/\\/localhost:11434\\/v1", "n": 1.50, "e": "\\u00e9"},\n  "many": [{"url":"http://localhost:11434"}, "x", {"url" : "http://ollama:11434/"}]\n}\n',
    "config/minified.json": b'{"a":{"b":{"c":["http://localhost:11434",{"d":"http://localhost:11434"}]}},"k":"v","k":"w"}',
    "config/bom.json": b'\xef\xbb\xbf{"OLLAMA_HOST": "localhost:11434"}\r\n',
    "config/latin.json": b'{"caf\xe9": "\xff", "url": "http://localhost:11434"}\n',
    ".vscode/settings.json": b'{\n\t// local\n\t"ollama.url": "http://localhost:11434", /* http://localhost:11434 */\n\t"list": [1, 2,],\n}\n',
    "pyproject.toml": b'[project]\nname = "x" # http://localhost:11434\n[tool.app]\nurl = "http://localhost:11434"\nmany = [\n  "http://ollama:11434", # one\n  \'http://127.0.0.1:11434\',\n]\ninline = { url = "http://localhost:11434", "quoted key" = 1 }\n',
    "config/crlf.toml": b'title = "x"\r\n\r\n[a.b]\r\nurl = """\r\nhttp://localhost:11434\r\n"""\r\n',
    "config/dates.toml": b"when = 1979-05-27T07:32:00Z\nf = 1e3\nurl = 'http://localhost:11434'\n[[t]]\nx = 1\n",
    "systemd/app.service": b"[Unit]\nDescription=App\n\n[Service]\n; http://localhost:11434\nEnvironment=\"OLLAMA_HOST=localhost:11434\" 'B=two words' C=3\nEnvironment=X=1 \\\n  URL=http://localhost:11434\nExecStart=/usr/bin/app --url http://localhost:11434\n",
    "systemd/ollama.service": b'[Service]\nExecStart=/usr/local/bin/ollama serve\nEnvironment="OLLAMA_HOST=127.0.0.1:11434"\n',
    "systemd/app.service.d/override.conf": b"[Service]\nEnvironment=OLLAMA_HOST=http://127.0.0.1:11434\n",
    "read-only.json": b'{"url": "http://localhost:11434"}\n',
    "unrelated.json": b'{"url": "http://localhost:8080"}\n',
    "notes.md": b"Ollama is at http://localhost:11434.\n",
    "src/client.py": b'"""http://localhost:11434"""\nimport ollama\nfrom langchain_ollama import ChatOllama\nURL = "http://localhost:11434"\n',
    "run.sh": b"#!/bin/sh\ncurl http://localhost:11434/api/tags\n",
    "broken.yaml": b"a: [http://localhost:11434\n",
}
"""A project as people have them: 31 files, 25 of which can be edited."""


@pytest.fixture
def project(tmp_path):
    """The project on disk."""
    root = tmp_path / "project"
    for name, data in PROJECT.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "read-only.json").chmod(0o444)
    (root / ".env").chmod(0o600)
    (root / "link.env").symlink_to(".env")
    return root


def state_of(root):
    """All that can be seen of a tree: names, bytes, permissions, owners, times, and where links lead."""
    seen = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        kept = (status.st_mode, status.st_uid, status.st_gid)
        if path.is_symlink():
            seen[str(path)] = (*kept, path.readlink())
        elif path.is_file():
            seen[str(path)] = (*kept, status.st_mtime_ns, path.read_bytes())
        else:
            seen[str(path)] = kept
    return seen


@pytest.fixture
def look():
    """Take a picture of a tree."""
    return state_of


@pytest.fixture
def contents():
    """The files of the project by name."""
    return PROJECT
