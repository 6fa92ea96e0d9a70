"""The heads against their papers, and against what each formula says when it is written out."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.functional import layer_norm

from brainfm.backbones import MotifEncoder
from brainfm.contracts import Features, Head
from brainfm.errors import UsageError
from brainfm.heads import AttentionPooling, LatentFusionHead, LinearHead, MambaHead, StampHead
from brainfm.heads.stamp import RESIDUAL, MultiHeadPooling, SpatialGate
from brainfm.layers.flops import count_flops
from brainfm.layers.grid import on_grid
from brainfm.learning.adaptation import adaptation_of
from brainfm.weights import count_parameters

ROOT = Path(__file__).parents[1]

DIM, N_CHANNELS, N_STEPS = 6, 3, 4


def features(n: int = 2, *, n_channels: int = N_CHANNELS, n_steps: int = N_STEPS) -> Features:
    """Tokens through time first, then through channels, half a second each."""
    torch.manual_seed(0)
    shape = (n, n_channels * n_steps)
    index = torch.arange(shape[1]).expand(shape)
    return Features(
        torch.randn(*shape, DIM),
        torch.ones(shape, dtype=torch.bool),
        time=0.5 * (index % n_steps).float(),
        channel=index // n_steps,
    )


def shuffled(given: Features) -> Features:
    order = torch.randperm(given.mask.shape[1], generator=torch.Generator().manual_seed(1))
    parts = {k: getattr(given, k)[:, order] for k in ("value", "mask", "time", "channel")}
    return replace(given, **parts)


def stamp(n_outputs: int = 2) -> StampHead:
    torch.manual_seed(0)
    head = StampHead(
        DIM, n_outputs, n_channels=N_CHANNELS, n_steps=N_STEPS, seconds=0.5, width=16, depth=2
    )
    return head.eval()


@pytest.mark.parametrize(
    ("n_channels", "n_steps", "n_outputs", "parameters"),
    [
        (32, 4, 1, 730_401),  # SHU-MI
        (20, 5, 1, 720_401),  # mental arithmetic
        (22, 4, 4, 719_988),  # BCI competition IV 2a
        (64, 4, 4, 776_100),  # PhysioNet-MI
        (19, 5, 1, 719_313),  # Mumtaz2016
        (62, 1, 5, 748_581),  # SEED-V
        (16, 5, 6, 716_790),  # TUEV
        (32, 10, 9, 757_497),  # FACED
    ],
)
def test_stamp_has_the_paper_s_parameters(
    n_channels: int, n_steps: int, n_outputs: int, parameters: int
) -> None:
    head = StampHead(1024, n_outputs, n_channels=n_channels, n_steps=n_steps)
    assert count_parameters(head) == parameters


def written(table: str) -> dict[str, str]:
    """Return what docs/heads.md says that each thing of a table trains, its last column."""
    text = (ROOT / "docs" / "heads.md").read_text()
    rows = text.split(f"\n| `{table}` |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {row[0].strip("`"): row[-1] for row in cells}


@pytest.fixture(scope="module")
def quickstart():
    """The backbone that the quickstart pretrains."""
    run = yaml.safe_load((ROOT / "configs" / "runs" / "quickstart-pretrain.yaml").read_text())
    named = run["model"]["backbone"]
    assert named["class_path"] == "MotifEncoder"
    return MotifEncoder(64, **named["init_args"])


def test_the_docs_say_what_each_head_trains(quickstart) -> None:
    dim, shape = quickstart.dim, {"n_channels": 19, "n_steps": 9}
    built = {
        "LinearHead": LinearHead(dim, 2),
        "AttentionPooling": AttentionPooling(dim, 2),
        "MambaHead": MambaHead(dim, 2),
        "StampHead": StampHead(dim, 2, **shape),
        # Five pools of one second, sixteen tokens each, six kinds of event.
        "LatentFusionHead": LatentFusionHead(20 * 128, 6, n_layers=20, n_pools=5),
    }
    said = written("head")
    assert said.keys() == built.keys()
    assert {
        k.__name__ for k in Head.__subclasses__() if k.__module__.startswith("brainfm.")
    } == set(built)
    for name, head in built.items():
        count = count_parameters(head)
        in_words = f"{count / 1e6:.2f} M at the paper's sizes"
        assert said[name] == (in_words if name == "LatentFusionHead" else f"{count:,}"), name


def test_the_docs_say_what_each_adaptation_trains(quickstart) -> None:
    pytest.importorskip("peft", reason="peft is not installed")
    counts = {}
    for word in written("adaptation"):
        adaptation = adaptation_of(word.strip("`"))
        backbone = copy.deepcopy(quickstart)
        adaptation.open(backbone)
        counts[word] = count_parameters(backbone) + count_parameters(LinearHead(backbone.dim, 2))
    assert {k: f"{v:,}" for k, v in counts.items()} == written("adaptation")
    assert len(counts) == 4


def test_a_grid_is_read_by_time_and_channel_and_not_by_order() -> None:
    given = features()
    size = {"n_channels": N_CHANNELS, "n_steps": N_STEPS, "seconds": 0.5, "asker": "A test"}
    grid = on_grid(given, **size)
    for token in range(given.mask.shape[1]):
        step, channel = int(given.time[0, token] * 2), int(given.channel[0, token])
        torch.testing.assert_close(grid[:, step, channel], given.value[:, token])
    torch.testing.assert_close(on_grid(shuffled(given), **size), grid, rtol=0, atol=0)


def test_stamp_s_gates_pass_half_the_features_as_they_are_at_the_start() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, N_STEPS, N_CHANNELS, 2 * DIM)
    for axis, length in ((1, N_STEPS), (2, N_CHANNELS)):
        gate = SpatialGate(DIM, length, axis=axis)
        torch.testing.assert_close(gate(x), x[..., :DIM], rtol=1e-4, atol=1e-4)
        with torch.no_grad():
            gate.mix.weight.normal_()
        mixed = layer_norm(x[..., DIM:], (DIM,))
        names = "ts, bscd -> btcd" if axis == 1 else "ts, bcsd -> bctd"
        mixed = torch.einsum(names, gate.mix.weight, mixed) + 1
        torch.testing.assert_close(gate(x), x[..., :DIM] * mixed)


def test_stamp_s_pooling_is_the_mean_over_queries_and_differs_in_training() -> None:
    torch.manual_seed(0)
    pool, x = MultiHeadPooling(8, heads=2, n_queries=3, dropout=0.3).eval(), torch.randn(2, 5, 8)
    heads = []
    for head, key in enumerate(pool.key(x).chunk(2, -1)):
        attention = (pool.queries[head] @ key.mT / 4**0.5).softmax(-1)
        heads.append((attention @ key).mean(1))
    wanted = pool.out(torch.cat(heads, -1)) + RESIDUAL * x.mean(1)
    torch.testing.assert_close(pool(x), wanted)
    assert not torch.allclose(pool.train()(x), wanted, atol=1e-3)


def test_stamp_normalises_each_feature_over_the_tokens_of_its_window() -> None:
    head, given = stamp(), features()
    moved = replace(given, value=3 * given.value + torch.arange(2.0).view(2, 1, 1))
    torch.testing.assert_close(head(moved), head(given), rtol=1e-3, atol=1e-4)
    louder = given.value.clone()
    louder[:, 0] *= 3
    assert not torch.allclose(head(replace(given, value=louder)), head(given), atol=1e-4)


def test_stamp_knows_channels_and_times_by_their_place() -> None:
    head, given = stamp(), features()
    torch.testing.assert_close(head(shuffled(given)), head(given), rtol=0, atol=0)
    with torch.no_grad():
        for block in head.blocks:
            block.along_time.mix.weight.normal_()
            block.along_channels.mix.weight.normal_()
    for name in ("channel", "time"):
        value = getattr(given, name)
        swapped = replace(given, **{name: value.max() - value})
        assert not torch.allclose(head(swapped), head(given), atol=1e-4), name


def test_stamp_refuses_what_does_not_fill_its_grid() -> None:
    head, given = stamp(), features()
    with pytest.raises(UsageError, match="does not say"):
        head(replace(given, channel=None))
    with pytest.raises(UsageError, match=r"3 channels and 4 steps of 0.5 s"):
        head(features(n_channels=N_CHANNELS + 1))
    with pytest.raises(UsageError, match="placed otherwise"):
        head(replace(given, time=2 * given.time))
    hidden = given.mask.clone()
    hidden[0, 0] = False
    with pytest.raises(UsageError, match="set `n_channels`"):
        head(replace(given, mask=hidden))
    with pytest.raises(UsageError, match="multiple of 4"):
        StampHead(DIM, 2, n_channels=2, n_steps=2, width=30)
    with pytest.raises(UsageError, match="built for one"):
        StampHead(DIM, 2, n_channels=1, n_steps=1)


def test_attention_pooling_is_attention_of_learned_queries() -> None:
    torch.manual_seed(0)
    head, given = AttentionPooling(DIM, 3, n_queries=2, width=8, heads=2), features()
    x = layer_norm(given.value, (DIM,))
    query = head.attention.query(head.queries)
    answers = []
    for place in (slice(0, 4), slice(4, 8)):
        key, value = head.attention.key(x)[..., place], head.attention.value(x)[..., place]
        answers.append((query[:, place] @ key.mT / 4**0.5).softmax(-1) @ value)
    found = head.attention.out(torch.cat(answers, -1))
    torch.testing.assert_close(head(given), head.linear(found.flatten(1)))
    with pytest.raises(UsageError, match="multiple of 3"):
        AttentionPooling(DIM, 3, width=8, heads=3)


def test_attention_pooling_finds_the_one_token_that_tells() -> None:
    """The mean dilutes a mark on one of many tokens; learned queries do not."""
    generator = torch.Generator().manual_seed(0)
    n, n_tokens = 64, 40
    value = torch.randn(n, n_tokens, DIM, generator=generator)
    label = torch.arange(n) % 2
    place = torch.randint(n_tokens, (n,), generator=generator)
    value[torch.arange(n), place] = torch.tensor([6.0, 0, 0, 0, 0, 0])
    value[torch.arange(n), place, 1] = 6.0 * (2 * label - 1)
    given = Features(value, torch.ones(n, n_tokens, dtype=torch.bool))
    train, test = slice(0, 32), slice(32, 64)
    torch.manual_seed(0)
    head = AttentionPooling(DIM, 2, n_queries=1, width=16, heads=1)
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(150):
        part = Features(given.value[train], given.mask[train])
        loss = torch.nn.functional.cross_entropy(head(part), label[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scores = head(Features(given.value[test], given.mask[test]))
    assert float((scores.argmax(1) == label[test]).float().mean()) > 0.9


def test_operations_of_a_head_with_learned_tokens_are_counted() -> None:
    head, given = AttentionPooling(DIM, 2, n_queries=1, width=8, heads=1).eval(), features(1)
    with torch.no_grad():
        flops = count_flops(lambda: head(given))[1]
    n = N_CHANNELS * N_STEPS
    maps = 8 * 8 + 2 * n * DIM * 8 + 8 * 8 + 8 * 2  # query, keys and values, out, scores
    assert 2 * maps <= flops <= 2 * (maps + 2 * n * 8)  # not every kernel of attention is counted
