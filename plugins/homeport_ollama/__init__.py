"""An Ollama that runs already, as a backend."""
