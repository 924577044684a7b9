from homeport.cli.answers import AnswerTiming
from homeport.cli.timing import timing_lines

FINAL_CHUNK = {
    "total_duration": 4_800_000_000,
    "load_duration": 101_397_084,
    "prompt_eval_count": 26,
    "prompt_eval_cached_count": 0,
    "prompt_eval_duration": 130_000_000,
    "eval_count": 290,
    "eval_duration": 4_000_000_000,
}


def test_the_figures_of_an_answer_are_worded_as_ollama_words_them():
    """Scripts that read Ollama's timing lines read ours."""
    assert timing_lines(AnswerTiming.from_wire(FINAL_CHUNK)) == (
        "total duration:       4.8s",
        "load duration:        101.397084ms",
        "prompt eval count:    26 token(s)",
        "prompt eval duration: 130ms",
        "prompt eval rate:     200.00 tokens/s",
        "eval count:           290 token(s)",
        "eval duration:        4s",
        "eval rate:            72.50 tokens/s",
    )


def test_cached_tokens_do_not_make_the_prompt_look_faster():
    """The prompt's rate counts only the tokens that were evaluated."""
    timing = AnswerTiming.from_wire({**FINAL_CHUNK, "prompt_eval_cached_count": 13})
    assert "prompt eval rate:     100.00 tokens/s" in timing_lines(timing)
    assert "prompt cached:        13 token(s), not evaluated again" in timing_lines(timing)


def test_tokens_guessed_ahead_are_told():
    """With how many of them were right."""
    timing = AnswerTiming.from_wire({**FINAL_CHUNK, "draft_count": 40, "draft_accepted_count": 31})
    assert "drafted:              40 token(s), 31 accepted" in timing_lines(timing)


def test_figures_that_are_not_told_are_left_out():
    """A server that measures nothing yields no line and no division by zero."""
    assert timing_lines(AnswerTiming.from_wire({"eval_duration": "soon"})) == ()
