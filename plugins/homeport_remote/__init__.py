"""Other servers as backends: any that speak OpenAI's API, and other homeports."""
