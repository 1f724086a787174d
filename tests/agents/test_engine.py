"""The engine gives what an uncached forward gives, whoever shares its batch."""

import asyncio
import random

import pytest
import torch

from agents.engine import TransformersEngine
from agents.protocol import EngineError, Sampling

STOP = {7, 8}


@pytest.fixture
def engine(model):
    engine = TransformersEngine(model, STOP, max_context=400, max_batch=6, seed=1)
    yield engine
    engine.close()


@torch.no_grad()
def true_logprobs(model, ids, completion, temperature=1.0):
    """Log-probabilities of the completion by one forward over the whole sequence, no cache, no padding."""
    logits = model(torch.tensor([ids + completion])).logits[0].float() / temperature
    table = torch.log_softmax(logits, -1)
    return [table[len(ids) + i - 1, token].item() for i, token in enumerate(completion)]


async def play(engine, model, name, rng, turns, temperature=1.0, shared=None):
    """A multi-turn session that checks each of its turns and leaves at a time of its own."""
    ids = list(shared or []) + [rng.randrange(9, 300) for _ in range(rng.randrange(1, 60))]
    for _ in range(turns):
        sampling = Sampling(temperature=temperature, max_new_tokens=rng.randrange(1, 25))
        done = await engine.generate(name, ids, sampling)
        expected = true_logprobs(model, ids, done.token_ids, temperature)
        assert done.logprobs == pytest.approx(expected, abs=1e-5)
        assert (done.finish == "stop") == (done.token_ids[-1] in STOP)
        assert not STOP & set(done.token_ids[:-1])
        ids = ids + done.token_ids + [rng.randrange(9, 300) for _ in range(rng.randrange(0, 30))]
        await asyncio.sleep(rng.random() * 0.01)
    await engine.close_session(name)
    return ids


@pytest.mark.parametrize("attention", ["grouped", "eager", "sdpa", "packed"])
async def test_ragged_sessions_equal_full_forward(make_model, attention):
    model = make_model(attention)
    engine = TransformersEngine(model, STOP, max_context=400, max_batch=6, seed=1)
    rngs = [random.Random(i) for i in range(14)]  # more sessions than rows: some lose their cache and come back
    await asyncio.gather(
        *(play(engine, model, f"s{i}", rng, 2 + i % 3, (1.0, 0.7)[i % 2]) for i, rng in enumerate(rngs))
    )
    await engine.generate("last", [40], Sampling(max_new_tokens=1))
    assert {row.session for row in engine._batch.rows} == {None, "last"}
    assert engine._batch.active == 0
    engine.close()


async def test_group_with_the_same_prompt_is_computed_once(engine, model):
    prompt = list(range(20, 120))
    seen = []
    forward = engine._batch.model.forward

    def counting(rows, tokens, places):
        seen.append(len(tokens) * len(tokens[0]))
        return forward(rows, tokens, places)

    engine._batch.model.forward = counting
    done = await asyncio.gather(*(engine.generate(f"g{i}", prompt, Sampling(max_new_tokens=8)) for i in range(6)))
    assert max(seen) == 99  # one prefill of one row, although six asked
    assert sum(n > 6 for n in seen) == 1
    for completion in done:
        expected = true_logprobs(model, prompt, completion.token_ids)
        assert completion.logprobs == pytest.approx(expected, abs=1e-5)
    assert len({tuple(c.token_ids) for c in done}) > 1


async def test_cache_spares_the_history(engine):
    ids = list(range(20, 140))
    first = await engine.generate("s", ids, Sampling(max_new_tokens=4))
    seen = []
    forward = engine._batch.model.forward
    engine._batch.model.forward = lambda r, t, p: (seen.append(len(t[0])), forward(r, t, p))[1]
    await engine.generate("s", ids + first.token_ids + [50, 51], Sampling(max_new_tokens=2))
    assert max(seen) <= 2


async def test_sampling_follows_the_distribution(engine, model):
    ids = [40, 41, 42]
    with torch.no_grad():
        probs = torch.softmax(model(torch.tensor([ids])).logits[0, -1].float() / 0.5, -1)
    calls = (engine.generate(f"d{i}", ids, Sampling(temperature=0.5, max_new_tokens=1)) for i in range(1500))
    drawn = torch.bincount(torch.tensor([c.token_ids[0] for c in await asyncio.gather(*calls)]), minlength=300)
    likely = probs > 0.02
    sigma = (probs * (1 - probs) / 1500).sqrt()
    assert likely.any()
    assert ((drawn / 1500 - probs).abs()[likely] < 4.5 * sigma[likely]).all()


