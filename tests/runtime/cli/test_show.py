from homeport.cli.answers import ModelDescription
from homeport.cli.show import overview, part

ANSWER = {
    "license": "Apache License\nVersion 2.0\nmore\nand more",
    "parameters": 'stop                           "<|im_end|>"\ntemperature                    0.2',
    "template": "{% if tools %}\x1b[2J",
    "details": {"family": "llama", "quantization_level": "Q4_1"},
    "model_info": {
        "general.architecture": "llama",
        "general.parameter_count": 134_515_008,
        "llama.context_length": 8192,
        "llama.embedding_length": 576,
        "homeport.weights": "int4",
        "homeport.bits_per_weight": 5.74,
        "homeport.size": 101_000_000,
    },
    "capabilities": ["completion"],
}


def test_the_overview_tells_what_matters():
    """Sections come as Ollama shows them, a long license in its first lines."""
    assert overview(ModelDescription.from_wire(ANSWER), verbose=False) == (
        "  Model\n"
        "    architecture        llama\n"
        "    parameters          134.52M\n"
        "    context length      8192\n"
        "    embedding length    576\n"
        "    quantization        Q4_1\n"
        "    stored as           int4, 5.74 bits per weight, 101 MB\n"
        "\n"
        "  Capabilities\n"
        "    completion\n"
        "\n"
        "  Parameters\n"
        '    stop                           "<|im_end|>"\n'
        "    temperature                    0.2\n"
        "\n"
        "  License\n"
        "    Apache License\n"
        "    Version 2.0\n"
        "    ...\n"
    )


def test_a_build_is_told_with_the_figures_of_its_check():
    """What a backend made of the model stands apart from what is stored, with how close it comes."""
    build = {
        "homeport.build.backend": "onnx-cpu",
        "homeport.build.size": 538_000_000,
        "homeport.build.weights": "fp32",
        "homeport.build.weights_note": "as the settings say",
        "homeport.build.bits_per_weight": 32.0,
        "homeport.build.top1_agreement": 0.955,
        "homeport.build.mean_kl_divergence": 0.0036,
        "homeport.build.largest_logit_difference": 1.25,
        "homeport.build.tokens": 256,
        "homeport.build.worst_prompt": 3.0,
    }
    answer = {**ANSWER, "model_info": {**ANSWER["model_info"], **build}}
    text = overview(ModelDescription.from_wire(answer), verbose=False)
    assert "    stored as           int4, 5.74 bits per weight, 101 MB\n" in text
    assert (
        "  Build\n"
        "    built as            fp32 for onnx-cpu, 32.00 bits per weight, 538 MB\n"
        "    checked on          256 tokens\n"
        "    top-1 agreement     95.5 %\n"
        "    mean KL             0.0036 nats\n"
        "    logits differ by    1.25 at most\n"
        "    worst prompt        3\n"
        "\n"
    ) in text


def test_a_build_of_unknown_weights_is_told_by_its_size():
    """An older server tells no more of it."""
    build = {"homeport.build.backend": "onnx-cpu", "homeport.build.size": 143_000_000}
    answer = {**ANSWER, "model_info": {**ANSWER["model_info"], **build}}
    text = overview(ModelDescription.from_wire(answer), verbose=False)
    assert "    built as            another form for onnx-cpu, 143 MB\n" in text


def test_a_build_that_is_missing_is_told():
    """Where a backend has not made its build yet, that is said."""
    build = {"homeport.build.backend": "onnx-cpu", "homeport.build.is_awaited": True}
    answer = {**ANSWER, "model_info": {**ANSWER["model_info"], **build}}
    assert (
        "  Build\n"
        "    backend             onnx-cpu\n"
        "    state               made before the model is loaded\n"
        "\n"
    ) in overview(ModelDescription.from_wire(answer), verbose=False)


def test_verbose_adds_all_figures_and_the_whole_license():
    """Nothing is left out when everything is asked for."""
    text = overview(ModelDescription.from_wire(ANSWER), verbose=True)
    assert "and more" in text
    assert "general.parameter_count" in text


def test_a_part_is_printed_alone_and_harmless():
    """A template is shown as it is, but for what would steer the terminal."""
    assert part(ModelDescription.from_wire(ANSWER), "template") == "{% if tools %}[2J"


def test_an_answer_without_anything_is_shown_all_the_same():
    """A server that tells nothing does not crash the client."""
    assert overview(ModelDescription.from_wire({"details": None}), verbose=True).startswith("  Model\n")
