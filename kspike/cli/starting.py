"""What a training begins with: an architecture, and fresh weights or those of a run or an entry."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kspike import _named
from kspike._files import expanded, sha256
from kspike._registry import nearest
from kspike.cli.options import card_of, is_run, open_model, read_json

if TYPE_CHECKING:
    from kspike.config import SpikformerConfig
    from kspike.data import Dataset
    from kspike.models import Spikformer
    from kspike.training import Recipe

EXPECTED = (
    "an architecture: a SpikformerConfig as a JSON file, the folder of a run, an entry of the zoo, or one of "
    "kspike.models.architectures()"
)


@dataclasses.dataclass(frozen=True)
class Start:
    """An architecture, and whose weights it begins with; None for fresh ones.

    `extended`: the run that is gone on from; `about`: what is known of the source's images, in the keys of a card.
    """

    config: SpikformerConfig
    source: str | None = None
    extended: str | None = None
    about: dict[str, Any] | None = None

    def with_timesteps(self, timesteps: int) -> Start:
        """The same with another T.

        Raises:
            ValueError: the architecture takes recordings, whose frames its data says.
        """
        if self.config.has_time:
            raise ValueError("--timesteps: the architecture takes recordings; give recordings as --data.")
        return dataclasses.replace(self, config=self.config.replace(timesteps=timesteps))

    def model(self, images: Dataset) -> Spikformer:
        """The model, made for the data; says what became of the weights."""
        import kspike
        from kspike.models.transfer import remember, transfer

        model = kspike.Spikformer(self.config.replace(input_shape=images.input_shape, num_classes=images.num_classes))
        if self.source is None:
            return model
        given, about = open_model(self.source)
        names = (about or {}).get("class_names")
        other = given.config.num_classes != images.num_classes or (
            names is not None and list(names) != list(images.class_names)
        )
        report = transfer(given, model, self.source, fresh=("head",) if other else ())
        if not report.taken:
            raise ValueError(
                f"No weight of {self.source} fits the architecture: expected one of the same widths, embed_dim="
                f"{given.config.embed_dim}; received {model.config.embed_dim}. To train the architecture that "
                f"{self.source} has, give it in place of CONFIG, with --weights if it is an entry."
            )
        remember(model, self._origin(given, report), report)
        print(report)
        return model

    def _origin(self, given: Spikformer, report: Any) -> dict[str, Any]:
        said = {**report.to_dict(), **(getattr(given, "origin", None) or {})}
        if self.source is None or not is_run(self.source):
            return said
        from kspike.training import checkpoints, read_history
        from kspike.training.records import SAID

        folder = expanded(self.source)
        newest = checkpoints.epochs(folder)[-1]
        rows = read_history(folder)
        before = read_json(folder / "settings.json")
        training: dict[str, Any] = {name: before[name] for name in SAID if name in before}
        training |= {"epochs": len(rows), "seconds": round(sum(row["seconds"] for row in rows))}
        return {**said, "weights_sha256": sha256(newest / checkpoints.WEIGHTS), "training": training}

    def recipe(self) -> Recipe:
        """The recipe of the run that is gone on from.

        Raises:
            ValueError: the run is not finished.
        """
        from kspike.training import Recipe, read_history

        folder = expanded(self.extended or "")
        recipe = Recipe.from_dict(read_json(folder / "settings.json")["recipe"])
        done = len(read_history(folder))
        if done < recipe.epochs:
            raise ValueError(
                f"--extend goes on from a finished run; {folder} is at epoch {done} of {recipe.epochs}: finish it by "
                "the command that began it."
            )
        return recipe

    def data_name(self) -> str:
        """The data set of the run that is gone on from.

        Raises:
            ValueError: it is the user's own, or not known.
        """
        if self.about is None or self.about.get("own") or not isinstance(self.about.get("name"), str):
            raise ValueError(f"Give the data that {self.extended} was trained on as --data.")
        return self.about["name"]


def read(config: str, source: str | None, weights: bool, extend: int | None) -> Start:
    """Reads CONFIG and the options that say whose weights are taken.

    Raises:
        ValueError: options that exclude each other, or a source that is not there.
    """
    chosen = [name for name, on in (("--from", source), ("--weights", weights), ("--extend", extend is not None)) if on]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)} each say where the weights are from: give one of them.")
    if extend is not None:
        if extend < 1:
            raise ValueError(f"--extend says for how many epochs a run goes on, at least 1; received {extend}.")
        if not is_run(config):
            raise ValueError(f"--extend goes on from the folder of a run (kspike train); received {config!r}.")
        described, about = _described(config)
        start = Start(described, config, config, about)
        start.recipe()
        return start
    if weights and config.endswith(".json"):
        raise ValueError("--weights needs an entry of the zoo; a JSON file holds an architecture alone.")
    if weights:
        source = config
    if source is not None and not is_run(source) and not source.endswith(".keras"):
        card_of(source, "the folder of a run, a .keras file, or an entry of the zoo, as --from")
    return Start(_described(config)[0], source)


def freeze(model: Spikformer, names: Iterable[str]) -> None:
    """Freezes layers by name or pattern.

    Raises:
        ValueError: a name that no layer has.
    """
    known = [layer.name for layer in model.layers if layer.weights]
    for name in names:
        meant = fnmatch.filter(known, name)
        if not meant:
            raise ValueError(f"--freeze {name}: the model has no layer of that name; it has {', '.join(known)}.")
        for each in meant:
            model.get_layer(each).trainable = False


def _described(config: str) -> tuple[SpikformerConfig, dict[str, Any] | None]:
    """CONFIG -> its architecture, and what is known of its images."""
    import kspike

    if config.endswith(".json"):
        return kspike.SpikformerConfig.from_dict(read_json(Path(config))), None
    if is_run(config):
        model = read_json(expanded(config) / "settings.json").get("model")
        if not isinstance(model, dict):
            raise ValueError(f"The run in {config} trained a {model}; expected one of a Spikformer.")
        return kspike.SpikformerConfig.from_dict(model), kspike.training.read_data(config)
    if config in _named.names():
        try:
            card = card_of(config, EXPECTED)
        except (ValueError, FileNotFoundError):
            return kspike.SpikformerConfig.named(config), None
        print(f"{config} is an entry of the zoo and a published architecture: the entry's is taken.")
        return kspike.zoo.load(config, weights=False).config, card
    try:
        card = card_of(config, EXPECTED)
    except ValueError as error:
        near = nearest(config, _named.names())
        if near and config not in kspike.zoo.list_models(config):
            raise ValueError(f"{error} Nor is it one of kspike.models.architectures(){near}.") from error
        raise
    return kspike.zoo.load(config, weights=False).config, card
