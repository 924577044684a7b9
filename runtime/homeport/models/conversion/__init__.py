"""Models as they are published, turned into homeport's own layout. Imported in fetching processes only."""
