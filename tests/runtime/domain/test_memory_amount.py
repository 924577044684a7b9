import pytest

from homeport.domain.memory_amount import MemoryAmount


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("512 B", 512),
        ("2GiB", 2 * 1024**3),
        ("2G", 2 * 1024**3),
        ("1.5gb", 1_500_000_000),
        ("64 kb", 64_000),
        ("3MiB", 3 * 1024**2),
        ("1t", 1024**4),
    ],
)
def test_bytes_are_read_with_any_unit(value, size_bytes):
    """Decimal and binary units count as such, a letter alone is binary; what is available does not matter."""
    assert MemoryAmount.parse(value).of(1) == size_bytes


@pytest.mark.parametrize(("value", "share"), [("25%", 0.25), ("100 %", 1.0), ("0.5%", 0.005)])
def test_share_is_of_what_is_available(value, share):
    """Of a machine that has nothing left it is nothing."""
    amount = MemoryAmount.parse(value)
    assert amount.share == pytest.approx(share)
    assert amount.of(1_000_000) == int(1_000_000 * share)
    assert amount.of(-5) == 0


@pytest.mark.parametrize(
    "value",
    ["", "much", "0", "0.9", "9" * 400 + "g", "0%", "101%", "-1", "5 parsecs", "1e9", "%", "2GiB more", -3],
)
def test_anything_else_is_refused_with_what_is_allowed(value):
    """The message shows the value and both forms."""
    with pytest.raises(ValueError, match='share such as "25%" or an amount such as "2GiB"') as refused:
        MemoryAmount.parse(value)
    assert repr(value) in str(refused.value)
