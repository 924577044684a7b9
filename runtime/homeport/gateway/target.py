"""What calls are counted against: a model on a backend."""

import attrs


@attrs.frozen(order=True)
class TargetKey:
    """One model of one backend; the same model elsewhere is another target.

    Attributes:
        backend: Name of the backend.
        model: Display name of the model.
    """

    backend: str
    model: str

    def __str__(self) -> str:
        return f"{self.backend}/{self.model}"
