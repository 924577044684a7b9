"""Small random models in Hugging Face layout, each beside the transformers model it was saved from."""

import attrs
import pytest
import torch
import transformers

from homeport import LoadPlan, TokenBatch, TokenModelFacts
from homeport_transformers.config import TransformersConfig
from homeport_transformers.model import TransformersModel

transformers.logging.disable_progress_bar()


@attrs.frozen
class Pair:
    """A loaded model of the backend and the reference it must agree with."""

    model: TransformersModel
    facts: TokenModelFacts
    reference: transformers.PreTrainedModel

    def tokens(self, count, seed=0):
        """Draw token ids."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(self.facts.vocabulary_size, (count,), generator=generator).tolist()

    def forward(self, *rows):
        """Compute a batch."""
        return self.model.forward(TokenBatch(rows))

    def expected(self, *sequences):
        """Logits behind each whole sequence, by the reference."""
        with torch.inference_mode():
            rows = [self.reference(input_ids=torch.tensor([list(ids)])).logits[0, -1] for ids in sequences]
        return torch.stack(rows).float().numpy()


def randomise(model):
    """Fill a model with weights that make each part matter: fresh ones have no biases and flat norms."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def save(tmp_path):
    """Save a random model of a configuration to ``tmp_path`` and return it."""

    def build(config, auto=transformers.AutoModelForCausalLM):
        model = randomise(auto.from_config(config))
        model.save_pretrained(tmp_path)
        return model

    return build


@pytest.fixture
def pair(save, tmp_path):
    """Save a random model of a configuration and load it."""

    def build(config, *, slots=4, context_length=64, **settings):
        reference = save(config)
        model = TransformersModel(TransformersConfig(**settings))
        facts = model.load(tmp_path, LoadPlan(context_length=context_length, slots=slots, threads=1))
        return Pair(model, facts, reference)

    return build
