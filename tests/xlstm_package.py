"""The authors' xLSTM package beside ours: their stack, ours of the same sizes, and their weights under our names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

import carousel as ca


def package(kinds: str, heads: int, size: int = 16, factor: float = 1.3, conv: int = 4) -> xLSTMBlockStack:
    """The authors' stack; a block is the stack of one."""
    slstm = sLSTMLayerConfig(backend="vanilla", num_heads=heads, conv1d_kernel_size=conv)
    mlstm = mLSTMLayerConfig(num_heads=heads, conv1d_kernel_size=conv or 4)
    config = xLSTMBlockStackConfig(
        mlstm_block=mLSTMBlockConfig(mlstm=mlstm) if "m" in kinds else None,
        slstm_block=sLSTMBlockConfig(slstm=slstm, feedforward=FeedForwardConfig(proj_factor=factor)),
        context_length=12,
        num_blocks=len(kinds),
        embedding_dim=size,
        slstm_at=[k for k, kind in enumerate(kinds) if kind == "s"],
    )
    return xLSTMBlockStack(config)


def ours(kinds: str, heads: int, size: int = 16, **options) -> ca.XLSTM:
    slstm_at = [k for k, kind in enumerate(kinds) if kind == "s"]
    return ca.XLSTM(size, len(kinds), slstm_at=slstm_at, heads=heads, **options)


def copied(theirs: xLSTMBlockStack) -> dict[str, Tensor]:
    """The package's parameters under our names, differentiable into them."""
    found = {"norm.weight": 1 + theirs.post_blocks_norm.weight}
    for k, block in enumerate(theirs.blocks):
        own = copied_mlstm(block) if hasattr(block.xlstm, "proj_up") else copied_slstm(block)
        found |= {f"blocks.{k}.{name}": value for name, value in own.items()}
    return found


def copied_mlstm(block: nn.Module) -> dict[str, Tensor]:
    layer, cell = block.xlstm, block.xlstm.mlstm_cell
    return {
        "norm.weight": 1 + block.xlstm_norm.weight,
        "up.weight": layer.proj_up.weight,
        **copied_conv(layer),
        **{f"{name}.weight": getattr(layer, f"{name}_proj").weight for name in "qkv"},
        **{
            f"{name}.{part}": getattr(getattr(cell, f"{name}gate"), part)
            for name in "if"
            for part in ("weight", "bias")
        },
        "head_norm.weight": 1 + cell.outnorm.weight,
        "skip": layer.learnable_skip,
        "down.weight": layer.proj_down.weight,
    }


def copied_slstm(block: nn.Module) -> dict[str, Tensor]:
    """Its attribute fgate makes what enters i, and igate what enters f; its cell orders gates i, f, z, o."""
    layer, cell = block.xlstm, block.xlstm.slstm_cell
    found = {
        "norm.weight": 1 + block.xlstm_norm.weight,
        **(copied_conv(layer) if hasattr(layer, "conv1d") else {}),
        "head_norm.weight": 1 + layer.group_norm.weight,
        "mlp_norm.weight": 1 + block.ffn_norm.weight,
        "mlp.up.weight": block.ffn.proj_up.weight,
        "mlp.down.weight": block.ffn.proj_down.weight,
    }
    for gate, name, R, b in zip("ifzo", "fizo", cell._recurrent_kernel_.chunk(4, 1), cell._bias_.chunk(4), strict=True):
        W = getattr(layer, f"{name}gate").weight
        if len(W) == 1:  # one block is a matrix
            W, R = W[0], R[0]
        found |= {f"memory.W_{gate}_l0": W, f"memory.R_{gate}_l0": R, f"memory.b_{gate}_l0": b}
    return found


def copied_conv(layer: nn.Module) -> dict[str, Tensor]:
    conv = layer.conv1d.conv
    return {"conv.weight": conv.weight[:, 0].flip(1).T, "conv.bias": conv.bias}


def pair(kinds: str, heads: int, dtype: torch.dtype, **options) -> tuple[ca.XLSTM, xLSTMBlockStack]:
    """Ours and theirs with the same weights, none of which is as it starts."""
    theirs = package(kinds, heads, **options).to(dtype)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.3)
    net = ours(kinds, heads, conv_width=options.get("conv", 4)).to(dtype)
    net.load_state_dict(copied(theirs))
    return net, theirs
