"""The three forms of the mLSTM's memory: each other's numbers, the authors' numbers, and what they keep in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from xlstm.blocks.mlstm import backends

from carousel.cells.mlstm_forms import chunkwise, parallel, recurrent
from runs import weighed
from tolerances import TOLERANCES, assert_close

B, HEADS, T, D = 2, 3, 37, 5
Found = tuple[Tensor, tuple[Tensor, Tensor, Tensor]]


def given(dtype: torch.dtype = torch.float64, T: int = T, heads: int = HEADS, d: int = D) -> list[Tensor]:
    """q, k, v, i, f."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(B, heads, T, d)] * 3 + [(B, heads, T)] * 2
    values = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return [value.requires_grad_() for value in values]


def states(dtype: torch.dtype, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    C, n, m = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((B, HEADS, D, D), (B, HEADS, D), (B, HEADS))
    )
    return C, n, m


def with_gradients(found: Found, leaves: list[Tensor]) -> list[Tensor]:
    values = [found[0], *found[1]]
    taken = torch.autograd.grad(weighed(values, 0), leaves, allow_unused=True)
    return [*values, *(torch.zeros_like(x) if g is None else g for g, x in zip(taken, leaves, strict=True))]


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("cuts", [False, True], ids=["", "cuts"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_the_forms_are_one_function(dtype: torch.dtype, cuts: bool, forget: str) -> None:
    start, fresh, data = states(dtype, 1), states(dtype, 2), given(dtype)
    cut = torch.rand(B, T, generator=torch.Generator().manual_seed(1)) < 0.15 if cuts else None
    leaves = [*data, *start, *fresh]

    def run(form: Callable[..., Found], **more: int) -> list[Tensor]:
        return with_gradients(form(*data, start, forget=forget, cut=cut, initial=fresh, **more), leaves)

    want = run(recurrent)
    for got in (run(parallel), *(run(chunkwise, chunk_size=size) for size in (1, 4, 8, 64))):
        for one, other in zip(got, want, strict=True):
            scale = max(1.0, other.abs().max().item())
            assert_close(one, other, atol=TOLERANCES[dtype]["atol"] * scale)


@pytest.mark.parametrize("length", [0, 1])
def test_short_sequences(length: int) -> None:
    data, start = given(T=length), states(torch.float64, 1)
    want = recurrent(*data, start)
    assert want[0].shape == (B, HEADS, length, D)
    for form in (parallel, chunkwise):
        assert_close(form(*data, start)[0], want[0])
        assert_close(form(*data, start)[1], want[1])


def test_the_authors_parallel_form() -> None:
    """With nothing added to what is divided by: theirs scales the first steps otherwise, which shows in no more."""
    data = given()
    q, k, v, i, f = data
    theirs = backends.parallel_stabilized_simple(q, k, v, i[..., None], f[..., None], eps=0.0)
    want = [theirs, *torch.autograd.grad(weighed([theirs], 0), data)]
    for form in (recurrent, parallel, chunkwise):
        h = form(*data, eps=0.0)[0]
        assert_close([h, *torch.autograd.grad(weighed([h], 0), data)], want)
    assert_close(
        parallel(*data)[0], backends.parallel_stabilized_simple(q, k, v, i[..., None], f[..., None]), atol=1e-6
    )


def test_the_authors_chunkwise_form() -> None:
    """Outputs, last states and gradients, from a state of ours; their memory is the transposed of C."""
    data, start = given(T=32), states(torch.float64, 1)
    C, n, m = start
    # Theirs divides the queries in the place of the keys: C and n are larger by sqrt(d).
    scale = D**0.5
    h, (C_end, n_end, m_end) = backends.chunkwise_simple(
        *data, C.transpose(-1, -2) * scale, n * scale, m, chunk_size=8, return_last_state=True
    )
    theirs = h, (C_end.transpose(-1, -2) / scale, n_end / scale, m_end[..., 0, 0])
    leaves = [*data, *start]
    want = with_gradients(theirs, leaves)
    for form in (recurrent, parallel, chunkwise):
        assert_close(with_gradients(form(*data, start), leaves), want)


def test_the_state_is_scaled_freely() -> None:
    """C and n times e, m less by one: the same memory."""
    data, (C, n, m) = given(), states(torch.float64, 1)
    e = torch.e
    for form in (recurrent, parallel, chunkwise):
        assert_close(form(*data, (C * e, n * e, m - 1), eps=0.0)[0], form(*data, (C, n, m), eps=0.0)[0])


@pytest.mark.parametrize("form", [recurrent, parallel, chunkwise])
@pytest.mark.parametrize("i", [-300.0, 300.0])
@pytest.mark.parametrize("f", [-300.0, 0.0, 300.0])
def test_gates_may_be_extreme(form: Callable[..., Found], i: float, f: float) -> None:
    data = given(torch.float32)
    with torch.no_grad():
        data[3] += i
        data[4] += f
    found = with_gradients(form(*data), data)
    assert all(value.isfinite().all() for value in found)
    with torch.no_grad():
        wide = recurrent(*(value.double() for value in data))[0].float()
    assert_close(found[0], wide, atol=1e-2, rtol=1e-2)  # 300 in float32 is exact to 2e-5 only, then comes exp


def kept(form: Callable[..., Found], T: int) -> int:
    """Bytes that autograd keeps for the backward pass."""
    storages: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return value

    data = given(torch.float32, T, heads=1, d=8)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        form(*data)
    return sum(storages.values())


def test_chunkwise_memory_grows_with_the_length_and_not_with_its_square() -> None:
    bytes_of = {T: kept(chunkwise, T) for T in (4096, 8192, 16384)}
    assert bytes_of[8192] < 2.01 * bytes_of[4096] and bytes_of[16384] < 2.01 * bytes_of[8192]
    assert kept(parallel, 1024) > 3.5 * kept(parallel, 512)  # what it would be otherwise
    data = given(torch.float32, 16384, heads=1, d=8)
    h, _ = chunkwise(*data)
    assert all(g.isfinite().all() for g in torch.autograd.grad(h.square().mean(), data))


def test_errors() -> None:
    with pytest.raises(ValueError, match="chunk_size is 0, expected at least 1"):
        chunkwise(*given(), chunk_size=0)
    for form in (recurrent, parallel, chunkwise):
        with pytest.raises(ValueError, match='forget is \'tanh\', expected "sigmoid" or "exp"'):
            form(*given(), forget="tanh")
