from homeport_ollama.store_damage import StoreDamage


def test_a_changed_byte_is_damage(folder):
    """Weights of the right size that are not what their name says are told; those that are, are not."""
    sound = folder.add("library/sound/latest", weights=b"sound")
    path = folder.add("library/bad/latest", weights=b"weights")
    digest = folder.blob(b"weights")["digest"].replace(":", "-")
    (folder.root / "blobs" / digest).write_bytes(b"weighty")
    assert StoreDamage(folder.root).of(sound) == ""
    assert StoreDamage(folder.root).of(path) == f"blob {digest[:19].replace('-', ':')} is damaged"
    path.write_text("{}")
    assert "no manifest" in StoreDamage(folder.root).of(path)
