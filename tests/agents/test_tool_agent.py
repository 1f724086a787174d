"""The agent loop: what is recorded is what the engine saw and sampled, and every ending has its record."""

import pytest
from memory_sandbox import RIGHT, TESTS_CPU_S, MemoryBackend, make_env, make_task

from agents.chat import Chat, PolicyError
from agents.engine import TransformersEngine
from agents.expert import ScriptedExpert
from agents.protocol import Completion, EngineError, Sampling
from agents.tool_agent import ToolAgent
from agents.toolformat import FORMATS
from envs.tools import Action

VIEW = Action("view", {"path": "calc.py"})
FIX = Action("edit", {"path": "calc.py", "new": RIGHT})
SUBMIT = Action("submit")


class Parrot:
    """An engine that says given things and notes what it was asked."""

    version, max_context = 3, 4000

    def __init__(self, chat, *says):
        self.chat, self.says, self.asked, self.closed = chat, list(says), [], []

    async def generate(self, session, token_ids, sampling):
        self.asked.append((session, list(token_ids)))
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        text = said if isinstance(said, str) else self.chat.tool_format.render(said)
        ids = self.chat.encode(text) + [self.chat.end_of_turn] * (not text.endswith("..."))
        return Completion(ids, [-0.5] * len(ids), "stop", self.version)

    async def close_session(self, session):
        self.closed.append(session)


@pytest.fixture
def chat(tokenizer):
    return Chat(tokenizer, FORMATS["xml"])


@pytest.fixture
def backend():
    backend = MemoryBackend()
    yield backend
    assert not backend.running


def check_tokens(trajectory, engine):
    """Concatenated turns are the contexts that the engine saw; the mask is true on what it said."""
    ids = []
    for turn, (_, asked) in zip(trajectory.turns, engine.asked, strict=True):
        ids += turn.prompt_ids
        assert ids == asked
        ids += turn.completion_ids
        assert len(turn.completion_ids) == len(turn.logprobs) > 0
    assert trajectory.token_ids() == ids
    assert sum(trajectory.loss_mask()) == sum(len(turn.completion_ids) for turn in trajectory.turns)


async def test_a_solved_episode(chat, backend, tmp_path):
    engine = Parrot(chat, VIEW, "I wonder", FIX, Action("run_tests"), SUBMIT)
    agent = ToolAgent(chat, Sampling())
    trajectory = await agent.run(make_env(backend, tmp_path), make_task(), engine, group="g")
    check_tokens(trajectory, engine)
    assert (trajectory.status, trajectory.reward, trajectory.resolved) == ("submitted", 1.0, True)
    assert trajectory.verdict.fail_to_pass == {"test_calc.Calc.test_add": "passed"}
    assert "+    return a + b" in trajectory.patch
    assert (trajectory.files, trajectory.functions) == (["calc.py"], ["calc.py::add"])
    assert trajectory.answer.strip() == RIGHT.strip()
    assert (trajectory.backend, trajectory.agent, trajectory.policy_version) == ("memory", "tools", 3)
    view, wonder, fix, tests, submit = trajectory.turns
    assert "a - b" in view.observation
    assert view.tool_call.arguments == {"path": "calc.py"}
    assert wonder.observation.startswith("error: no tool call")
    assert wonder.tool_call.error and wonder.text == "I wonder"
    assert chat.decode(fix.prompt_ids).count("error: no tool call") == 1
    assert tests.exit_code == 0 and view.exit_code is None
    assert [turn.cpu_seconds for turn in trajectory.turns] == [None, None, None, TESTS_CPU_S, None]
    assert submit.tool_call.name == "submit"
    assert engine.closed == ["g#0"]


async def test_a_turn_cut_by_length_is_closed_in_the_next_prompt(chat, backend, tmp_path):
    engine = Parrot(chat, "<tool_call>\n<function=vi...", SUBMIT)
    trajectory = await ToolAgent(chat, Sampling()).run(make_env(backend, tmp_path), make_task(), engine)
    check_tokens(trajectory, engine)
    assert trajectory.turns[1].prompt_ids[0] == chat.end_of_turn
    assert trajectory.turns[0].completion_ids[-1] != chat.end_of_turn
    assert trajectory.turns[0].tool_call.error


async def test_out_of_turns_and_out_of_context(chat, backend, tmp_path):
    agent = ToolAgent(chat, Sampling())
    engine = Parrot(chat, VIEW, FIX, VIEW)
    trajectory = await agent.run(make_env(backend, tmp_path, max_turns=2), make_task(), engine)
    assert (trajectory.status, trajectory.reward, len(trajectory.turns)) == ("truncated", 0.0, 2)
    assert trajectory.patch and trajectory.verdict is None

    engine = Parrot(chat, *[VIEW] * 9)
    engine.max_context = 700
    env = make_env(backend, tmp_path, max_turns=50)
    trajectory = await agent.run(env, make_task(), engine)
    assert trajectory.status == "truncated"
    assert 0 < len(trajectory.turns) < 9
    assert trajectory.reward == 0.0
    await env.aclose()


