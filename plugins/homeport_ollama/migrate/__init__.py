"""Moving a project from Ollama to homeport: report, plan, apply, verify, rollback."""
