"""Released weights load under our names, and compute what the released code computes with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import windows
from safetensors.torch import save_file
from torch.nn.functional import conv2d, conv_transpose2d

from brainfm.backbones import BiMamba, MotifEncoder
from brainfm.errors import UsageError
from brainfm.heads import MambaHead
from brainfm.objectives import Classification, MaskedRectangles
from brainfm.released import femba, read_released, take, tfm_encoder, tfm_tokenizer
from brainfm.tokenizers import MontagePatches, MotifTokenizer

# Names and shapes as the released code makes them, at E = 3, N = 2, the layout of mamba_ssm inside.
D, INNER = 33, 132
MAMBA = {
    "A_log": (INNER, 16), "D": (INNER,), "in_proj.weight": (2 * INNER, D),
    "conv1d.weight": (INNER, 1, 4), "conv1d.bias": (INNER,), "x_proj.weight": (3 + 32, INNER),
    "dt_proj.weight": (INNER, 3), "dt_proj.bias": (INNER,), "out_proj.weight": (D, INNER),
}  # fmt: skip
FEMBA = {
    "pos_embed": (1, 80, D),
    "patch_embed.proj.weight": (3, 1, 2, 16),
    "patch_embed.proj.bias": (3,),
    **{
        f"mamba_blocks.{i}.mamba_{way}.{name}": shape
        for i in range(2)
        for way in ("fwd", "rev")
        for name, shape in MAMBA.items()
    },
    **{f"norm_layers.{i}.{n}": (D,) for i in range(2) for n in ("weight", "bias")},
    "decoder.dec_conv.weight": (1, 1, 31, 31),
    "decoder.conv_transpose.weight": (3, 1, 2, 16),
    "decoder.conv_transpose.bias": (1,),
}


def layers(prefix: str, depth: int, dim: int = 64) -> dict[str, tuple[int, ...]]:
    """Return what linear-attention-transformer 0.19.1 calls its parameters."""
    linear = {"0.fn.to_q.weight": (dim, dim), "0.fn.to_k.weight": (dim, dim)}
    linear |= {"0.fn.to_v.weight": (dim, dim), "0.fn.to_out.weight": (dim, dim)}
    linear |= {"0.fn.to_out.bias": (dim,), "1.fn.w1.weight": (4 * dim, dim)}
    linear |= {"1.fn.w1.bias": (4 * dim,), "1.fn.w2.weight": (dim, 4 * dim)}
    linear |= {"1.fn.w2.bias": (dim,)}
    norms = {f"{i}.norm.{n}": (dim,) for i in (0, 1) for n in ("weight", "bias")}
    return {
        f"{prefix}.layers.layers.{i}.{k}": v
        for i in range(depth)
        for k, v in (linear | norms).items()
    }


def convolutions(prefix: str, kernels: list[tuple[int, int, int]]) -> dict[str, tuple[int, ...]]:
    found = {}
    for i, (n_in, n_out, size) in enumerate(kernels):
        found |= {
            f"{prefix}.{3 * i}.weight": (n_out, n_in, size),
            f"{prefix}.{3 * i}.bias": (n_out,),
        }
        found |= {f"{prefix}.{3 * i + 2}.{n}": (n_out,) for n in ("weight", "bias")}
    return found


TOKENIZER = {
    **convolutions("freq_patch_embedding", [(1, 64, 5), (64, 64, 1), (64, 64, 1)]),
    **layers("trans_freq_encoder.transformer", 2),
    **convolutions("temporal_patch_embedding", [(1, 64, 200), (64, 64, 1), (64, 32, 1)]),
    "freq_patch_embedding_2_atten.0.weight": (8, 64, 5),
    "freq_patch_embedding_2_atten.0.bias": (8,),
    "freq_patch_embedding_2.0.weight": (8, 64, 5),
    "freq_patch_embedding_2.0.bias": (8,),
    **layers("trans_temporal_encoder.transformer", 2),
    "quantizer.embedding.weight": (8192, 64),
    "quantizer.cluster_size": (8192,),
    "quantizer.ema_w": (8192, 64),
    **layers("trans_decoder.transformer", 8),
    "decoder.0.weight": (64, 64),
    "decoder.0.bias": (64,),
    "decoder.2.weight": (100, 64),
    "decoder.2.bias": (100,),
}
ENCODER = {
    "eeg_token_embedding.weight": (8193, 64),
    "channel_embed.weight": (16, 64),
    "temporal_pos_embed.pe": (1, 1000, 64),
    "cls_token": (1, 1, 64),
    **layers("LAT", 4),
    "classification_head.weight": (6, 64),
    "classification_head.bias": (6,),
}


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {k: 0.1 * torch.randn(v, generator=generator) for k, v in shapes.items()}


def pretrained() -> MaskedRectangles:
    return MaskedRectangles(MontagePatches(3), BiMamba(D, depth=2))


class TestFemba:
    def test_every_weight_has_its_place(self):
        state, model = drawn(FEMBA), pretrained()
        take(model, femba({f"model.{k}": v for k, v in state.items()}))
        assert torch.equal(
            model.backbone.blocks[1].backwards.dt_proj.bias,
            state["mamba_blocks.1.mamba_rev.dt_proj.bias"],
        )
        assert torch.equal(model.tokenizer.position, state["pos_embed"])

    def test_the_decoder_draws_what_the_released_one_does(self):
        state, model = drawn(FEMBA), pretrained()
        take(model, femba(state))
        value = torch.randn(2, 80, D)
        smooth = conv2d(value.unsqueeze(1), state["decoder.dec_conv.weight"], padding=15)
        image = smooth.squeeze(1).transpose(1, 2).unflatten(1, (3, 11))
        weight, bias = (state[f"decoder.conv_transpose.{n}"] for n in ("weight", "bias"))
        wanted = conv_transpose2d(image, weight, bias, stride=(2, 16)).squeeze(1)
        torch.testing.assert_close(model.decoder(value, 22), wanted, rtol=1e-4, atol=1e-5)

    def test_a_classifier_too(self):
        inner = {k: tuple(512 if s == INNER else s for s in v) for k, v in MAMBA.items()}
        sizes = {2 * INNER: 1024, D: 256, 35: 48, 3: 16}
        head = {k: tuple(sizes.get(s, s) for s in v) for k, v in inner.items()}
        shapes = {k: v for k, v in FEMBA.items() if not k.startswith("decoder.")}
        shapes |= {f"classifier.mamba_1.{k}": v for k, v in head.items()}
        shapes |= {"classifier.fc1.weight": (256, D), "classifier.fc1.bias": (256,)}
        shapes |= {"classifier.fc3.weight": (2, 256), "classifier.fc3.bias": (2,)}
        model = Classification(MontagePatches(3), BiMamba(D, depth=2), MambaHead(D, 2))
        take(model, femba(drawn(shapes)))

    def test_what_does_not_match_is_named_and_nothing_changes(self):
        model = pretrained()
        before = {k: v.clone() for k, v in model.state_dict().items()}
        state = drawn(FEMBA | {"surplus": (1,), "pos_embed": (1, 79, D)})
        del state["norm_layers.1.bias"]
        words = r"1 missing, such as backbone.blocks.1.norm.bias; 1 unknown, such as surplus; 1 of"
        with pytest.raises(UsageError, match=words):
            take(model, femba(state))
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])


class TestTfm:
    def test_the_tokenizer_gives_the_released_codes_of_its_code_book(self):
        state, model = drawn(TOKENIZER), MotifTokenizer().eval()
        take(model, tfm_tokenizer(state))
        assert torch.equal(model.codebook, state["quantizer.embedding.weight"])
        made = model(windows(1))
        assert torch.equal(made.value[0, 0], model.codebook[made.code[0, 0]])
        assert torch.equal(model.readout[2].bias, state["decoder.2.bias"])
        assert torch.equal(
            model.decoder.blocks[7].feed[2].weight,
            state["trans_decoder.transformer.layers.layers.7.1.fn.w2.weight"],
        )

    def test_the_encoder(self):
        state, model = drawn(ENCODER), MotifEncoder(64)
        take(model, tfm_encoder(state | {"index": torch.arange(16)}))
        assert torch.equal(model.cls, state["cls_token"].flatten())
        assert torch.equal(model.code.weight, state["eeg_token_embedding.weight"])


class TestReading:
    def test_safetensors_and_plain_torch_files(self, tmp_path: Path):
        state = drawn({"a": (2,), "b": (3, 1)})
        save_file(state, tmp_path / "w.safetensors")
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.ckpt")
        torch.save(state, tmp_path / "w.pth")
        for name in ("w.safetensors", "w.ckpt", "w.pth"):
            found = read_released(tmp_path / name)
            assert found.keys() == state.keys()
            assert all(torch.equal(found[k], state[k]) for k in state)

    def test_nothing_is_unpickled(self, tmp_path: Path):
        class Alarm:
            def __reduce__(self):
                return (Path.touch, (tmp_path / "marker",))

        torch.save({"a": Alarm()}, tmp_path / "w.pth")
        with pytest.raises(UsageError, match="without running code"):
            read_released(tmp_path / "w.pth")
        assert not (tmp_path / "marker").exists()

    @pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
    def test_rubbish_is_refused(self, tmp_path: Path, name: str):
        (tmp_path / name).write_bytes(b"rubbish")
        with pytest.raises(UsageError, match="convert it to safetensors"):
            read_released(tmp_path / name)
