"""Who serves a request: who can, who should, and why."""
