"""The backend's ``TokenModel``: picks the way that fits a folder."""

from pathlib import Path

from homeport import LoadPlan
from homeport.checkpoint import BoundedModel, Checkpoint, Decoder, Encoder
from homeport_transformers.config import TransformersConfig
from homeport_transformers.native_route import NativeRoute


class TransformersModel(BoundedModel):
    """One model.

    Decoders of known families run on the native kernels, and without them through homeport's own forward
    pass on torch; other decoders and all encoders run through transformers. torch takes 0.8 s of a worker's
    start and 180 MB, transformers half a second more: each is imported only where it computes.

    Args:
        config: The backend's settings.
    """

    def __init__(self, config: TransformersConfig) -> None:
        super().__init__()
        self._config = config

    def _open(self, folder: Path, plan: LoadPlan) -> Decoder | Encoder:
        checkpoint = Checkpoint.read(folder)
        route = NativeRoute(self._config)
        why_not = route.why_not(checkpoint)
        if why_not is None:
            return route.load(checkpoint, plan)
        from homeport_transformers.torch_route import load_on_torch  # noqa: PLC0415 - 0.8 s

        return load_on_torch(checkpoint, plan, self._config, why_not)
