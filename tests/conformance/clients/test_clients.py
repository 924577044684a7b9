"""Clients that people use, each as its users install it, against a live server with the starter model."""

import pytest

pytestmark = [pytest.mark.clients, pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(900)]


def test_anthropic_client(run_python_suite):
    """Messages, streams, tools, counts and errors are what Anthropic's own client understands."""
    run_python_suite("anthropic_client", "anthropic==2.*")


def test_langchain(run_python_suite):
    """Both LangChain integrations chat, stream, call tools, fill schemas and embed."""
    run_python_suite("langchain_clients", "langchain-ollama==1.*", "langchain-openai==1.*")


def test_pydantic_ai(run_python_suite):
    """An agent of pydantic-ai answers, gives typed output and calls its tool."""
    run_python_suite("pydantic_ai_client", "pydantic-ai-slim[openai]==2.*")


def test_instructor(run_python_suite):
    """Instructor fills its models in its tools mode and its schema mode."""
    run_python_suite("instructor_client", "instructor==1.*")


def test_llm(run_python_suite):
    """The ``llm`` command finds our models through llm-ollama, prompts, follows a schema and embeds."""
    run_python_suite("llm_client", "llm", "llm-ollama")


def test_litellm(run_python_suite):
    """LiteLLM reaches us as Ollama and as an OpenAI-compatible server."""
    run_python_suite("litellm_client", "litellm", "mcp")


def test_tests_of_openais_own_client(run_sdk_tests):
    """What OpenAI tests its client with passes here, strictly typed and not, but for what is refused.

    That is ``audio`` in a chat with all parameters, a ``suffix`` for a model that fills no gaps, and base64
    embeddings under strict types, which the client asks for and does not take.
    """
    run_sdk_tests(
        "3.54.*",
        "chat/test_completions.py",
        "test_completions.py",
        "test_embeddings.py",
        "test_models.py",
        "test_decisions.py",
        chosen=(
            "(create or (Models and (list or retrieve)))"
            " and not (Completions and with_all_params)"
            " and not (Embeddings and (strict or aiohttp) and not with_all_params)"
        ),
    )


def test_ollama_for_node(run_node_suite):
    """The npm client of Ollama lists, chats, streams, calls tools and stops."""
    run_node_suite("ollama", "ollama@0.6")


def test_openai_for_node(run_node_suite):
    """The npm client of OpenAI completes, streams, parses schemas and calls tools."""
    run_node_suite("openai", "openai@7")


def test_anthropic_for_node(run_node_suite):
    """The npm client of Anthropic sends messages and streams them."""
    run_node_suite("anthropic", "@anthropic-ai/sdk@1")
