"""What a family of networks says of its state dicts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kspike.config import SpikformerConfig

#: Our path of a part -> the module that holds its tensors, or several that stand side by side.
Names = dict[str, str | tuple[str, ...]]


class Read:
    """Tensors by name and the official constructor's arguments, and what was assumed or contradicted in reading them.

    Args:
        tensors: name -> array with a shape.
        options: official name of an argument -> value.
        timesteps: T.
        input_shape: as the config takes it.
    """

    def __init__(
        self, tensors: Mapping[str, Any], options: Mapping[str, Any], timesteps: int, input_shape: tuple[int, ...]
    ) -> None:
        self.tensors, self.options = tensors, dict(options)
        self.timesteps, self.input_shape = timesteps, input_shape
        self.said: list[str] = []

    def __contains__(self, name: str) -> bool:
        return f"{name}.weight" in self.tensors

    def shape(self, module: str) -> tuple[int, ...]:
        """Shape of a module's weight, which is there.

        Raises:
            ValueError: it is not, or is no product's.
        """
        if module not in self:
            raise ValueError(f"The checkpoint lacks {module}.weight; is it cut, or of another family?")
        shape = tuple(self.tensors[f"{module}.weight"].shape)
        if len(shape) < 2:
            raise ValueError(f"{module}.weight is of shape {shape}; a product's is (outputs, inputs, ...).")
        return shape

    def outputs(self, module: str) -> int:
        """Output channels of a module."""
        return self.shape(module)[0]

    def count(self, prefix: str) -> int:
        """How many numbers follow a prefix among the names: `blocks.0.`, `blocks.1.` are 2 of "blocks.".

        Raises:
            ValueError: none is there, or one is left out.
        """
        found = {
            int(match[1]) for name in self.tensors if (match := re.match(rf"{re.escape(prefix)}(\d{{1,4}})\.", name))
        }
        missing = sorted(set(range(max(found, default=0) + 1)) - found)
        if not found:
            raise ValueError(f"The checkpoint has no block of {prefix.rstrip('.')}: there is no tensor {prefix}0.*.")
        if missing:
            raise ValueError(
                f"The checkpoint has the blocks {sorted(found)} of {prefix.rstrip('.')}, and lacks {missing}: there is "
                f"no tensor {prefix}{missing[0]}.*."
            )
        return len(found)

    def biased(self, module: str) -> bool:
        """Whether a module has a bias."""
        return f"{module}.bias" in self.tensors

    def given(self, name: str, why: str) -> Any:
        """An argument that no tensor says.

        Raises:
            ValueError: it was not given.
        """
        if self.options.get(name) is None:
            raise ValueError(f"options={{{name!r}: ...}} is needed: no tensor says it. {why}")
        return self.options[name]

    def told(self, name: str, found: Any, why: str) -> Any:
        """What tensors or the code say; a different option is reported."""
        value = self.options.get(name)
        if value is not None and value != found:
            self.said.append(f"option {name}={value!r} was not used: {why}, {found!r}.")
        return found


@dataclasses.dataclass(frozen=True)
class Family:
    """One family.

    Args:
        name: how users call it.
        source: repository and paper.
        has: modules by which it is recognised, in words.
        recognised: whether a state dict of these names is of it.
        config: reads the architecture off the tensors.
        names: of a config the module of every part.
        options: arguments of the official constructor that may be given; others are refused.
        never: pattern of names -> why they are not used.
        notes: what every reader of such a checkpoint should know.
        folded: whether the code gives a product, by its module's name, a bias that its part here has not: it is taken
            into the mean of the normalisation behind it, the same function.
    """

    name: str
    source: str
    has: str
    recognised: Callable[[Any], bool]
    config: Callable[[Read], dict[str, Any]]
    names: Callable[[SpikformerConfig, Read], Names]
    options: tuple[str, ...]
    never: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    folded: Callable[[Read, str], bool] = lambda read, module: False


def has(*modules: str, lacks: Iterable[str] = ()) -> Callable[[Any], bool]:
    """Recognises names by modules with a weight that are there, and that are not."""
    lacks = tuple(lacks)
    return lambda tensors: (
        all(f"{m}.weight" in tensors for m in modules) and not any(f"{m}.weight" in tensors for m in lacks)
    )


def ratio(hidden: int, width: int) -> float:
    """The ratio with `int(width * ratio) == hidden`."""
    found = hidden / width
    while int(width * found) < hidden:
        found += hidden * 1e-15
    return found


def mlp(ours: str, theirs: str, products: tuple[str, str] = ("fc1", "fc2"), neuron: str = "lif") -> Names:
    """An MLP whose neurons stand before its products, and are named as these.

    Args:
        ours, theirs: path of the MLP, here and there.
        products: official names of its products.
        neuron: what neurons are called.
    """
    first, second = (f"{theirs}.{product}" for product in products)
    return {
        f"{ours}/input_neuron": f"{first}_{neuron}",
        f"{ours}/fc1": f"{first}_conv",
        f"{ours}/fc1_norm": f"{first}_bn",
        f"{ours}/fc1_neuron": f"{second}_{neuron}",
        f"{ours}/fc2": f"{second}_conv",
        f"{ours}/fc2_norm": f"{second}_bn",
    }


def beside(attention: str, ours: str, letters: str = "qkv") -> Names:
    """q, k and v side by side: one product, one normalisation and one neuron of ours.

    Args:
        attention: official name of the attention, which has q_conv, q_bn and q_lif.
        ours: our path of the product.
        letters: what it has of q, k and v.
    """
    ends = {"": "conv", "_norm": "bn", "_neuron": "lif"}
    return {f"{ours}{end}": tuple(f"{attention}.{c}_{name}" for c in letters) for end, name in ends.items()}