async def test_failures_of_ours_carry_no_reward(chat, backend, tmp_path):
    agent = ToolAgent(chat, Sampling())
    env = make_env(backend, tmp_path)
    trajectory = await agent.run(env, make_task(), Parrot(chat, VIEW, EngineError("gone")))
    assert (trajectory.status, trajectory.reward, len(trajectory.turns)) == ("infra_error", None, 1)
    assert trajectory.extra["error"] == "gone"
    await env.aclose()
    broken = make_env(MemoryBackend(failures=1), tmp_path)
    trajectory = await agent.run(broken, make_task(), Parrot(chat))
    assert (trajectory.status, trajectory.reward) == ("infra_error", None)


class Fussy(Chat):
    """A template that cannot render some observations."""

    cannot = ""

    def observation(self, text, *, closed=True):
        if self.cannot in text:
            raise PolicyError("the chat template cannot render this")
        return super().observation(text, closed=closed)


async def test_an_observation_that_cannot_be_rendered_ends_this_episode_only(tokenizer, backend, tmp_path):
    chat = Fussy(tokenizer, FORMATS["xml"])
    chat.cannot = "a - b"
    env, engine = make_env(backend, tmp_path), Parrot(chat, VIEW, SUBMIT)
    trajectory = await ToolAgent(chat, Sampling()).run(env, make_task(), engine, group="g")
    await env.aclose()
    assert (trajectory.status, trajectory.reward, len(trajectory.turns)) == ("infra_error", None, 1)
    assert "cannot render this" in trajectory.extra["error"] and engine.closed == ["g#0"]


async def test_an_expert_s_episode_ends_alike(tokenizer, backend, tmp_path):
    chat = Fussy(tokenizer, FORMATS["xml"])
    chat.cannot = "a - b"
    expert = ScriptedExpert(chat, lambda task: (action for action in (VIEW, SUBMIT)))
    env = make_env(backend, tmp_path)
    trajectory = await expert.run(env, make_task())
    await env.aclose()
    assert (trajectory.status, len(trajectory.turns)) == ("infra_error", 1)


async def test_the_last_observation_needs_no_rendering(tokenizer, backend, tmp_path):
    chat = Fussy(tokenizer, FORMATS["xml"])
    agent = ToolAgent(chat, Sampling())
    trajectory = await agent.run(make_env(backend, tmp_path), make_task(), Parrot(chat, SUBMIT))
    assert trajectory.status == "submitted" and trajectory.reward is not None


async def test_sessions_that_were_played_are_passed_over(chat, backend, tmp_path):
    agent = ToolAgent(chat, Sampling(), played=["g#0", "g#2", "h#1"])
    sessions = []
    for _ in range(3):
        trajectory = await agent.run(make_env(backend, tmp_path), make_task(), Parrot(chat, SUBMIT), group="g")
        sessions.append(trajectory.extra["session"])
    assert sessions == ["g#1", "g#3", "g#4"]


async def test_real_engine_end_to_end(make_model, chat, backend, tmp_path):
    """A random policy talks nonsense; its log-probabilities are those of one forward over the whole trajectory."""
    import torch

    model = make_model(vocab_size=len(chat.tokenizer))
    engine = TransformersEngine(model, chat.stop_ids, max_context=900)
    env = make_env(backend, tmp_path, max_turns=3)
    trajectory = await ToolAgent(chat, Sampling(max_new_tokens=20)).run(env, make_task(), engine)
    engine.close()
    assert len(trajectory.turns) == 3
    with torch.no_grad():
        table = torch.log_softmax(model(torch.tensor([trajectory.token_ids()])).logits[0], -1)
    for i, (token, sampled) in enumerate(zip(trajectory.token_ids(), trajectory.loss_mask(), strict=True)):
        if sampled:
            assert trajectory.token_logprobs()[i] == pytest.approx(table[i - 1, token].item(), abs=1e-5)


def script(task):
    seen = yield VIEW
    assert "a - b" in seen
    yield FIX
    yield SUBMIT


def look(task):
    yield VIEW


async def test_the_expert_records_what_a_policy_would_have_sampled(chat, backend, tmp_path):
    expert = ScriptedExpert(chat, script)
    trajectory = await expert.run(make_env(backend, tmp_path), make_task(), group="demo")
    assert (trajectory.resolved, trajectory.agent, trajectory.group) == (True, "expert", "demo")
    policy = Parrot(chat, VIEW, FIX, SUBMIT)
    played = await ToolAgent(chat, Sampling()).run(make_env(backend, tmp_path), make_task(), policy)
    assert trajectory.token_ids() == played.token_ids()
    assert trajectory.loss_mask() == played.loss_mask()
    assert set(trajectory.token_logprobs()) == {0.0}


async def test_the_expert_without_a_chat_and_with_a_short_script(backend, tmp_path):
    env = make_env(backend, tmp_path)
    trajectory = await ScriptedExpert(None, look, name="looker").run(env, make_task())
    await env.aclose()
    assert (trajectory.status, trajectory.agent, trajectory.token_ids()) == ("truncated", "looker", [])
    assert FORMATS["hermes"].parse(trajectory.turns[0].text) == VIEW


@pytest.mark.parametrize("network", [False, True])
async def test_the_network_is_open_to_the_agent_if_the_task_says_so_and_never_to_the_grader(
    chat, backend, tmp_path, network
):
    task = make_task().model_copy(update={"network": network})
    expert = ScriptedExpert(chat, lambda _: (action for action in (FIX, SUBMIT)))
    trajectory = await expert.run(make_env(backend, tmp_path), task)
    assert trajectory.status == "submitted"
    assert trajectory.network is network
    assert backend.networks == [network, False]
