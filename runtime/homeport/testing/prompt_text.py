"""The text that backends for tests answer from."""

from homeport import ChatPrompt, FillPrompt, GenerationRequest, TextPrompt


def prompt_text(request: GenerationRequest) -> str:
    """Give the last message, the text, or the ids as words."""
    match request.prompt:
        case ChatPrompt(messages=messages):
            return messages[-1].content
        case TextPrompt(text=text):
            return text
        case FillPrompt(prefix=prefix, suffix=suffix):
            return f"{prefix} {suffix}"
        case prompt:
            return " ".join(str(token) for token in prompt.tokens)
