"""``GET /v1/replica``: what another homeport wants to know of this one."""

import msgspec


class ReplicaModel(msgspec.Struct, kw_only=True):
    """A model as another homeport sees it.

    Attributes:
        resident: Whether it answers without being loaded first.
        is_remote: Whether requests to it leave this machine.
        slots: Sequences that run at once, 0 where unknown.
        hops: Homeports between this one and the one that runs it.
    """

    name: str
    digest: str
    capabilities: list[str]
    modified_at: str
    size_bytes: int
    context_length: int
    embedding_length: int
    family: str
    parameter_count: int
    quantization: str
    resident: bool
    is_remote: bool
    slots: int
    hops: int


class Replica(msgspec.Struct, kw_only=True):
    """Models, memory and load; what is not known is null."""

    object: str = "replica"
    version: str
    draining: bool
    free_bytes: int | None
    running: int | None
    waiting: int | None
    models: list[ReplicaModel]
