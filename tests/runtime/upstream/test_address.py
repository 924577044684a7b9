import pytest

from homeport.upstream.address import is_loopback, upstream_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h:1", "http://h:1/"),
        ("h:11435", "http://h:11435/"),
        ("https://h/v1/", "https://h/v1"),
        (" http://[::1]:2 ", "http://[::1]:2/"),
    ],
)
def test_addresses_are_read_as_people_write_them(text, url):
    """A scheme may be left out, a slash may stand at the end."""
    assert str(upstream_url(text)) == url


@pytest.mark.parametrize(
    "text", ["", "ftp://h", "http://", "http://me:secret@h", "http://h/?a=1", "http://h:99999", "http://h#x"]
)
def test_what_is_no_address_is_refused_without_its_password(text):
    """The message says what is allowed."""
    with pytest.raises(ValueError, match="must") as caught:
        upstream_url(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1", True),
        ("http://a.localhost", True),
        ("http://127.9.9.9", True),
        ("http://[::1]", True),
        ("http://0.0.0.0:1", True),
        ("http://192.168.1.2", False),
        ("http://localhost.example.org", False),
    ],
)
def test_loopback_is_told_by_name(url, here):
    """Requests to it do not leave the machine."""
    assert is_loopback(upstream_url(url)) is here
