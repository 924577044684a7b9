"""Settings of the parrot, ``[plugins.parrot]`` in homeport.toml."""

import attrs


@attrs.frozen(kw_only=True)
class ParrotConfig:
    """How the parrot speaks.

    Attributes:
        prefix: Said before what it heard.
        pause_seconds: How long it thinks before each word.
    """

    prefix: str = attrs.field(default="", metadata={"summary": "said before what it heard"})
    pause_seconds: float = attrs.field(
        default=0.0,
        validator=attrs.validators.ge(0),
        metadata={"summary": "how long it thinks before each word"},
    )
