"""What Spikformer and Supernet do as models of images, beside what every keras.Model does."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

import keras
import numpy as np

from kspike._batches import is_array
from kspike._finite import bad_rows, scaled
from kspike._messages import shown
from kspike._types import Images
from kspike.layers._parts import unquantised
from kspike.ops import KeepsWeights, with_shape


class Shaped(Protocol):
    """What says the shape of a model's images: a `SpikformerConfig`, or a space's `GivenFrames`."""

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    @property
    def has_time(self) -> bool: ...


def check_images(images: Images, config: Shaped) -> None:
    """Refuses images of another size, channel count or T, by ValueError.

    Keras checks this where a model is called, not where it is compiled: under jax, `predict` would go on and take what
    is not of the config's size for something smaller or larger.
    """
    expected, found = tuple(config.input_shape), tuple(images.shape[1:])
    if len(found) != len(expected) or any(f not in (None, e) for f, e in zip(found, expected, strict=True)):
        if tuple(images.shape) == expected:
            raise ValueError(f"Expected images of shape (batch, {', '.join(map(str, expected))}); {single(expected)}")
        advice = "Give them channels last."
        if len(found) in (3, 4):
            advice = f"Resize them, or make the model for them: input_shape={found}."
        axes = "time, height, width, channels" if config.has_time else "height, width, channels"
        raise ValueError(
            f"Expected images of shape (batch, {', '.join(map(str, expected))}), which is (batch, {axes}); received "
            f"shape {tuple(images.shape)}. {advice}"
        )


def single(shape: tuple[int, ...]) -> str:
    """What to say of one image where a batch is expected."""
    return f"received one image alone, of shape {shape}: its batch axis is missing. Give images[None]."


def read_images(name: str, images: Images, config: Shaped) -> np.ndarray:
    """Images that a number is to be formed from -> the same as a NumPy array, looked at.

    Args:
        name: whose images, for the message: "calibration".
        images: an array or tensor, (batch, ...).
        config: what takes them.

    Raises:
        ValueError: no numbers, another shape, integers (`kspike.data.arguments.scaled`), or NaN or infinity.
    """
    found = as_numbers(name, images)
    check_images(found, config)
    scaled(name, found)
    if (bad := bad_rows(found)) is not None:
        raise ValueError(f"Expected finite {name} images; {bad}. Clean them first.")
    return found


def as_numbers(name: str, images: Any) -> np.ndarray:
    """Images -> the same as a NumPy array of real numbers.

    Raises:
        ValueError: text, objects, lists that make no array.
    """
    found: np.ndarray | None = None
    try:
        found = keras.ops.convert_to_numpy(images) if is_array(images) else np.asarray(images)
    except ValueError:  # lists of different length
        pass
    if found is None or found.dtype.kind in "OSUMmc":
        what = f"an array of {found.dtype}" if found is not None and isinstance(images, np.ndarray) else shown(images)
        raise ValueError(f"Expected the {name} images to be an array of numbers, a batch; received {what}.")
    return found


def checked(images: Images, config: Shaped) -> Images:
    """The images, of the config's shape as far as it is known; where a graph does not know it, it is held to it."""
    check_images(images, config)
    return with_shape(images, (None, *config.input_shape)) if None in images.shape[1:] else images


def check_given(data: Any, config: Shaped) -> None:
    """Looks at what `fit`, `evaluate` or `predict` is handed, before they start; batches to come are looked at then."""
    if isinstance(data, keras.utils.PyDataset):
        return
    found = getattr(data, "element_spec", data)  # of a tf.data.Dataset
    if found is not data and isinstance(found, (tuple, list)):
        found = found[0]
    while isinstance(found, (tuple, list, dict)) and len(found) == 1:
        (found,) = found.values() if isinstance(found, dict) else found
    shape = getattr(found, "shape", None)
    if shape is not None and getattr(shape, "rank", 0) is not None:
        check_images(found, config)


class ImageModel(KeepsWeights):
    """Goes before keras.Model among the bases of a model that takes images of one shape."""

    @property
    def image_config(self) -> Shaped:
        """What has the `input_shape` of the images."""
        raise NotImplementedError

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As keras.Model.fit; arrays of another shape are refused by ValueError before anything starts."""
        check_given(x, self.image_config)
        validation = kwargs.get("validation_data")
        check_given(validation[0] if isinstance(validation, (tuple, list)) else validation, self.image_config)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As keras.Model.evaluate; arrays of another shape are refused by ValueError before anything starts."""
        if not kwargs.get("_use_cached_eval_dataset"):
            check_given(x, self.image_config)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As keras.Model.predict; arrays of another shape are refused by ValueError before anything starts."""
        check_given(x, self.image_config)
        return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As keras.Model.train_on_batch; images of another shape are refused by ValueError before anything starts."""
        check_given(x, self.image_config)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As keras.Model.test_on_batch; images of another shape are refused by ValueError before anything starts."""
        check_given(x, self.image_config)
        return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x: Images) -> np.ndarray:
        """As keras.Model.predict_on_batch; images of another shape are refused by ValueError before anything starts."""
        check_given(x, self.image_config)
        return super().predict_on_batch(x)

    def quantize(self, mode: Any = None, config: Any = None, **kwargs: Any) -> NoReturn:
        """Refuses, by ValueError: Keras would quantise the head alone."""
        raise ValueError(unquantised(type(self).__name__))