async def test_greedy_takes_the_argmax_with_untempered_logprobs(engine, model):
    ids = [30, 31, 32]
    done = await engine.generate("s", ids, Sampling(temperature=0.0, max_new_tokens=6))
    for i, token in enumerate(done.token_ids):
        with torch.no_grad():
            assert model(torch.tensor([ids + done.token_ids[:i]])).logits[0, -1].argmax() == token
    assert done.logprobs == pytest.approx(true_logprobs(model, ids, done.token_ids), abs=1e-5)


async def test_the_draw_does_not_depend_on_company(engine):
    sampling = Sampling(max_new_tokens=12)
    alone = await engine.generate("me", [50, 51], sampling)
    engine.update_weights(1)
    others = [engine.generate(f"o{i}", list(range(60, 70 + i)), sampling) for i in range(5)]
    together = (await asyncio.gather(engine.generate("me", [50, 51], sampling), *others))[0]
    assert together.token_ids == alone.token_ids
    assert together.version == 1
    seeded = await engine.generate("me", [50, 51], Sampling(max_new_tokens=12, seed=9))
    assert seeded.token_ids != alone.token_ids


async def test_context_limit(model):
    engine = TransformersEngine(model, set(), max_context=16)
    done = await engine.generate("s", [50] * 10, Sampling(max_new_tokens=64))
    assert (len(done.token_ids), done.finish) == (6, "length")
    with pytest.raises(EngineError, match="max_context is 16"):
        await engine.generate("s", [50] * 16, Sampling())
    with pytest.raises(EngineError, match="after 0 tokens"):
        await engine.generate("s", [], Sampling())
    engine.close()


async def test_weights_update_drops_caches_and_bumps_the_version(engine, model):
    ids = list(range(20, 60))
    first = await engine.generate("s", ids, Sampling(max_new_tokens=4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    engine.update_weights(5)
    ids = ids + first.token_ids
    second = await engine.generate("s", ids, Sampling(max_new_tokens=4))
    assert (first.version, second.version, engine.version) == (0, 5, 5)
    assert second.logprobs == pytest.approx(true_logprobs(model, ids, second.token_ids), abs=1e-5)


async def test_a_copy_follows_only_on_update(model):
    engine = TransformersEngine(model, STOP, max_context=64, copy_as=torch.float64)
    ids = [30, 31]
    before = true_logprobs(model, ids, [33])
    greedy = Sampling(temperature=0.0, max_new_tokens=1)
    first = await engine.generate("s", ids, greedy)
    with torch.no_grad():
        model.model.embed_tokens.weight.add_(torch.randn_like(model.model.embed_tokens.weight))
    unmoved = await engine.generate("t", ids, greedy)
    assert unmoved == first
    engine.update_weights(1)
    moved = await engine.generate("u", ids, greedy)
    assert moved.logprobs == pytest.approx(true_logprobs(model, ids, moved.token_ids), abs=1e-5)
    assert moved.logprobs != first.logprobs
    assert before != true_logprobs(model, ids, [33])
    engine.close()


async def test_cancelled_calls_leave_the_batch(model):
    engine = TransformersEngine(model, set(), max_context=400, max_batch=6)
    tasks = [asyncio.create_task(engine.generate(f"c{i}", [50 + i], Sampling(max_new_tokens=350))) for i in range(9)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    await engine.generate("after", [40], Sampling(max_new_tokens=1))
    assert engine._batch.active == 0
    assert not engine._served
    engine.close()


async def test_a_failing_model_fails_the_calls_and_not_the_engine(engine, model):
    forward = engine._batch.model.forward

    def broken(*_):
        raise RuntimeError("out of memory")

    engine._batch.model.forward = broken
    with pytest.raises(EngineError, match="out of memory"):
        await asyncio.gather(*(engine.generate(f"f{i}", [40], Sampling()) for i in range(3)))
    engine._batch.model.forward = forward
    done = await engine.generate("f0", [40, 41], Sampling(max_new_tokens=3))
    assert done.logprobs == pytest.approx(true_logprobs(model, [40, 41], done.token_ids), abs=1e-5)


def test_an_engine_outlives_an_event_loop(engine):
    async def one(name):
        return await engine.generate(name, [40, 41], Sampling(max_new_tokens=3))

    assert asyncio.run(one("a")).version == asyncio.run(one("b")).version


async def test_sliding_windows(make_model):
    layers = ["full_attention", "sliding_attention"]
    windowed = make_model(sliding_window=8, use_sliding_window=True, layer_types=layers, max_window_layers=1)
    engine = TransformersEngine(windowed, STOP, max_context=400)
    await asyncio.gather(*(play(engine, windowed, f"w{i}", random.Random(i), 2) for i in range(4)))
    engine.close()


def test_refuses_what_it_cannot_cache(model):
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(EngineError, match="linear_attention"):
        TransformersEngine(model, STOP, max_context=64)
