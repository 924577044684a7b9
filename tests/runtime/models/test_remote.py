import pytest

from homeport.models.remote import RemoteBackend
from homeport.testing import EchoBackend


class Lost(EchoBackend):
    """Cannot say where it is."""

    @property
    def address(self):
        raise OSError("lost")


class Counting(EchoBackend):
    """Tells figures and an address."""

    address = "http://127.0.0.1:1/v1"

    def __init__(self, figures):
        self._figures = figures

    def stats(self):
        if isinstance(self._figures, Exception):
            raise self._figures
        return self._figures


@pytest.mark.parametrize(
    ("backend", "figures", "address"),
    [
        (EchoBackend(), {}, ""),
        (Lost(), {}, ""),
        (Counting({"total_requests": 1}), {"total_requests": 1}, Counting.address),
        (Counting(KeyError("x")), {}, Counting.address),
    ],
)
def test_further_roles_of_a_backend_are_passed_on(backend, figures, address):
    """One that does not play them tells nothing, and one that fails to harms nobody."""
    wrapped = RemoteBackend("b", backend)
    assert wrapped.stats() == figures
    assert wrapped.address == address
