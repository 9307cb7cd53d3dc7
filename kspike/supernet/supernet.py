"""Supernet: a search space becomes one keras.Model that holds every architecture of it."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops

from kspike._batches import batches_of, check_count, unaugmented, whole_arrays
from kspike._stages import Place
from kspike._types import Array, Images, Logits, Scalar
from kspike.components import PATHS
from kspike.config import SpikformerConfig
from kspike.layers._state import KEY, layer_state, restore
from kspike.layers.initializers import undrawn
from kspike.models import Spikformer
from kspike.models.image_model import ImageModel, checked, read_images
from kspike.models.parts import infer, largest
from kspike.models.spikformer import END, policy_at_the_end
from kspike.ops import jit
from kspike.space import Genome, SearchSpace
from kspike.supernet import sampling as policies
from kspike.supernet.blocks import ElasticBlock, place_of
from kspike.supernet.elastic import ElasticDense, ElasticNorm, Statistics
from kspike.supernet.extraction import copy_weights
from kspike.supernet.made import check_made
from kspike.supernet.places import ElasticComponent, Pass, through
from kspike.supernet.view import MaskedView, SlicedView, View, largest_sizes, word_choices

#: Share of a training batch's moments that enters the stored ones (PyTorch's momentum, as in Spikformer).
TRAINING_RATE = 0.1


@keras.saving.register_keras_serializable(package="kspike")
class Supernet(ImageModel, keras.Model):
    """Holds one set of weights for every network of a space; a subnet uses the leading slices (weight entanglement).

    Plain `fit` trains it: every batch draws one network of the space uniformly (single path, as Auto-Spikformer), or
    trains several by another `sampling`; `SubnetValidation` as a callback looks at fixed ones after each epoch.
    `predict` and `evaluate` run the active genome, the largest network at first. Normalisation statistics belong to
    whichever network ran last: `calibrate` recomputes the active one's before it is judged.

    On jax and tensorflow one compiled program serves the whole space: genes are index variables into constant tables,
    inactive channels, blocks and steps are masked. On torch, which runs eagerly, subnets are computed on slices, so
    that small ones are cheap.

    Source: Auto-Spikformer (Che et al., 2023) and AutoFormer's weight entanglement. Departures from the public code:
    heads, thresholds and time steps act; statistics are recomputed for each network instead of being taken from the
    test batch; inactive statistics are not touched.

    Args:
        space: a `SearchSpace`, a published name, a path or a dict.
        seed: of the networks drawn in training.
        masked: None for the backend's way; on torch, True runs the masked form (for tests).
        sampling: "single_path", "sandwich", or an object: `SinglePath(networks)`, `Sandwich(networks, temperature)`.

    Raises:
        ValueError: a component whose weights are not those of its parts, or whose forward gives another shape than it
            takes; or an argument that does not fit.

    Input shape: as the space's base. Output shape: logits `(batch, num_classes)`.

    Example: see docs/examples/supernet.py.
    """

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | str,
        *,
        seed: int | None = 0,
        masked: bool | None = None,
        sampling: Any = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.space = space = SearchSpace.load(space)
        eager = keras.backend.backend() == "torch"
        if masked is False and not eager:
            raise ValueError(
                f"On {keras.backend.backend()} a supernet is compiled, and so masked; masked=False is for torch."
            )
        self.masked = (not eager) if masked is None else bool(masked)
        self.sampling = policies.resolve(sampling)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        largest = space.max_config()
        policy = self.dtype_policy
        last = policy_at_the_end(policy)
        #: Whether still images come in, which every step sees.
        self.repeats = not space.base.has_time
        made = functools.partial(place_of, space, largest)
        self.stem = made(Place("stem", 0, "stem"), policy)
        self.blocks = [
            ElasticBlock(
                i,
                {
                    path: made(Place(field, i, f"block_{i}/{path}"), policy)
                    for field, path in PATHS.items()
                    if field != "local" or space.choices(field, i) != ("identity",)
                },
                dtype=policy,
                name=f"block_{i}",
            )
            for i in range(space.max_depth)
        ]
        #: What stands before each stage but the first.
        self.downs = [made(Place("downsample", i, f"down_{i + 1}"), policy) for i in range(space.stages - 1)]
        #: What stands before the linear layer; None for a mean over the tokens.
        self.decoding = None
        if space.choices("head") != ("mean",):
            self.decoding = made(Place("head", 0, "decoding"), last)
        width = largest_sizes(space, space.stages - 1)["width"]
        self.head = ElasticDense(width, largest.num_classes, dtype=last, name="head")
        self._genome = space.largest()
        self._genes = self.add_weight(
            shape=(len(space.slots),), dtype="int32", initializer="zeros", trainable=False, name="genes"
        )
        self._genes.assign(space.encode(self._genome))
        # the active network's config and, on slices, view: past Keras, which would track what that holds
        self.__dict__.update(_config=self._genome.to_config(), _active=None)
        self._forced: Statistics | None = None
        self._calibration: Callable | None = None
        self.build((None, *largest.input_shape))
        check_made(self, largest)

    def build(self, input_shape: tuple) -> None:
        for layer in [self.stem, *self.blocks, *self.downs, self.decoding, self.head]:
            if layer is not None and not layer.built:
                layer.build()
        self.built = True

    # -- the forward pass ---------------------------------------------------------------------------------------

    def call(self, inputs: Images, training: bool | None = None) -> Logits:
        inputs = checked(inputs, self.space.base)
        if self._forced is not None:
            return self._forward(inputs, self._active_view(), self._forced)
        if training:
            return self._train(inputs, self.sampling.first(self.space, self._draw))
        forward = functools.partial(self._forward, view=self._active_view(), statistics=Statistics())
        return infer(self, largest(self.config), self.compute_dtype, forward, inputs)

    def compute_loss(
        self,
        x: Images | None = None,
        y: Array | None = None,
        y_pred: Logits | None = None,
        sample_weight: Annotated[Array, "batch"] | None = None,
        training: bool = True,
    ) -> Scalar:
        """The loss of a step's first network, averaged, in training, with that of its further ones."""
        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if not training:
            return loss
        losses = [loss]
        for indices in self.sampling.others(self.space, self._draw):
            logits = self._train(x, indices)  # type: ignore[arg-type]  # a training step gives x and y_pred
            if self.sampling.teaches:
                losses.append(policies.distillation(y_pred, logits, self.sampling.temperature))  # type: ignore[arg-type]
            else:
                losses.append(super().compute_loss(x=x, y=y, y_pred=logits, sample_weight=sample_weight))
        loss = sum(losses[1:], losses[0]) / len(losses)
        if not self.masked and getattr(self.optimizer, "gradient_accumulation_steps", None):
            # a weight without a gradient in the last batch would lose what the batches before it gave
            loss = loss + sum(0.0 * ops.sum(ops.convert_to_tensor(v)) for v in self.trainable_variables)
        return loss

    def _train(self, x: Images, indices: Annotated[Array, "slots"]) -> Logits:
        return self._forward(x, self._view(indices), Statistics(batch=True, rate=TRAINING_RATE))

    def train_step(self, *args: Any) -> Any:
        with warnings.catch_warnings():
            # on slices, blocks beyond the depth of a batch's network have no gradient, as it should be
            warnings.filterwarnings("ignore", message="Gradients do not exist")
            return super().train_step(*args)

    def _forward(self, x: Images, view: View, statistics: Statistics) -> Logits:
        if self.repeats:
            x = ops.repeat(ops.expand_dims(x, 1), view.timesteps, axis=1)
        if view.time_mask is not None:  # nothing of the inactive steps is seen, counted or charged
            x = x * ops.cast(ops.reshape(view.time_mask, (1, -1, 1, 1, 1)), x.dtype)
        given = Pass(view, statistics)
        x = through(self.stem, x, given)
        starts = dict(zip(self.space.starts[1:], self.downs, strict=True))
        for block in self.blocks:
            x = through(starts[block.block], x, given) if block.block in starts else x
            if block.block not in view.blocks:
                continue
            x = block(x, view=view, statistics=statistics)
        x = ops.cast(x, "float32")
        x = ops.mean(x, axis=2) if self.decoding is None else through(self.decoding, x, given)
        if view.time_mask is None:
            x = ops.mean(x, axis=1)
        else:
            weight = ops.reshape(view.time_mask, (1, -1, 1))
            x = ops.sum(x * weight, axis=1) / ops.sum(view.time_mask)
        return self.head(x, inputs=view.features)

    def _active_view(self) -> View:
        if self.masked:
            return MaskedView(self.space, ops.convert_to_tensor(self._genes))
        if self._active is None:
            self.__dict__["_active"] = self._sliced(self._genome)
        return self._active

    def _sliced(self, genome: Genome) -> SlicedView:
        return SlicedView(genome.to_config(), word_choices(self.space, genome.indices), genome.blocks)

    def _draw(self) -> Annotated[Array, "slots"]:
        counts = self.space.cardinalities
        draws = keras.random.uniform((len(counts),), seed=self.seed_generator)
        indices = ops.cast(ops.floor(draws * ops.convert_to_tensor(counts.astype("float32"))), "int32")
        return ops.minimum(indices, ops.convert_to_tensor(counts - 1))

    def _view(self, indices: Annotated[Array, "slots"]) -> View:
        if self.masked:
            return MaskedView(self.space, ops.convert_to_tensor(indices))
        return self._sliced(self.space.decode(ops.convert_to_numpy(indices)))

    # -- choosing a network -------------------------------------------------------------------------------------

    @property
    def genome(self) -> Genome:
        """The active genome."""
        return self._genome

    @property
    def image_config(self) -> SpikformerConfig:
        """The space's base: every network of it takes the same images."""
        return self.space.base

    @property
    def config(self) -> SpikformerConfig:
        """The active network."""
        return self._config

    def activate(self, genome: Genome) -> None:
        """Makes a genome the one that `predict`, `evaluate`, `calibrate` and `extract` speak of; compiles nothing."""
        if not isinstance(genome, Genome):
            raise ValueError(f"activate expects a Genome of space {self.space.name!r}, got {type(genome).__name__}.")
        self._genes.assign(self.space.encode(genome))
        self._genome = genome
        self.__dict__.update(_config=genome.to_config(), _active=None)

    @property
    def read_directly(self) -> bool:
        """Whether costs are measured in the supernet itself: there is nothing to choose, and only plain products.

        Else what is measured is the network taken out.
        """
        if self.downs or self.decoding is not None:
            return False
        places = [self.stem, *(place for block in self.blocks for place in block.places.values())]
        return all(isinstance(place, ElasticComponent) and place.plain for place in places)

    # -- normalisation statistics -------------------------------------------------------------------------------

    def norm_layers(self) -> list[ElasticNorm]:
        """All normalisations, in order."""
        return [layer for layer in self._flatten_layers() if isinstance(layer, ElasticNorm)]

    def statistics(self) -> list[np.ndarray]:
        """A copy of every stored moment, for `restore_statistics`."""
        return [
            np.array(ops.convert_to_numpy(v)) for n in self.norm_layers() for v in (n.moving_mean, n.moving_variance)
        ]

    def restore_statistics(self, values: list[np.ndarray]) -> None:
        """Puts back what `statistics` returned, bit for bit."""
        variables = [v for n in self.norm_layers() for v in (n.moving_mean, n.moving_variance)]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def calibrate(self, data: Any, batches: int | None = None) -> None:
        """Recomputes the active network's normalisation statistics as the mean over batches; weights stay as they are.

        Args:
            data: training images, never those that score: arrays as `fit` takes them, images or (images, labels), or
                batches of those. A kspike data set is read unaugmented and in fixed order.
            batches: how many batches to use; None for all.

        Raises:
            ValueError: `batches` is no number (a genome: activate it first); no batch came; images of another shape,
                integers (raw pixels: nothing here scales them), or images or statistics that are not finite. The
                statistics are then those of before.
        """
        if isinstance(batches, Genome):
            raise ValueError("calibrate takes the active network: activate(genome) first; behind data stands batches.")
        check_count(batches)
        data = unaugmented(data)
        for images in whole_arrays(data)[:1]:  # the user's own, not slices of them
            read_images("calibration", images, self.space.base)
        before = self.statistics()
        try:
            self._calibrate(data, batches)
        except BaseException:  # Ctrl-C too: a mean over half of the batches is no network's
            self.restore_statistics(before)
            raise

    def _calibrate(self, data: Any, batches: int | None) -> None:
        if self._calibration is None:
            self._calibration = jit(self._calibration_step, self.variables)
        done = 0
        for batch in itertools.islice(batches_of(data), batches):
            images = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
            images = read_images("calibration", images, self.space.base)
            done += 1
            self._calibration(ops.convert_to_tensor(images), np.float32(1.0 / done))
        if not done:
            raise ValueError("calibrate got no batch of images; give training data with at least one batch.")
        if not all(np.isfinite(values).all() for values in self.statistics()):
            raise ValueError(
                "Expected finite normalisation statistics; the images are finite, what the network makes of them is "
                "not: look at how large they are, and at the weights."
            )

    def _calibration_step(self, images: Images, rate: Scalar) -> Scalar:
        self._forced = Statistics(batch=True, rate=rate)
        try:
            return ops.sum(self(images, training=False))
        finally:
            self._forced = None

    # -- taking a network out -----------------------------------------------------------------------------------

    def extract(self, genome: Genome | None = None) -> Spikformer:
        """An ordinary Spikformer with the leading slices of the weights and the statistics as they stand.

        Args:
            genome: which network; None for the active one. Activate and calibrate it first.
        """
        genome = self._genome if genome is None else genome
        if genome.space != self.space:
            raise ValueError(f"The genome belongs to space {genome.space.name!r}, not to {self.space.name!r}.")
        with undrawn():
            model = Spikformer(genome.to_config(), dtype=self.dtype_policy)
        copy_weights(self, model, genome)
        return model

    # -- saving: genes are a choice, not a weight ---------------------------------------------------------------

    def save_own_variables(self, store: Any) -> None:
        pass

    def load_own_variables(self, store: Any) -> None:
        pass

    def _policy_of(self, path: str) -> keras.DTypePolicy:
        return policy_at_the_end(self.dtype_policy) if path.split("/")[0] in END else self.dtype_policy

    def get_config(self) -> dict[str, Any]:
        state = layer_state(self, self._policy_of)
        return {
            **({KEY: state} if state else {}),
            "space": self.space.to_dict(),
            "seed": self.seed,
            "masked": self.masked if keras.backend.backend() == "torch" else None,
            "sampling": policies.describe(self.sampling),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Supernet:
        config = dict(config)
        trainable, state = config.pop("trainable", True), config.pop(KEY, None)
        if keras.backend.backend() != "torch":
            config["masked"] = None
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        model = cls(**config)
        model.trainable = trainable
        restore(model, state)
        return model
