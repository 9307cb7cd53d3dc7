"""Messages speak of the command's options where the library's speak of Python's arguments."""

import re
from pathlib import Path

import pytest
import typer

import kspike
from kspike.cli import app
from kspike.cli.wording import OPTIONS, in_options

pytestmark = pytest.mark.once
GROUP = typer.main.get_command(app)
SOURCE = "\n".join(path.read_text("utf-8") for path in Path(kspike.__file__).parent.rglob("*.py"))


def command(name):
    found = GROUP
    for part in name.split():
        found = found.commands[part]
    return found


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("train", "go on, or resume=False to start anew.", "go on, or --restart to start anew."),
        ("train", "pass data_dir= or set X; pass download=True, or", "pass --data-dir or set X; pass --download, or"),
        ("train", "augment='flip_shift' mirrors: use augment='shift', or pass Augmentation(flip=0.5, shift=0.1).",
         "--augment flip_shift mirrors: use --augment shift, or pass Augmentation(flip=0.5, shift=0.1)."),
        ("train", "at most learning_rate=0.001.", "at most --learning-rate 0.001."),
        ("train", "recipe.epochs=1, this one has 2", "recipe.epochs=1, this one has 2"),
        ("search", "another project_name, or overwrite=True to start it anew.",
         "another --project, or an empty folder to start it anew."),
        ("search", "population_size: 3 in the project", "--population: 3 in the project"),
        ("search", "call search(train, validation_data=...) first", "call search(train, validation_data=...) first"),
        ("evaluate", "start anew with resume=False", "start anew with kspike train --restart"),  # evaluate has none
        ("zoo publish", "Expected license= of the weights", "Expected --license of the weights"),
        ("zoo publish", "as directory='my_zoo'. (With half=True, 1.)", "as --directory my_zoo. (With --half, 1.)"),
        ("zoo publish", "as directory='my zoo'", "as --directory 'my zoo'"),
        ("zoo show", "beside directory='z'; received data == 3", "beside --directory z; received data == 3"),
    ],
)  # fmt: skip
def test_an_argument_is_said_as_the_option_of_the_command(name, text, said):
    assert in_options(text, command(name)) == said
    assert in_options(text, None) == text


@pytest.mark.parametrize("argument", OPTIONS)
def test_the_table_names_arguments_of_the_library_and_options_of_a_command(argument):
    name, _, value = argument.partition("=")
    assert re.search(rf"\b{name}\b", SOURCE) and (not value or argument in SOURCE)
    commands = [*GROUP.commands.values(), *GROUP.commands["zoo"].commands.values()]
    options = {option for each in commands for parameter in each.params for option in parameter.opts}
    assert OPTIONS[argument] in options or not OPTIONS[argument].startswith("-")
