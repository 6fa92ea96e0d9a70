"""All paths of the selective scan give the numbers of the recurrence as it is written."""

from __future__ import annotations

import inspect
import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import silu, softplus

from brainfm.errors import UsageError
from brainfm.layers import scan, scan_compiled
from brainfm.layers.scan import Chunked, recurrence, running, selective_scan

with_numba = pytest.mark.skipif(
    find_spec("numba") is None, reason="the extra `fast` is not installed"
)
PATHS = ("torch", pytest.param("numba", marks=with_numba))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Arguments of a scan, in the order of mamba-ssm's."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    z: Tensor
    delta_bias: Tensor

    @classmethod
    def draw(
        cls, n: int, channels: int, length: int, states: int, dtype=torch.float64, seed: int = 0
    ) -> Inputs:
        """Draw arguments; the state of 1 to ``states`` decays as at a Mamba's start."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        return cls(
            u=normal(n, channels, length),
            delta=normal(n, channels, length) - 3,
            A=-torch.arange(1, states + 1, dtype=dtype).repeat(channels, 1),
            B=normal(n, states, length),
            C=normal(n, states, length),
            D=normal(channels),
            z=normal(n, channels, length),
            delta_bias=normal(channels),
        )

    def all(self) -> tuple[Tensor, ...]:
        return tuple(vars(self).values())


def run(given: Inputs, path: str) -> Tensor:
    u, delta, A, B, C, D, z, bias = given.all()
    more = {"D": D, "z": z, "delta_bias": bias, "delta_softplus": True}
    return selective_scan(u, delta, A, B, C, **more, backend=path)


def values_and_gradients(given: Inputs, path: str) -> tuple[Tensor, ...]:
    """The result, and the gradient of a sum of it with unequal weights."""
    leaves = Inputs(*(x.detach().clone().requires_grad_() for x in given.all()))
    y = run(leaves, path)
    weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype, device=y.device).reshape(y.shape)
    return y.detach(), *torch.autograd.grad((weight * y).sum(), leaves.all())


def assert_same(given: Inputs, path: str, tolerance: float) -> None:
    """Compare each with the reference, relative to the largest number in it."""
    wanted = values_and_gradients(replace_type(given, torch.float64), "reference")
    for name, ours, exact in zip(
        ("y", *vars(given)), values_and_gradients(given, path), wanted, strict=True
    ):
        assert torch.isfinite(ours).all(), name
        error = (ours - exact).abs().max() / exact.abs().max().clamp_min(1e-30)
        assert error < tolerance, f"{name}: {float(error):.1e}"


def replace_type(given: Inputs, dtype: torch.dtype) -> Inputs:
    return Inputs(*(x.to(dtype) for x in given.all()))


def selective_scan_by_hand(given: Inputs) -> Tensor:
    """The scan from its definition, one number at a time."""
    u, delta, A, B, C, D, z, bias = (x.double() for x in given.all())
    y = torch.zeros_like(u)
    for n, d in ((n, d) for n in range(u.shape[0]) for d in range(u.shape[1])):
        h = [0.0] * A.shape[1]
        for t in range(u.shape[2]):
            step = softplus(delta[n, d, t] + bias[d])
            h = [
                torch.exp(step * a) * x + step * b * u[n, d, t]
                for a, x, b in zip(A[d], h, B[n, :, t], strict=True)
            ]
            y[n, d, t] = sum(c * x for c, x in zip(C[n, :, t], h, strict=True)) + D[d] * u[n, d, t]
    return y * silu(z)


def test_the_reference_is_the_definition():
    given = Inputs.draw(2, 3, 5, 4)
    torch.testing.assert_close(run(given, "reference"), selective_scan_by_hand(given))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 63, 64, 65, 130])
def test_values_and_all_gradients_are_the_reference_s(path, dtype, tolerance, length):
    assert_same(Inputs.draw(2, 35, length, 5, dtype), path, tolerance)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=15, derandomize=True)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 70),
    length=st.integers(1, 150),
    states=st.integers(1, 20),
)
def test_any_shape_will_do(path, n, channels, length, states):
    assert_same(Inputs.draw(n, channels, length, states), path, 1e-12)


@pytest.mark.parametrize("path", ["reference", *PATHS])
def test_no_time_gives_nothing(path):
    given = Inputs.draw(2, 3, 0, 4, torch.float32)
    given.u.requires_grad_()
    y = run(given, path)
    y.sum().backward()
    assert y.shape == given.u.shape == given.u.grad.shape == (2, 3, 0)
    assert y.dtype == torch.float32


@pytest.mark.parametrize("path", PATHS)
def test_gradcheck(path):
    leaves = [x.requires_grad_() for x in Inputs.draw(2, 3, 18, 2).all()]
    assert torch.autograd.gradcheck(lambda *x: run(Inputs(*x), path), leaves)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("factor", [1e-6, 30.0, 1e4])
def test_tiny_and_large_steps_stay_exact(path, factor):
    given = Inputs.draw(1, 4, 100, 16, torch.float32)
    given = replace(given, delta=factor * given.delta.abs())
    assert_same(given, path, 2e-6)


def test_the_compiled_exponential():
    numba = pytest.importorskip("numba")
    exp = numba.vectorize(inspect.unwrap(scan_compiled._exp32))
    x = torch.linspace(-87.3, 88.3, 200_001)
    ours, exact = torch.from_numpy(exp(x.numpy())), x.double().exp()
    assert ((ours - exact).abs() / exact).max() < 1.2e-7
    ends = torch.tensor([-torch.inf, -1e30, -89, 0, 89, 1e30, torch.inf, torch.nan])
    wanted = torch.tensor([0, 0, 0, 1, torch.inf, torch.inf, torch.inf, torch.nan])
    with np.errstate(invalid="ignore"):  # NaN says so to NumPy
        met = torch.from_numpy(exp(ends.numpy()))
    torch.testing.assert_close(met, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_no_number_is_not_hidden(path):
    for name in ("u", "delta", "A"):
        given = Inputs.draw(1, 2, 40, 3, torch.float32)
        getattr(given, name).view(-1)[1] = torch.nan
        assert run(given, path).isnan().any(), name


@pytest.mark.parametrize("path", PATHS)
def test_some_arguments_may_be_left_out_and_need_no_gradient(path):
    u, delta, A, B, C, *_ = Inputs.draw(1, 3, 20, 4).all()
    u.requires_grad_()
    y = selective_scan(u, delta.exp(), A, B, C, backend=path)
    torch.testing.assert_close(y, recurrence(u, delta.exp(), A, B, C))
    y.sum().backward()
    assert u.grad is not None


@pytest.mark.parametrize("path", ["reference", *PATHS])
def test_the_present_knows_no_future(path):
    given, cut = Inputs.draw(2, 3, 90, 4), 37
    whole = run(given, path)
    part = Inputs(*(x[..., :cut] if x.ndim == 3 else x for x in given.all()))
    torch.testing.assert_close(whole[..., :cut], run(part, path), rtol=0, atol=1e-14)


@pytest.mark.parametrize("path", PATHS)
def test_a_scan_against_time_is_exact(path):
    """Reversed memory (strides and copies alike) is read as what it means."""
    given = Inputs.draw(2, 5, 70, 4)
    back = Inputs(*(x.flip(-1) if x.ndim == 3 else x for x in given.all()))
    strided = Inputs(
        *(x.transpose(0, 1).contiguous().transpose(0, 1) for x in back.all()[:2]), *back.all()[2:]
    )
    assert torch.equal(run(back, path), run(strided, path))
    again = Inputs(*(x.flip(-1) if x.ndim == 3 else x for x in back.all()))
    assert torch.equal(run(again, path), run(given, path))


@pytest.mark.parametrize("path", PATHS)
def test_bfloat16_and_autocast_are_summed_in_float32(path):
    exact = Inputs.draw(2, 8, 200, 16, torch.float32)
    rough = replace(exact, u=exact.u.bfloat16(), z=exact.z.bfloat16())
    wanted = run(replace(rough, u=rough.u.float(), z=rough.z.float()), "reference")
    assert run(rough, path).dtype == torch.bfloat16
    torch.testing.assert_close(run(rough, path).float(), wanted, rtol=0.01, atol=0.01)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(run(exact, path), run(exact, "reference"), rtol=1e-5, atol=1e-4)


def assert_same_in_bfloat16(path: str, device: str) -> None:
    """Values and all gradients, with what autocast hands over in bfloat16 and the rest in float32."""
    exact = Inputs.draw(2, 8, 200, 16, torch.float32)
    rough = {name: getattr(exact, name).bfloat16() for name in ("u", "delta", "B", "C", "z")}
    given = Inputs(*(x.to(device) for x in replace(exact, **rough).all()))
    wanted = values_and_gradients(replace_type(given, torch.float64), "reference")
    names = ("y", *vars(given))
    for name, ours, true in zip(names, values_and_gradients(given, path), wanted, strict=True):
        error = (ours.double() - true).norm() / true.norm()
        assert error < 0.02, f"{name}: {float(error):.1e}"


@pytest.mark.parametrize("path", PATHS)
def test_bfloat16_has_the_same_gradients_up_to_its_rounding(path):
    assert_same_in_bfloat16(path, "cpu")


@with_numba
def test_threads_change_no_bit():
    given = Inputs.draw(2, 70, 130, 16, torch.float32)
    results = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        results.append(values_and_gradients(given, "numba"))
        assert torch.get_num_threads() == n_threads
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@with_numba
def test_several_threads_may_scan_at_once():
    given = Inputs.draw(2, 40, 60, 4)
    wanted = run(given, "numba")
    barrier = threading.Barrier(3)

    def scan_together(_: int) -> Tensor:
        barrier.wait()
        return run(given, "numba")

    with ThreadPoolExecutor(3) as pool:
        assert all(torch.equal(y, wanted) for y in pool.map(scan_together, range(3)))


def kept_bytes(length: int, states: int) -> int:
    """Bytes that the chunked scan keeps for its backward pass."""
    sizes: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        sizes[x.data_ptr()] = x.nbytes
        return x

    u, delta, A, B, C, *_ = Inputs.draw(1, 32, length, states).all()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        Chunked.apply(u.requires_grad_(), delta.exp(), A, B, C)
    return sum(sizes.values())


def test_memory_grows_with_the_length_and_not_with_length_times_state():
    series = 8 * 32 * 1024  # bytes of u
    assert kept_bytes(2048, 16) <= 2.01 * kept_bytes(1024, 16)
    for states in (4, 16, 64):
        selections = 2 * 8 * states * 1024  # B and C
        # u, Δ and the states between chunks; every state would be `states` times a series.
        assert kept_bytes(1024, states) - selections <= 3.1 * series


def test_the_rule(monkeypatch):
    installed: set[str] = set()
    monkeypatch.setattr(scan, "_has", lambda package: package in installed)
    assert running("auto", "cpu") == running("auto", "cuda") == "torch"
    for backend, device, extra in (
        ("numba", "cpu", "fast"),
        ("cuda", "cuda", "mamba"),
        ("cuda", "cpu", "mamba"),
    ):
        with pytest.raises(UsageError, match=rf"brainfm\[{extra}\]"):
            running(backend, device)
    installed |= {"numba", "mamba_ssm"}
    assert (running("auto", "cpu"), running("auto", "cuda")) == ("numba", "cuda")
    assert running("auto", "mps") == "torch"
    for backend, device in (("numba", "cuda"), ("cuda", "cpu")):
        with pytest.raises(UsageError, match="cannot run on"):
            running(backend, device)
    for backend in ("reference", "torch"):
        assert {running(backend, device) for device in ("cpu", "cuda")} == {backend}


def test_a_package_that_does_not_import_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    with pytest.raises(UsageError, match="installed and cannot be imported"):
        scan._fused()


def _scan_in_child(queue) -> None:
    queue.put(float(run(Inputs.draw(1, 40, 20, 4), "numba").sum()))


@with_numba
@pytest.mark.skipif(sys.platform != "linux", reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_may_scan():
    wanted = float(run(Inputs.draw(1, 40, 20, 4), "numba").sum())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    torch.set_num_threads(2)
    child = context.Process(target=_scan_in_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=60) == wanted
    finally:
        child.kill()
        child.join()


@pytest.mark.gpu
@pytest.mark.parametrize("path", ["torch", "cuda"])
def test_on_a_gpu(path):
    if path == "cuda":
        pytest.importorskip("mamba_ssm")
    assert_same_in_bfloat16(path, "cuda")
    exact = Inputs.draw(2, 64, 257, 16, torch.float32)
    wanted = values_and_gradients(replace_type(exact, torch.float64), "reference")
    ours = values_and_gradients(Inputs(*(x.cuda() for x in exact.all())), path)
    for a, b in zip(ours, wanted, strict=True):
        assert (a.cpu() - b).abs().max() / b.abs().max() < 1e-4
