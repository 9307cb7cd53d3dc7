"""Trains a convolutional teacher for CIFAR-10 or CIFAR-100, and keeps its logits for spiking students.

    KERAS_BACKEND=torch python tuners/teacher_c10.py --precision mixed_bfloat16
    kspike train auto_spikformer_c10 --data cifar10 --recipe tuners/recipes/fast_c10.json --teacher runs/teacher_c10.npz

Six convolutions of 3x3 in three stages behind one of 2x2 that whitens patches, 2 million parameters: after the network
that Jordan (2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498) trains fast; here with ReLU,
which a CPU does in half of GELU's time, and by AdamW, with a recipe of `kspike.training`. Ctrl-C or kill it at any
time: the same command goes on.
"""

import argparse
from pathlib import Path

import keras
import numpy as np

import kspike
from kspike.training import Recipe, read_history, teacher_logits, train

RECIPE = Path(__file__).with_name("recipes") / "teacher_c10.json"


def teacher(data: kspike.data.Dataset, widths: tuple[int, ...] = (64, 256, 256)) -> keras.Model:
    """The network, its first layer set to whiten the patches of 2x2 pixels of the first 5,000 training images."""
    kernel = whitening(np.concatenate([data.train.without_augmentation()[i][0] for i in range(10)])[:5000])
    # torch's pools and reorders of channels are a third of a step with channels last
    first = keras.backend.backend() == "torch"
    layout = {"data_format": "channels_first" if first else "channels_last"}
    x = inputs = keras.Input(data.input_shape)
    x = keras.layers.Permute((3, 1, 2))(x) if first else x
    x = keras.layers.Conv2D(kernel.shape[-1], 2, activation="relu", name="whitening", **layout)(x)
    for width in widths:
        for pool in (True, False):
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, **layout)(x)
            x = keras.layers.MaxPooling2D(**layout)(x) if pool else x
            x = keras.layers.BatchNormalization(axis=1 if first else -1, momentum=0.9)(x)
            x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalMaxPooling2D(**layout)(x)
    model = keras.Model(inputs, keras.layers.Dense(data.num_classes, dtype="float32")(x))
    whitens = model.get_layer("whitening")
    whitens.kernel.assign(kernel)
    whitens.kernel.trainable = False
    return model


def whitening(images: np.ndarray, size: int = 2, least: float = 5e-4) -> np.ndarray:
    """Kernel (size, size, channels, filters) of the directions of patches, each to variance 1, and their negatives."""
    patches = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    rows = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, size * size * images.shape[-1]).astype("float64")
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    kernel = (vectors / np.sqrt(values + least)).reshape(size, size, images.shape[-1], -1)
    return np.concatenate([kernel, -kernel], axis=-1).astype("float32")


def main(given: argparse.Namespace) -> None:
    """Trains what is not trained yet, asks it, and writes the logits."""
    name = {"cifar10": "teacher_c10", "cifar100": "teacher_c100"}[given.data]
    recipe = Recipe.load(given.recipe)
    recipe = recipe.replace(epochs=given.epochs or recipe.epochs, seed=given.seed)
    data = recipe.load_data(given.data, data_dir=given.data_dir)
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(given.precision)
    model = teacher(data)
    run = given.directory / name
    train(model, data, recipe, directory=run, verbose=2 if given.bar else 1)
    accuracy = read_history(run)[-1]["val_accuracy"]
    model.save(given.directory / f"{name}.keras")
    said = {"name": name, "parameters": model.count_params(), "val_accuracy": round(accuracy, 4)}
    logits = teacher_logits(model, data, views=given.views, seed=given.seed, teacher=said)
    file = logits.save(given.directory / f"{name}.npz")
    right = (logits.logits.argmax(-1) == data.train.labels).mean()
    print(f"{file}: {logits.views} views, {100 * right:.2f} % named right; of validation {100 * accuracy:.2f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["cifar10", "cifar100"], default="cifar10")
    parser.add_argument("--data-dir", help="where TensorFlow Datasets prepared it")
    parser.add_argument("--directory", type=Path, default=Path("runs"))
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bar", action="store_true", help="show a progress bar in each epoch")
    main(parser.parse_args())
