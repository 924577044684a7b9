"""The HTTP edge: decodes wire dialects into requests, encodes events back, and nothing else."""
