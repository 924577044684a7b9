"""Models built by transformers' own code, for all that the lean forward pass does not compute."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from homeport import LoadError
from homeport_transformers.checkpoint import REPAIR_HINT, Checkpoint

_DECODER_SUFFIXES = ("ForCausalLM", "LMHeadModel")
_UNUSED_PREFIX = "pooler."
"""BERT's head for next-sentence prediction: checkpoints of encoders come with and without it."""


class AutoClass(Protocol):
    """``AutoModel`` or one of its siblings."""

    def from_pretrained(self, path: str, **options: object) -> Any:  # noqa: ANN401 - transformers is untyped
        """Build the model that config.json names."""
        ...


def is_encoder(config: Mapping[str, object]) -> bool:
    """Tell encoders (BERT and its kin) from decoders by config.json.

    ``architectures`` decides where it is given; several encoders can also be trained as decoders.
    """
    architectures = config.get("architectures")
    if isinstance(architectures, list) and any(
        str(name).endswith(_DECODER_SUFFIXES) for name in architectures
    ):
        return False
    if config.get("is_decoder") or config.get("is_encoder_decoder"):
        return False
    return config.get("model_type") in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def build(auto: AutoClass, checkpoint: Checkpoint, dtype: torch.dtype) -> Any:  # noqa: ANN401 - untyped
    """Build a model and fill it with the checkpoint's weights, in evaluation mode.

    Nothing is fetched and no code from the folder is run.

    Raises:
        LoadError: transformers does not know the architecture, or files and config.json do not fit.
    """
    family = checkpoint.config.get("model_type")
    if family not in CONFIG_MAPPING_NAMES:
        own_code = " and brings its own code, which is never run" if "auto_map" in checkpoint.config else ""
        raise LoadError(
            f"model_type {family!r} is unknown to transformers {transformers.__version__}{own_code}",
            hint="Upgrade with `pip install --upgrade transformers`, or choose a model of a known type",
        )
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, report = auto.from_pretrained(
            str(checkpoint.path),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
        )
    except Exception as error:  # modelling code raises anything when a config does not fit
        raise LoadError(
            f"transformers cannot build {family!r} from {checkpoint.path}: {error!s:.500}", hint=REPAIR_HINT
        ) from error
    _refuse_gaps(report, checkpoint)
    return model.eval()


def _refuse_gaps(report: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    # transformers fills gaps with random numbers.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(_UNUSED_PREFIX))
    if missing:
        raise LoadError(f"tensor {missing[0]!r} is missing in {checkpoint.path}", hint=REPAIR_HINT)
