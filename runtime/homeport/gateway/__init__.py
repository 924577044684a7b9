"""What happens to a request between the HTTP edge and a backend."""
