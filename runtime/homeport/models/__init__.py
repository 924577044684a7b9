"""Models on disk and in memory: names, the store, pulling, loading and evicting."""
