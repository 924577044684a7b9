import math

import pytest

from homeport import Finished, FinishReason, PromptAccepted, TextDelta, TokenLogprob, Usage


def answer_labels(weigh):
    """Make a script that answers as a model does that is asked for labels.

    Args:
        weigh: Gives the weight of each label for a request.
    """

    async def script(request):
        labels = request.sampling.labels
        weights = weigh(request)
        logprobs = [math.log(weight / sum(weights)) for weight in weights]
        likeliest = max(range(len(labels)), key=weights.__getitem__)
        entry = TokenLogprob(
            labels[likeliest], logprobs[likeliest], tuple(zip(labels, logprobs, strict=True))
        )
        yield PromptAccepted(10)
        yield TextDelta(labels[likeliest], (entry,))
        yield Finished(FinishReason.STOP, Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=1))

    return script


@pytest.fixture
def deciding(served):
    """A server whose model gives labels the weights 1, 2, 3 and so on, in order."""
    served.scripted.script = answer_labels(lambda request: range(1, len(request.sampling.labels) + 1))
    return served
