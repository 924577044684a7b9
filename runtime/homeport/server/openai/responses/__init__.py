"""OpenAI's responses: a conversation in, items out; nothing is kept between requests."""
