"""A worker process per model: how it is started, spoken to, and what runs in it."""
