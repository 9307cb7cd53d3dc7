"""The tensor names of each code base, as tables for `architecture.py`.

A new code base is a new entry of `NAMINGS`. The names are from the official repository
(ZK-Zhou/spikformer: cifar10, cifar10dvs, imagenet, and the model.py of its first release) and in SpikingJelly 2.0
(spikingjelly.activation_based.model.spikformer).
"""

from __future__ import annotations

import dataclasses

#: torch.nn.BatchNorm's tensors, and the variable of our BatchNorm that each becomes.
NORM_TENSORS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
#: The learned time constant of SpikingJelly's ParametricLIFNode (1/tau = sigmoid(w)); a LIFNode saves nothing.
NEURON_TENSOR = "w"


@dataclasses.dataclass(frozen=True)
class Unit:
    """Names of a product, its normalisation and its neuron; `axes`: kernel axes of size 1 after (out, in)."""

    product: str
    norm: str
    neuron: str
    axes: int = 0


@dataclasses.dataclass(frozen=True)
class Naming:
    """The names of one code base, and settings that its code fixes and its files do not contain.

    Args:
        name: as error messages call it.
        stem, rpe: the four stages of the patch splitting, and the relative position embedding after them.
        block: prefix of a block; `{}` is its number. The names of the units of a block follow it.
        qkv: three units q, k, v, or one whose rows are q, then k, then v.
        attention: the neuron after the attention product.
        unused: regular expressions of tensors that the code creates and its forward pass never reads.
        stem_pool: stages with a max-pool; None where the code chooses by image size.
        pool_after: "neuron" (spikes are pooled) or "norm" (potentials are pooled, before the neuron).
        frames: whether the input has a time axis.
        size: side of the images in pixels; None where the code has several.
        biased: groups of products that the code builds with a bias: of qkv, proj, fc1 and fc2.
        plif_threshold: threshold of the attention neuron when neurons are ParametricLIFNodes.
    """

    name: str
    stem: tuple[Unit, ...]
    rpe: Unit
    block: str
    qkv: tuple[Unit, ...]
    attention: str
    proj: Unit
    fc1: Unit
    fc2: Unit
    head: str = "head"
    unused: tuple[str, ...] = ()
    stem_pool: tuple[bool, bool, bool, bool] | None = (True, True, True, True)
    pool_after: str = "neuron"
    scale: float = 0.125
    frames: bool = False
    timesteps: int = 4
    size: int | None = None
    biased: tuple[str, ...] = ("qkv", "proj", "fc1", "fc2")
    plif_threshold: float = 0.5


def _official(kind: str, axes: int, mlp_axes: int) -> dict:
    """The units of a block in the official code: `kind` is linear or conv."""
    unit = lambda path, layer, axes: Unit(f"{path}{layer}_{kind}", f"{path}{layer}_bn", f"{path}{layer}_lif", axes)
    return {
        "block": "block.{}.",
        "qkv": tuple(unit("attn.", layer, axes) for layer in "qkv"),
        "attention": "attn.attn_lif",
        "proj": unit("attn.", "proj", axes),
        "fc1": unit("mlp.", "fc1", mlp_axes),
        "fc2": unit("mlp.", "fc2", mlp_axes),
    }


_OFFICIAL_STEM = tuple(
    Unit(f"patch_embed.proj_conv{i}", f"patch_embed.proj_bn{i}", f"patch_embed.proj_lif{i}", 2) for i in ("", 1, 2, 3)
)
_FIRST_STEM = tuple(
    Unit(f"patch_embed.block{i}_conv", f"patch_embed.block{i}_bn", f"patch_embed.block{i}_lif", 2) for i in (1, 2, 3, 4)
)
_OFFICIAL_RPE = Unit("patch_embed.rpe_conv", "patch_embed.rpe_bn", "patch_embed.rpe_lif", 2)
_BLOCK_NORMS = r"block\.\d+\.norm[12]\.(weight|bias)"
_LAST_TWO = (False, False, True, True)

NAMINGS: tuple[Naming, ...] = (
    Naming(
        name="official CIFAR",
        stem=_OFFICIAL_STEM,
        rpe=_OFFICIAL_RPE,
        **_official("linear", 0, 0),
        unused=(_BLOCK_NORMS,),
        stem_pool=_LAST_TWO,
        size=32,
    ),
    Naming(
        name="official CIFAR10-DVS",
        stem=_OFFICIAL_STEM,
        rpe=_OFFICIAL_RPE,
        **_official("conv", 1, 1),
        unused=(_BLOCK_NORMS, r"pos_embed", r"norm\.(weight|bias)", r"block\.\d+\.attn\.res_lif\.w"),
        scale=0.25,
        biased=("proj", "fc1", "fc2"),
        frames=True,
        timesteps=16,
        size=128,
    ),
    Naming(
        name="official ImageNet",
        stem=_OFFICIAL_STEM,
        rpe=_OFFICIAL_RPE,
        **_official("conv", 1, 2),
        unused=(_BLOCK_NORMS,),
        biased=("proj", "fc1", "fc2"),
        size=224,
    ),
    Naming(
        name="official CIFAR (first release)",
        stem=_FIRST_STEM,
        rpe=_OFFICIAL_RPE,
        **_official("conv", 1, 2),
        unused=(_BLOCK_NORMS,),
        biased=("proj", "fc1", "fc2"),
        stem_pool=_LAST_TWO,
        size=32,
    ),
    Naming(
        name="SpikingJelly 2.0",
        stem=tuple(
            Unit(
                f"patch_embed.stages.{i}.conv_bn.block.0",
                f"patch_embed.stages.{i}.conv_bn.block.1",
                f"patch_embed.stages.{i}.neuron",
                2,
            )
            for i in range(4)
        ),
        rpe=Unit(
            "patch_embed.positional_encoding.conv_bn.block.0",
            "patch_embed.positional_encoding.conv_bn.block.1",
            "patch_embed.positional_encoding.neuron",
            2,
        ),
        block="blocks.{}.",
        qkv=(Unit("attn.qkv_conv_bn.0", "attn.qkv_conv_bn.1", "attn.qkv_lif", 1),),
        attention="attn.attn_lif",
        proj=Unit("attn.proj_conv_bn.0", "attn.proj_conv_bn.1", "attn.proj_lif", 1),
        fc1=Unit("mlp.fc1.0", "mlp.fc1.1", "mlp.neuron1", 1),
        fc2=Unit("mlp.fc2.0", "mlp.fc2.1", "mlp.neuron2", 1),
        stem_pool=None,
        pool_after="norm",
        biased=(),
        # there, a user-defined neuron class replaces every default, also attention's threshold of 0.5
        plif_threshold=1.0,
    ),
)
