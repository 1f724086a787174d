"""What is rendered again is what was recorded, and what is not is named at its place."""

import pytest

from agents.policy import load_policy
from contextrl.drift import Drift, drift
from contextrl.start import policy_source
from trajectories.records import ToolCall, Trajectory, Turn


@pytest.fixture(scope="module")
def chat():
    return load_policy(policy_source("tiny")).chat


def played(chat, said=("view a.py", "submit"), seen=("def f():\n    return 1\n", "done")) -> Trajectory:
    turns, prompt = [], chat.opening("f is wrong")
    for text, observation in zip(said, seen, strict=True):
        ids = [*chat.encode(text), chat.end_of_turn]
        call = ToolCall(name="view")
        turns.append(Turn(prompt_ids=prompt, completion_ids=ids, text=text, tool_call=call, observation=observation))
        prompt = chat.observation(observation)
    return Trajectory(instance_id="i", repo="r", base_commit="c", problem_statement="f is wrong", turns=turns)


def test_an_honest_record_has_none(chat):
    found = drift([played(chat), played(chat)], chat)
    assert found == Drift(0, 0, 4, "") and found.row() == {"drift_prompts": 0.0, "drift_sampled": 0.0}
    assert drift([], chat).row() == {}


def test_a_prompt_that_comes_out_otherwise_is_named(chat):
    honest = played(chat)
    ids = list(honest.turns[1].prompt_ids)
    ids[2] += 1
    turns = [honest.turns[0], honest.turns[1].model_copy(update={"prompt_ids": ids})]
    found = drift([honest.model_copy(update={"turns": turns})], chat)
    assert (found.prompts, found.sampled) == (1, 0)
    assert found.first.startswith(f"trajectory {honest.id}, turn 2: token 3 of {len(ids)} is {ids[2]} in the record")


def test_a_word_in_other_tokens_is_counted_and_no_fault(chat):
    honest = played(chat)
    spelled = [i for letter in "view a.py" for i in chat.encode(letter)]
    assert chat.decode(spelled) == "view a.py" and spelled != chat.encode("view a.py")
    other = honest.turns[0].model_copy(update={"completion_ids": [*spelled, chat.end_of_turn]})
    cut = honest.turns[1].model_copy(update={"completion_ids": honest.turns[1].completion_ids[:-1]})
    found = drift([honest.model_copy(update={"turns": [other, cut]})], chat)
    assert (found.prompts, found.sampled) == (0, 1)
