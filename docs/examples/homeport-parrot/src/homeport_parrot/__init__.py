"""A homeport backend that says again what it hears."""
