"""FEMBA to the number: parameters, tokens, masks, Mamba's layout, both directions, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import windows
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import softplus

from brainfm.backbones import BiMamba
from brainfm.backbones.bimamba import BiMambaBlock
from brainfm.card import UNIT
from brainfm.cli import main
from brainfm.contracts import Batch, Features, Tokens
from brainfm.errors import UsageError
from brainfm.evaluation.parameters import scans_of
from brainfm.heads import MambaHead
from brainfm.layers import scan
from brainfm.layers.mamba import Mamba, adapted, check_scans, kernels
from brainfm.learning.finetuned import Finetuned
from brainfm.learning.loop import Loop
from brainfm.learning.train import Train
from brainfm.objectives import Classification, MaskedRectangles
from brainfm.recordings.recipe import Recipe
from brainfm.recordings.synthetic import synthesise
from brainfm.stages.catalog import configs
from brainfm.stages.evaluate import _check_scans
from brainfm.stages.model import load_model
from brainfm.store.hold import create_store, writing
from brainfm.store.write import write_recording
from brainfm.tokenizers import Frozen, MontagePatches, Patches
from brainfm.tokenizers.montage_patches import TCP
from brainfm.weights import build, count_parameters, describe, load, load_card, save
from brainfm.windows.description import describe_view
from brainfm.windows.views import Native

# name → blocks, width, millions with decoder, millions with head (paper's table as computed)
SIZES = {
    "femba-tiny": (2, 35, 7.80, 8.33),
    "femba-base": (12, 35, 46.6, 47.15),
    "femba-large": (4, 79, 77.17, 77.82),
    "femba-huge": (20, 79, 385.5, 386.2),
}


def tiny(**options) -> MaskedRectangles:
    """A FEMBA for the windows of `eeg`, with fewer features."""
    torch.manual_seed(0)
    tokenizer = MontagePatches(4, **options)
    return MaskedRectangles(tokenizer, BiMamba(tokenizer.dim, depth=1, d_state=4, expand=1))


def eeg(n: int = 2, seed: int = 0) -> Batch:
    return windows(n, n_channels=22, n_times=1280, sfreq=256.0, seed=seed)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_the_published_ones(name):
    depth, width, with_decoder, with_head = SIZES[name]
    with torch.device("meta"):
        objective = load_model(configs() / "models" / f"{name}.yaml").build(0)
        head = MambaHead(objective.backbone.dim, 1)
    assert isinstance(objective, MaskedRectangles)
    assert (len(objective.backbone.blocks), objective.tokenizer.width) == (depth, width)
    assert objective.tokenizer.dim == 11 * width
    total = count_parameters(objective)
    assert total / 1e6 == pytest.approx(with_decoder, rel=0.005)
    encoder = total - count_parameters(objective.decoder)
    assert (encoder + count_parameters(head)) / 1e6 == pytest.approx(with_head, rel=0.005)


def test_tiny_is_shown(capsys):
    assert main(["show", "femba-tiny", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["parameters"] == 7_797_177
    assert shown["tokens"] == shown["features"] == [80, 385]
    assert shown["window"] == {"seconds": 5, "channels": 22, "sfreq": 256}


class TestMamba:
    def test_names_and_shapes_are_mamba_ssm_s(self):
        d_model, inner, rank = 40, 80, 3  # rank = ceil(40 / 16)
        assert {k: tuple(v.shape) for k, v in Mamba(d_model).state_dict().items()} == {
            "in_proj.weight": (2 * inner, d_model),
            "conv1d.weight": (inner, 1, 4),
            "conv1d.bias": (inner,),
            "x_proj.weight": (rank + 2 * 16, inner),
            "dt_proj.weight": (inner, rank),
            "dt_proj.bias": (inner,),
            "A_log": (inner, 16),
            "D": (inner,),
            "out_proj.weight": (d_model, inner),
        }

    def test_starts_as_the_paper_says(self):
        torch.manual_seed(0)
        mixer = Mamba(256, expand=4)
        torch.testing.assert_close(mixer.A_log.exp(), torch.arange(1.0, 17).expand(1024, 16))
        assert torch.equal(mixer.D, torch.ones(1024))
        assert mixer.dt_proj.weight.abs().max() <= 16**-0.5
        step = softplus(mixer.dt_proj.bias.detach())
        assert 9.9e-4 < step.min() < 1.5e-3
        assert 0.07 < step.max() < 0.101
        # evenly over the logarithm, whose middle is 0.01
        assert float(step.log().mean().exp()) == pytest.approx(0.01, rel=0.1)

    def test_is_the_layer_written_out_step_by_step(self):
        torch.manual_seed(0)
        mixer = Mamba(24, d_state=5, expand=3).double()
        for parameter in mixer.parameters():
            nn.init.normal_(parameter, std=0.3)
        x = torch.randn(2, 9, 24, dtype=torch.float64)
        torch.testing.assert_close(mixer(x), self.by_hand(mixer, x), rtol=1e-6, atol=1e-8)

    def by_hand(self, mixer: Mamba, x: Tensor) -> Tensor:
        """Run one moment at a time with the state that a streaming Mamba keeps."""
        rank, states, inner = 2, 5, 72
        A = -torch.exp(mixer.A_log)
        taps = torch.zeros(len(x), inner, 4, dtype=x.dtype)
        h = torch.zeros(len(x), inner, states, dtype=x.dtype)
        made = []
        for now in x.unbind(1):
            signal, gate = (now @ mixer.in_proj.weight.T).split(inner, -1)
            taps = torch.cat([taps[..., 1:], signal[..., None]], -1)
            u = (taps * mixer.conv1d.weight[:, 0]).sum(-1) + mixer.conv1d.bias
            u = u * u.sigmoid()
            low, B, C = (u @ mixer.x_proj.weight.T).split([rank, states, states], -1)
            step = softplus(low @ mixer.dt_proj.weight.T + mixer.dt_proj.bias)
            h = torch.exp(step[..., None] * A) * h + (step * u)[..., None] * B[:, None]
            y = (h * C[:, None]).sum(-1) + mixer.D * u
            made.append(y * gate * gate.sigmoid() @ mixer.out_proj.weight.T)
        return torch.stack(made, 1)

    def test_says_which_scan_ran_and_refuses_one_that_cannot(self, monkeypatch):
        mixer, x = Mamba(16, scan="torch"), torch.zeros(1, 3, 16)
        assert kernels(mixer) == []
        mixer(x)
        assert kernels(nn.ModuleList([mixer, Mamba(16)])) == ["torch"]
        mixer.scan = "reference"
        mixer(x), mixer(x)
        assert mixer.kernels == ("torch", "reference")
        monkeypatch.setattr(scan, "_has", lambda package: False)
        for backend in ("numba", "cuda"):
            named = Mamba(16, scan=backend)
            with pytest.raises(UsageError, match="cannot run"):
                named(x)
        automatic = Mamba(16)
        automatic(x)
        assert kernels(automatic) == ["torch"]

    def test_a_path_of_another_device_is_lent_one_of_this(self, monkeypatch):
        monkeypatch.setattr(scan, "_has", lambda package: package == "mamba_ssm")
        model, x = nn.ModuleList([Mamba(16, scan="cuda"), Mamba(16, scan="reference")]), torch.zeros
        with adapted(model, "cpu"):
            for mixer in model:
                mixer(x(1, 3, 16))
        assert kernels(model) == ["reference", "torch"]
        assert [mixer.scan for mixer in model] == ["cuda", "reference"]
        check_scans(model, "cuda")
        with pytest.raises(UsageError, match="'cuda' cannot run on 'cpu'"):
            check_scans(model, "cpu")

    @pytest.mark.parametrize("backend", ["numba", "cuda"])
    def test_a_checkpoint_loads_where_the_path_it_was_trained_on_is_not(
        self, backend, monkeypatch, tmp_path
    ):
        torch.manual_seed(0)
        backbone, head = BiMamba(16, depth=1, scan=backend), MambaHead(16, 2, width=8, scan=backend)
        given = tokens(torch.randn(2, 7, 16))
        monkeypatch.setattr(scan, "_has", lambda package: False)
        with adapted(backbone, "cpu"), adapted(head, "cpu"):
            wanted = head(backbone(given))
        for name, part in (("backbone", backbone), ("head", head)):
            save(part, tmp_path / name, {})
            assert load_card(tmp_path / name)["architecture"]["init_args"]["scan"] == "auto"
        ours, ours_head = (load(tmp_path / name)[0] for name in ("backbone", "head"))
        torch.testing.assert_close(ours_head(ours(given)), wanted, rtol=0, atol=0)

    def test_a_card_that_names_a_path_is_read_without_it(self, monkeypatch):
        monkeypatch.setattr(scan, "_has", lambda package: False)
        spec = describe(BiMamba(16, depth=1))
        spec["init_args"]["scan"] = "numba"  # as earlier versions wrote it
        assert build(spec).scan == "auto"

    @pytest.mark.gpu
    def test_takes_mamba_ssm_s_weights(self):
        peer_module = pytest.importorskip("mamba_ssm")
        peer = peer_module.Mamba(64).cuda()
        ours = Mamba(64, scan="torch").cuda()
        ours.load_state_dict(peer.state_dict())
        x = torch.randn(2, 100, 64, device="cuda")
        torch.testing.assert_close(ours(x), peer(x), rtol=1e-4, atol=1e-5)


class TestBiMamba:
    def block(self, merge: str = "add", *, tied: bool = False) -> BiMambaBlock:
        torch.manual_seed(0)
        block = BiMambaBlock(16, d_state=4, expand=2, merge=merge).double()
        if tied:
            block.backwards.load_state_dict(block.forwards.state_dict())
        return block

    @pytest.mark.parametrize("merge", ["add", "multiply"])
    def test_with_tied_weights_time_may_run_backwards(self, merge):
        x = torch.randn(2, 33, 16, dtype=torch.float64)
        tied = self.block(merge, tied=True)
        torch.testing.assert_close(tied(x.flip(1)), tied(x).flip(1), rtol=0, atol=1e-14)
        free = self.block(merge)
        assert not torch.allclose(free(x.flip(1)), free(x).flip(1), atol=1e-3)

    def test_the_block_is_its_formula(self):
        block, x = self.block(), torch.randn(2, 20, 16, dtype=torch.float64)
        ahead, back = block.forwards(x), block.backwards(x.flip(1)).flip(1)
        torch.testing.assert_close(block(x), block.norm(x + ahead + back))
        torch.testing.assert_close(self.block("multiply")(x), block.norm(x + ahead * back))

    def test_every_token_sees_every_other(self):
        x = torch.randn(1, 40, 16, dtype=torch.float64, requires_grad=True)
        for token in (0, 39):
            (grad,) = torch.autograd.grad(self.block()(x)[0, token].square().sum(), x)
            assert (grad.abs().amax(-1) > 0).all()

    def test_padding_may_stand_anywhere_and_hold_anything(self):
        torch.manual_seed(0)
        backbone, head = BiMamba(16, depth=2, d_state=4, expand=2), MambaHead(16, 3, width=32)
        real = torch.tensor([[1, 1, 0, 1, 0, 1, 1], [0, 0, 1, 1, 1, 0, 0]], dtype=torch.bool)
        whole = tokens(torch.randn(2, 7, 16), real)
        for rubbish in (1e3, torch.inf):
            value = whole.value.masked_fill(~real[..., None], rubbish)
            made = backbone(replace(whole, value=value), layers=True)
            for row in range(2):
                alone = tokens(whole.value[row : row + 1, real[row]])
                wanted = backbone(alone, layers=True)
                for a, b in zip(made.layers, wanted.layers, strict=True):
                    torch.testing.assert_close(a[row, real[row]], b[0])
                given = Features(made.value[row : row + 1], real[row : row + 1])
                if rubbish != torch.inf:
                    torch.testing.assert_close(head(given), head(wanted))

    def test_a_quarter_of_an_hour_of_one_channel_in_one_window(self):
        """The hour is `benchmarks/bimamba.py`; cost is linear, so this shows that the parts join."""
        torch.manual_seed(0)
        tokenizer = Patches(16, n_samples=20)
        backbone = BiMamba(16, depth=1, d_state=4, expand=2)
        window = windows(1, n_channels=1, n_times=15 * 60 * 200)
        made = backbone(tokenizer(window))
        assert made.value.shape == (1, 9000, 16)
        made.pooled().square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in backbone.parameters())


def tokens(value: Tensor, mask: Tensor | None = None) -> Tokens:
    shape = value.shape[:2]
    return Tokens(
        value=value,
        code=None,
        time=torch.zeros(shape),
        channel=torch.zeros(shape, dtype=torch.long),
        position=torch.zeros(*shape, 3),
        kind=torch.zeros(shape, dtype=torch.long),
        mask=torch.ones(shape, dtype=torch.bool) if mask is None else mask,
    )


class TestMontagePatches:
    def test_eighty_tokens_that_join_the_rows_of_rectangles(self):
        torch.manual_seed(0)
        tokenizer = MontagePatches()
        assert torch.equal(tokenizer.position, torch.zeros(1, 80, 385))
        made = tokenizer(eeg())
        assert made.value.shape == (2, 80, 385)
        window, kernel, bias = tokenizer.normalise(eeg()), *tokenizer.embed.parameters()
        for token, feature, row in (
            (0, 0, 0),
            (79, 34, 10),
            (17, 5, 3),
        ):  # index = feature·11 + row
            piece = window[1, 2 * row : 2 * row + 2, 16 * token : 16 * token + 16]
            wanted = (piece * kernel[feature, 0]).sum() + bias[feature]
            torch.testing.assert_close(made.value[1, token, feature * 11 + row], wanted)
        torch.testing.assert_close(made.time[0, :3], torch.tensor([0, 1 / 16, 2 / 16]))

    def test_iqr_takes_the_quartiles_to_0_and_1_whatever_the_amplifier(self):
        tokenizer = MontagePatches(1)
        made = tokenizer.normalise(eeg())
        quartiles = np.quantile(made, [0.25, 0.75], axis=-1)
        np.testing.assert_allclose(quartiles[0], 0, atol=1e-5)
        np.testing.assert_allclose(quartiles[1], 1, atol=1e-5)
        louder = replace(eeg(), signal=7 * eeg().signal)
        torch.testing.assert_close(tokenizer.normalise(louder), made, rtol=1e-4, atol=1e-4)

    def test_fixed_takes_20_microvolts_to_0_and_1(self):
        tokenizer = MontagePatches(1, normalisation="fixed")
        given = replace(eeg(), signal=torch.tensor([-20e-6, 0.0, 20e-6, 60e-6]).repeat(2, 22, 320))
        wanted = torch.tensor([0, 0.5, 1, 2]).repeat(2, 22, 320)
        torch.testing.assert_close(tokenizer.normalise(given), wanted)

    def test_the_montage_is_temple_s_in_the_order_of_pretraining(self):
        assert len(TCP) == len(set(TCP)) == 22
        assert TCP[-2:] == ("A1-T7", "T8-A2")
        assert (TCP[8], TCP[13]) == ("T7-C3", "F3-C3")

    @pytest.mark.parametrize(
        "given",
        [
            windows(1, n_channels=20, n_times=1280, sfreq=256.0),
            windows(1, n_channels=22, n_times=1000, sfreq=200.0),
            windows(1, n_channels=22, n_times=1280, sfreq=250.0),
        ],
        ids=["channels", "length", "rate"],
    )
    def test_other_windows_are_refused(self, given):
        with pytest.raises(
            UsageError, match=r"knows exactly 22 \(Fp1-F7 … T8-A2\) × 1280 at 256 Hz"
        ):
            MontagePatches(1)(given)

    def test_other_channels_are_refused_by_name_before_data_is_read(self):
        for tokenizer in (MontagePatches(1), Frozen(MontagePatches(1))):
            tokenizer.check_channels([name.title() for name in TCP], "a")
            swapped = (TCP[1], TCP[0], *TCP[2:])
            for names in (swapped, TCP[:20], ("Fp1", "Fp2")):
                with pytest.raises(
                    UsageError, match=f"The recording 1 has the {len(names)} channels"
                ):
                    tokenizer.check_channels(names, "The recording 1")
        Patches().check_channels(("anything",), "a")

    def test_rectangles_that_do_not_fill_the_window_are_refused(self):
        for options in ({"ch_names": TCP[:21]}, {"n_times": 1281}):
            with pytest.raises(UsageError, match="do not fill"):
                MontagePatches(1, **options)


class TestMaskedRectangles:
    def test_528_of_880_rectangles_are_hidden(self):
        hidden = tiny().hidden(eeg(3), torch.Generator().manual_seed(0))
        assert hidden.sum((1, 2)).tolist() == [16_896] * 3
        rectangles = hidden[0].reshape(11, 2, 80, 16).transpose(1, 2).flatten(2)
        assert int(rectangles.all(-1).sum()) == int(rectangles.any(-1).sum()) == 528
        assert torch.equal(hidden[0], hidden[2])

    def test_windows_may_have_patterns_of_their_own(self):
        objective = MaskedRectangles(tiny().tokenizer, tiny().backbone, pattern="window")
        hidden = objective.hidden(eeg(), torch.Generator().manual_seed(0))
        assert hidden.sum((1, 2)).tolist() == [16_896] * 2
        assert not torch.equal(hidden[0], hidden[1])

    def test_the_loss_is_smooth_l1_on_hidden_samples_that_the_model_cannot_see(self):
        objective = tiny().eval()
        given, drawn = eeg(), []
        objective.decoder.register_forward_hook(lambda *call: drawn.append(call[-1]))
        terms = objective(given, torch.Generator().manual_seed(3))
        hidden = objective.hidden(given, torch.Generator().manual_seed(3))
        window = objective.tokenizer.normalise(given)
        error = (drawn[0] - window)[hidden].abs()
        wanted = torch.where(error < 1, 0.5 * error.square(), error - 0.5).mean()
        torch.testing.assert_close(terms["loss"], wanted)
        # Only hidden samples change, and not the quartiles, so that the model sees the same.
        fixed = tiny(normalisation="fixed").eval()
        fixed.decoder.register_forward_hook(lambda *call: drawn.append(call[-1]))
        other = replace(given, signal=torch.where(hidden, 3 * given.signal, given.signal))
        losses = [
            fixed(x, torch.Generator().manual_seed(3))["loss"].detach() for x in (given, other)
        ]
        assert torch.equal(drawn[-1], drawn[-2])
        assert losses[0] != losses[1]

    def test_the_decoder_s_layout_is_the_encoder_s(self):
        """Feature e of row h at token k draws the rectangle (h, k)."""
        decoder = tiny().decoder
        nn.init.dirac_(decoder.smooth.weight)
        nn.init.zeros_(decoder.draw.bias)
        value = torch.zeros(1, 80, 44)
        value[0, 7, 3 * 11 + 5] = 1
        drawn = decoder(value, 22)[0].reshape(11, 2, 80, 16)
        torch.testing.assert_close(drawn[5, :, 7], decoder.draw.weight[3, 0])
        assert int(drawn.count_nonzero()) == int(drawn[5, :, 7].count_nonzero())
        assert decoder.smooth.weight.shape == (1, 1, 31, 31)
        assert decoder.smooth.bias is None

    def test_what_does_not_fit_is_refused(self):
        tokenizer = MontagePatches(4)
        for wrong in ((Patches(64), BiMamba(64)), (tokenizer, None), (tokenizer, BiMamba(64))):
            with pytest.raises(UsageError, match="MaskedRectangles"):
                MaskedRectangles(*wrong)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A small store of recordings with the same channels, and their names."""
    path, recipe = tmp_path_factory.mktemp("femba") / "s.zarr", Recipe()
    create_store(path, recipe.preprocessing, recipe.preprocessing_hash)
    with writing(path):
        for recording in synthesise(3, seconds=6.0):
            write_recording(path, recording, "0" * 64)
    return path, list(recording.sensors.names)


