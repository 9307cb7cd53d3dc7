"""The JSON schema knows what the code knows, accepts every published space and refuses what loading refuses."""

import dataclasses
import json

import pytest

from kspike._resources import published
from kspike.config import KINDS, SpikformerConfig
from kspike.space import SearchSpace
from kspike.space.gene import FIELDS
from kspike.space.storage import KEYS

pytestmark = pytest.mark.once


def test_the_schema_names_every_field_gene_and_kind_of_the_code():
    schema = SearchSpace.schema()
    assert set(schema["properties"]) == set(KEYS)
    assert set(schema["properties"]["genes"]["properties"]) == set(FIELDS)
    assert set(schema["properties"]["base"]["properties"]) == {f.name for f in dataclasses.fields(SpikformerConfig)}
    kinds = schema["properties"]["genes"]["properties"]["tau"]["anyOf"][-1]["properties"]
    assert set(kinds) == set(KINDS)
    json.dumps(schema)


@pytest.mark.parametrize("name", SearchSpace.names())
def test_published_and_saved_spaces_follow_the_schema(name, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    space = SearchSpace.load(name)
    for path in (published("spaces") / f"{name}.json", space.save(tmp_path / "saved.json")):
        jsonschema.validate(json.loads(path.read_text()), SearchSpace.schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"gens": {}},
        {"genes": {"width": [1]}},
        {"genes": {"embed_dim": []}},
        {"genes": {"tau": {"fc3": [2.0]}}},
        {"genes": {"stem_channels": [[8], [16]]}},
        {"genes": {"mlp_ratio": "4"}},
        {"genes": {"depth": {}}},
        {"genes": {"embed_dim": {"first": [384]}}},
        {"genes": {"mixer": {"0": ["nosuch"]}}},
        {"genes": {"downsample": {"0": ["strided"]}}},
        {"genes": {"timesteps": {"0": [1, 2]}}},
        {"base": {"neuron": "izhikevich"}},
    ],
)
def test_what_loading_refuses_the_schema_refuses(wrong):
    with pytest.raises(ValueError):
        SearchSpace.from_dict(wrong)
    jsonschema = pytest.importorskip("jsonschema")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SearchSpace.schema())


def test_a_file_may_name_its_schema(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps({"$schema": "space.schema.json", "genes": {"depth": [1, 2]}}))
    assert SearchSpace.load(tmp_path / "s.json").size() == 2
