"""What is in a model folder, and what a batch may ask of it: read once, for every local backend.

The files, their headers, and what config.json makes of a decoder or an encoder. Backends compute
with it in ways of their own, behind a ``BoundedModel`` that checks what they are asked for.

Needs numpy and safetensors. The host never imports it: workers read the folders that they load.
"""

from homeport.checkpoint.attention_layers import NO_ROTARY, LayerShape
from homeport.checkpoint.bounded_model import BoundedModel, Decoder, Encoder
from homeport.checkpoint.bounds import Bounds, check_ids
from homeport.checkpoint.cache_memory import CacheMemory
from homeport.checkpoint.decoder_shape import DecoderShape, why_not_fast
from homeport.checkpoint.decoder_tensors import DecoderTensors, LayerTensors, Part
from homeport.checkpoint.encoder_families import ENCODERS, EncoderActivation
from homeport.checkpoint.encoder_limits import EncoderLimits
from homeport.checkpoint.encoder_shape import EncoderShape, why_not_encoder
from homeport.checkpoint.encoder_tensors import Affine, EncoderLayer, EncoderTensors
from homeport.checkpoint.families import FAMILIES, Activation, Family
from homeport.checkpoint.folder import REPAIR_HINT, Checkpoint, StoredTensor, read_json
from homeport.checkpoint.mapped_file import MappedFile
from homeport.checkpoint.onnx_file import OnnxFile, TensorSpec
from homeport.checkpoint.rotary import Rotary
from homeport.checkpoint.rotary_scaling import LongRope
from homeport.checkpoint.sentence_pooling import SentencePooling, is_sentence_model
from homeport.checkpoint.text_batches import MOST_TOKENS, TextBatch

__all__ = [
    "ENCODERS",
    "FAMILIES",
    "MOST_TOKENS",
    "NO_ROTARY",
    "REPAIR_HINT",
    "Activation",
    "Affine",
    "BoundedModel",
    "Bounds",
    "CacheMemory",
    "Checkpoint",
    "Decoder",
    "DecoderShape",
    "DecoderTensors",
    "Encoder",
    "EncoderActivation",
    "EncoderLayer",
    "EncoderLimits",
    "EncoderShape",
    "EncoderTensors",
    "Family",
    "LayerShape",
    "LayerTensors",
    "LongRope",
    "MappedFile",
    "OnnxFile",
    "Part",
    "Rotary",
    "SentencePooling",
    "StoredTensor",
    "TensorSpec",
    "TextBatch",
    "check_ids",
    "is_sentence_model",
    "read_json",
    "why_not_encoder",
    "why_not_fast",
]