def pretraining(recorded: tuple[Path, list[str]], out: Path, **options) -> list[str]:
    """Write the configuration of a small pretraining and return the call."""
    store, names = recorded
    fits = {"width": 2, "ch_names": names, "n_times": 320, "sfreq": 200.0, "patch": [1, 16]}
    model = {
        "tokenizer": {"class_path": "MontagePatches", "init_args": fits | options},
        "backbone": {"class_path": "BiMamba", "init_args": {"depth": 1, "d_state": 4, "expand": 1}},
        "objective": "MaskedRectangles",
    }
    train = {"steps": 3, "batch_size": 2, "warmup": 1, "validate_every": 3, "accelerator": "cpu"}
    data = {"store": str(store), "seconds": 1.6, "validation": 0.3}
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({"model": model, "data": data, "train": train}))
    return ["pretrain", "--config", str(config), "--out", str(out)]


@pytest.mark.parametrize(
    ("backend", "accelerator", "device"), [("cuda", "cpu", "cpu"), ("numba", "gpu", "cuda")]
)
def test_a_scan_that_cannot_run_is_said_before_any_data(
    tmp_path, capsys, monkeypatch, backend, accelerator, device
):
    monkeypatch.setattr(scan, "_has", lambda package: True)
    call = pretraining((tmp_path / "no.zarr", ["Cz"] * 3), tmp_path / "run")
    call += ["--model.backbone.scan", backend, "--train.accelerator", accelerator]
    assert main(call) == 2
    assert f"The scan {backend!r} cannot run on {device!r}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_training_on_a_gpu_is_rehearsed_on_the_processor(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(scan, "_has", lambda package: package == "mamba_ssm")
    met: list[Any] = []

    def fit(objective, batches, **options):
        mixers = [m for m in objective.modules() if isinstance(m, Mamba)]
        met.extend((m.scan, m.kernels) for m in mixers)

    monkeypatch.setattr("brainfm.stages.pretrain.fit", fit)
    call = pretraining(recorded, tmp_path / "run")
    call += ["--model.backbone.scan", "cuda", "--train.accelerator", "gpu"]
    assert main(call) == 0
    assert met == [("cuda", ())] * 2


