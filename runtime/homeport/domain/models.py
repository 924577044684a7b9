"""What is known of a model."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import attrs

from homeport.domain.messages import Message


class Capability(StrEnum):
    """What a model can be asked for, in Ollama's words and order."""

    COMPLETION = "completion"
    TOOLS = "tools"
    INSERT = "insert"
    VISION = "vision"
    EMBEDDING = "embedding"
    THINKING = "thinking"


@attrs.frozen(kw_only=True)
class BuildInfo:
    """What a backend made of a model, and loads in its place.

    Attributes:
        key: Different for what was built otherwise; 64 hexadecimal digits.
        size_bytes: Bytes on disk, beside those of the model.
        weights: Type that most of its weights are in: ``int4``, ``fp32``; empty where unknown.
        weights_note: Why it is that one.
        bits_per_weight: Of all its weights, their scales among them; 0 where unknown.
        kv_bytes_per_token: Cache memory of one token of one sequence; 0 where it has none.
        figures: What its check against the stored weights saw, as ``BuildReport.figures`` has it.
    """

    key: str
    size_bytes: int
    weights: str = ""
    weights_note: str = ""
    bits_per_weight: float = 0.0
    kv_bytes_per_token: int = 0
    figures: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ModelInfo:
    """A model that can serve requests.

    Attributes:
        name: Display name, always with its tag: ``smollm2:135m``.
        digest: 64 hexadecimal digits; equal for aliases, different for different weights.
        backend: Name of the backend that offers it.
        size_bytes: Bytes on disk, 0 where unknown.
        modified_at: When it was installed, in UTC.
        capabilities: What it can be asked for.
        family: Architecture, such as ``llama``.
        parameter_count: Number of weights, 0 where unknown.
        quantization: Precision of the source: ``Q4_1``, ``BF16``; empty where unknown.
        format: What its weights are stored as here: ``safetensors``, ``onnx``; empty where unknown.
        weights: Type that most stored weights are in: ``int4``, ``bf16``; empty where unknown. What serves
            may be a build with others.
        weights_note: Why it is that one.
        bits_per_weight: Of all stored weights, their scales among them; 0 where unknown.
        context_length: Longest sequence the model was made for, in tokens; 0 where unknown.
        embedding_length: Width of its hidden states; 0 where unknown.
        license: Name or text; empty where unknown.
        template: Its chat template; empty where it has none.
        written_template: The template as its author wrote it, where that was in Go; else empty.
        requires: Oldest release of Ollama that can run it, where its author says so; else empty.
        system: What it is told before every conversation that has no system message of its own.
        messages: What precedes every conversation.
        parent: The model that it was made from, in full; empty where it was not.
        parameters: Sampling defaults it was published with, in Ollama's option names.
        facts: Further figures under GGUF's key names (``llama.block_count``).
        build: What its backend made of it and loads in its place; None where it loads it as it is stored, or
            has not built it yet.
        awaits_build: Whether its backend has to build it before it loads it.
        alias_of: The name it is installed under, where ``name`` is another one for it; else empty.
        origin: The source in whose place it lies, ready to be installed when it is first asked for; empty
            where it is installed, or on another server.
        is_remote: Whether requests to it leave this machine.
        slots: Sequences that its backend says it runs at once; 0 where it does not say.
        continues: Whether its backend heeds ``GenerationRequest.begun``.
        is_away: Whether its server does not answer now; such a model is in no list for clients, and what asks
            for it is served by a fallback.
    """

    name: str
    digest: str
    backend: str
    size_bytes: int = 0
    modified_at: datetime
    capabilities: frozenset[Capability] = frozenset({Capability.COMPLETION})
    family: str = ""
    parameter_count: int = 0
    quantization: str = ""
    format: str = ""
    weights: str = ""
    weights_note: str = ""
    bits_per_weight: float = 0.0
    context_length: int = 0
    embedding_length: int = 0
    license: str = ""
    template: str = ""
    written_template: str = ""
    requires: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()
    parent: str = ""
    parameters: Mapping[str, object] = attrs.field(factory=dict)
    facts: Mapping[str, object] = attrs.field(factory=dict)
    build: BuildInfo | None = None
    awaits_build: bool = False
    alias_of: str = ""
    origin: str = ""
    is_remote: bool = False
    slots: int = 0
    continues: bool = False
    is_away: bool = False


@attrs.frozen(kw_only=True)
class ResidentModel:
    """A model that is in memory.

    Attributes:
        info: The model.
        resident_bytes: Memory its worker holds.
        context_length: Window it was loaded with, in tokens.
        expires_at: When it leaves if nobody asks for it, in UTC; None is never.
        computes: What it computes in, as ``TokenModelFacts.computes`` tells it.
        predicted_bytes: Memory that it was granted, its predicted peak.
        peak_bytes: The most that its worker held so far.
        pid: Process id of its worker; 0 where it has none of its own.
        threads: It computes on.
        slots: Sequences of it that run at once.
        in_use: Requests that run now.
        is_pinned: Whether it never leaves by itself.
    """

    info: ModelInfo
    resident_bytes: int
    context_length: int
    expires_at: datetime | None
    computes: str = ""
    predicted_bytes: int = 0
    peak_bytes: int = 0
    pid: int = 0
    threads: int = 0
    slots: int = 0
    in_use: int = 0
    is_pinned: bool = False
