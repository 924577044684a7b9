"""Serving a request by one attempt after another, in spite of faults."""
