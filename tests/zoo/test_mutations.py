"""Seeded attacks on entries: what is damaged is refused by a ValueError, or is what was published, and nothing else.

No model is built: what `load` builds one from is the config and the bytes that are compared here.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import random
import warnings

import numpy as np
import pytest

import kspike
from kspike.zoo import evaluating, sealing
from kspike.zoo.entry import Entry
from tests.zoo import mutations

command = importlib.import_module("kspike.cli.zoo")  # kspike.cli.zoo is the group of its commands
pytestmark = pytest.mark.once

COUNTS = [200, pytest.param(2000, marks=pytest.mark.proof)]
IMAGES, LOGITS = np.zeros((1, 8, 8, 1), "uint8"), np.zeros((1, 10))


class Attack:
    """One folder, damaged and restored again and again."""

    def __init__(self, folder, files):
        self.folder, self.files = folder, files
        folder.mkdir()
        self.write(files)
        entry = Entry.open(folder)
        self.config, self.metadata = entry.config(), entry.metadata

    def write(self, files):
        for name, content in files.items():
            (self.folder / name).unlink(missing_ok=True)
            if content is not None:
                (self.folder / name).write_bytes(content)

    def run(self, count, damage, judge):
        """Judges each damaged entry; gives how many were refused."""
        refused = 0
        for seed in range(count):
            changed = damage(self.files, random.Random(seed))
            self.write(changed)
            try:
                judge(self)
            except ValueError as error:
                assert len(str(error)) < 2500, f"seed {seed}: a page of a message"
                refused += 1
            except Exception as error:
                pytest.fail(f"seed {seed} ({', '.join(changed)}): {type(error).__name__}: {error}")
            self.write({name: self.files[name] for name in changed})
        return refused


@pytest.fixture
def attack(released, tmp_path):
    return Attack(tmp_path / released.name, mutations.read(released))


@pytest.fixture
def old_attack(released, tmp_path):
    """An entry from before metadata had a hash."""
    files = mutations.read(released)
    metadata = json.loads(files["metadata.json"])
    del metadata[sealing.SEAL], metadata["files"][sealing.CARD]
    return Attack(tmp_path / released.name, files | {"metadata.json": json.dumps(metadata).encode()})


def loads(attack):
    """What is read of the entry is its weights and its config."""
    entry = Entry.open(attack.folder)
    config, weights = entry.config(), entry.weights()
    entry.check_card()
    assert weights == attack.files["model.weights.h5"] and config == attack.config
    return entry


def loads_the_same(attack):
    """What is read of the entry is all that was published."""
    entry = loads(attack)
    # Written out: to Python 1, 1.0 and True are equal.
    assert json.dumps(entry.metadata, sort_keys=True) == json.dumps(attack.metadata, sort_keys=True)
    assert (attack.folder / sealing.CARD).read_bytes() == attack.files[sealing.CARD]


def every_reader(attack):
    """All that reads a card takes it, or refuses it in a message; the list of the zoo stands whatever is in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = kspike.zoo.list_models(directory=attack.folder.parent)
    lines = str(table)
    if (attack.folder / "metadata.json").exists():
        assert len(table) + len(table.damaged) == 1 and attack.folder.name in lines
    card = kspike.zoo.card(attack.folder)
    with contextlib.redirect_stdout(io.StringIO()):
        command.show(str(attack.folder))
    assert {"accuracy", "energy_mj", "parameters", "reproduce", "data", "class_names"} <= card.keys()
    evaluating.unpack(card["predictions"])
    kspike.zoo.preprocess(IMAGES, attack.folder)
    kspike.zoo.decode_predictions(LOGITS, attack.folder)


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_entry_is_refused_or_is_the_published_one(attack, count):
    refused = attack.run(count, mutations.damage, loads_the_same)
    assert 0.9 * count < refused < count  # what remains: spaces between the values of metadata.json


@pytest.mark.parametrize("count", COUNTS)
def test_of_an_entry_from_before_metadata_had_a_hash_weights_and_config_are_covered(old_attack, count):
    refused = old_attack.run(count, mutations.damage, loads)
    assert 0.5 * count < refused < count


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
def test_whatever_a_card_says_every_reader_says_so_or_why_not(old_attack, count):
    """A hostile author writes hashes that fit: without any, all of the card is theirs."""
    refused = old_attack.run(count, lambda files, rng: mutations.alter(files, rng, "metadata.json"), every_reader)
    assert 0.1 * count < refused < count


@pytest.mark.parametrize("count", COUNTS)
def test_whatever_a_config_says_it_is_made_or_refused(released, attack, rewrite, count):
    def hostile(files, rng):
        changed = mutations.alter(files, rng, "config.json")
        rewrite(attack.folder, config__json=changed["config.json"])
        fitting = (attack.folder / "metadata.json").read_bytes()
        attack.write({"metadata.json": files["metadata.json"]})
        return {**changed, "metadata.json": fitting}

    def is_made(attack):
        config = Entry.open(attack.folder).config()
        assert kspike.cost.parameters(config) == kspike.cost.parameters(attack.config)

    assert 0.5 * count < attack.run(count, hostile, is_made) < count