def test_a_head_s_scan_is_refused_before_any_data(tmp_path):
    save(tiny(), tmp_path / "model", {})
    estimator = Finetuned(
        tmp_path / "model", head=partial(MambaHead, scan="numba"), train=Train(accelerator="gpu")
    )
    with pytest.raises(UsageError, match="'numba' cannot run on 'cuda'"):
        estimator.check_scans()
    with pytest.raises(UsageError, match="'numba' cannot run on 'cuda'"):
        _check_scans({"a": make_pipeline(StandardScaler(), estimator)})
    estimator.set_params(train=Train(accelerator="cpu"), head=partial(MambaHead, scan="torch"))
    estimator.check_scans()


def test_a_fitted_head_says_which_scan_it_took(tmp_path):
    card = {"sfreq": 256.0, "unit": UNIT, "kinds": ["eeg"], "view": describe_view(Native())}
    about = {"data": {"subjects": [], "fingerprints": []}, "seed": 0, "licence": "CC0"}
    save(tiny(), tmp_path / "model", card | about | {"preprocessing_hash": "0"})
    windows, y = np.asarray(eeg(4).signal), np.array(["a", "b"] * 2)
    fitted = Finetuned(
        tmp_path / "model",
        head=partial(MambaHead, width=8, scan="reference"),
        train=Train(steps=1, batch_size=2, warmup=1, validate_every=0, accelerator="cpu"),
        sfreq=256.0,
    ).fit(windows, y)
    assert scans_of(make_pipeline(fitted)) == sorted({"reference", scan.running("auto", "cpu")})


