import pytest

from homeport.cli.address import Address, server_address
from homeport.config.loading import load_settings


def address_of(**environ):
    return str(server_address(load_settings(environ=environ), environ))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("example.org", "http://example.org:11434"),
        ("http://example.org", "http://example.org:80"),
        ("https://example.org/models/", "https://example.org:443/models"),
    ],
)
def test_clients_follow_ollama_host(host, url):
    """A client goes where Ollama's own would: to loopback for a server on all addresses, along a path."""
    assert address_of(OLLAMA_HOST=host) == url


def test_a_stronger_setting_forgets_the_scheme_of_ollama_host():
    """Scheme and path belong to the address they came with."""
    environ = {"OLLAMA_HOST": "https://example.org/x", "HOMEPORT_SERVER_HOST": "127.0.0.1"}
    assert address_of(**environ, HOMEPORT_SERVER_PORT="8080") == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("host", "is_loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("192.168.1.5", False)]
)
def test_only_loopback_means_this_machine(host, is_loopback):
    """A server of one's own never stands in for another machine's."""
    assert Address(host=host, port=1).is_loopback is is_loopback


@pytest.mark.parametrize("url", ["http://127.0.0.1:43211", "https://[::1]:8080/path"])
def test_an_address_reads_what_it_writes(url):
    """A URL survives the round trip."""
    assert str(Address.parse(f"{url}\n")) == url


def test_a_url_without_a_port_is_refused():
    """What is no address is an error that shows it."""
    with pytest.raises(ValueError, match="got 'ready'"):
        Address.parse("ready")
