"""Who may come in, who waits, and who is served next."""