def test_a_run_goes_on_with_another_path_and_says_so(recorded, tmp_path, capsys, monkeypatch):
    call = [*pretraining(recorded, tmp_path / "run"), "--train.checkpoint_every", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "on_train_batch_start", lambda loop, *_: loop.ask_to_stop())
        assert main([*call, "--model.backbone.scan", "reference"]) == 143
    assert main([*call, "--model.backbone.scan", "torch"]) == 0
    said = capsys.readouterr().err
    assert "goes on with the scan torch; before, it took reference." in said
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["kernels"] == ["reference", "torch"]


def test_recordings_train_it_and_the_manifest_says_which_scan_ran(recorded, tmp_path):
    assert main(pretraining(recorded, tmp_path / "run")) == 0
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["kernels"] == [scan.running("auto", "cpu")]
    model, card = load(tmp_path / "run")
    assert isinstance(model, MaskedRectangles)
    assert model.tokenizer.ch_names == tuple(recorded[1])
    assert card["sfreq"] == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda names: {"ch_names": [names[1], names[0], *names[2:]]}, "in this order"),
        (lambda names: {"ch_names": names[:-1]}, "knows exactly"),
        (lambda names: {"sfreq": 256.0}, "256 Hz"),
        (lambda names: {"n_times": 640}, "× 640 at 200 Hz"),
    ],
    ids=["order", "number", "rate", "length"],
)
def test_recordings_that_do_not_fit_are_refused(recorded, tmp_path, capsys, change, words):
    call = pretraining(recorded, tmp_path / "run", **change(recorded[1]))
    assert main(call) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_classification_hides_nothing():
    torch.manual_seed(0)
    objective, given = tiny().eval(), eeg()
    whole = objective.tokenizer.tokens(objective.tokenizer.normalise(given), given).value
    assert torch.equal(objective.tokenizer(given).value, whole)
    nothing = torch.zeros_like(given.signal, dtype=torch.bool)
    seen = objective.tokenizer.normalise(given).masked_fill(nothing, 0.0)
    assert torch.equal(objective.tokenizer.tokens(seen, given).value, whole)


def test_a_class_is_learned_through_the_head():
    torch.manual_seed(0)
    objective = tiny()
    model = Classification(objective.tokenizer, objective.backbone, MambaHead(44, 2, width=32))
    assert model.scores(eeg(3)).shape == (3, 2)
    assert describe(model)["init_args"]["head"]["init_args"]["width"] == 32


class TestPatches:
    def test_a_token_is_a_linear_map_of_its_piece(self):
        tokenizer = Patches(8, n_samples=50)
        given = windows(2, n_channels=3, n_times=200)
        made = tokenizer(given)
        scale = torch.quantile(given.signal[1, 2].abs(), 0.95)
        wanted = tokenizer.embed(given.signal[1, 2, 50:100] / scale)
        torch.testing.assert_close(made.value[1, 2 * 4 + 1], wanted)
        assert (made.channel[1, 9], made.time[1, 9]) == (2, 0.25)
        torch.testing.assert_close(
            made.value, tokenizer(replace(given, signal=1e6 * given.signal)).value
        )

    def test_a_rest_is_refused(self):
        with pytest.raises(UsageError, match="no whole number of pieces"):
            Patches(8, n_samples=60)(windows(1, n_times=200))
