"""The port, and who answers there."""

import socket
from collections.abc import Iterator

from homeport.cli.checks.finding import Finding, failed, ok
from homeport.cli.client import AnswerError, NoServerError
from homeport.cli.connection import running_client
from homeport.config.loading import LoadedSettings


def network_findings(loaded: LoadedSettings) -> Iterator[Finding]:
    """Ask who answers where the server listens, or would."""
    client = running_client(loaded)
    address = client.address
    try:
        version = client.ask("GET", "/api/version").get("version", "of unknown version")
    except NoServerError:
        yield _free_port(loaded.settings.server.host, address.port)
    except AnswerError as error:
        yield failed("server", f"{address}: {error.message}", fix=error.hint or _other_port(address.port))
    else:
        yield ok("server", f"{address} answers the Ollama API {version}")


def _free_port(host: str, port: int) -> Finding:
    """Bind for a moment where nobody answers."""
    try:
        with socket.create_server((host or "0.0.0.0", port), family=_family(host)):  # noqa: S104 - as serve would
            return ok("port", f"{host}:{port} is free, no server runs there")
    except OSError as error:
        return failed("port", f"{host}:{port} cannot be listened on: {error.strerror}", fix=_other_port(port))


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _other_port(port: int) -> str:
    return f"Choose another port, for server and clients: set OLLAMA_HOST=127.0.0.1:{port + 1}"
