"""The ways through torch: homeport's own forward pass, or transformers' modelling code."""

import contextlib

import torch
from loguru import logger

from homeport import LoadPlan
from homeport.checkpoint import Checkpoint, Decoder, Encoder, is_sentence_model
from homeport_transformers.config import TransformersConfig
from homeport_transformers.dtype import compute_dtype
from homeport_transformers.lean import why_not_lean
from homeport_transformers.torch_decoder import TorchDecoder


def load_on_torch(
    checkpoint: Checkpoint, plan: LoadPlan, config: TransformersConfig, why: str
) -> Decoder | Encoder:
    """Load a model on torch.

    Args:
        checkpoint: The model.
        plan: What it may use.
        config: The backend's settings.
        why: Why it does not run on the native kernels, for the log.

    Raises:
        LoadError: The folder is damaged or holds something that cannot be run.
    """
    _use_threads(plan.threads)
    dtype = compute_dtype(config.dtype, checkpoint.dtype)
    reason = why_not_lean(checkpoint, config)
    if reason is None:
        logger.info("computing in {} on {} threads of torch, because {}", dtype, plan.threads, why)
        return TorchDecoder.load(checkpoint, plan, dtype)
    logger.info("computing in {} on {} threads of transformers, because {}", dtype, plan.threads, reason)
    return _load_through_transformers(checkpoint, plan, dtype)


def _load_through_transformers(
    checkpoint: Checkpoint, plan: LoadPlan, dtype: torch.dtype
) -> Decoder | Encoder:
    # Imported here: transformers adds 1.3 s to the start of a worker that may not need it.
    from homeport_transformers.encoder import SentenceEncoder  # noqa: PLC0415
    from homeport_transformers.generic import GenericDecoder  # noqa: PLC0415
    from homeport_transformers.library import is_encoder  # noqa: PLC0415

    if is_sentence_model(checkpoint) or is_encoder(checkpoint.config):
        return SentenceEncoder.load(checkpoint, plan, dtype)
    return GenericDecoder.load(checkpoint, plan, dtype)


def _use_threads(count: int) -> None:
    torch.set_num_threads(count)
    # Fixed once any operator ran: a worker loads one model, a test process several.
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
