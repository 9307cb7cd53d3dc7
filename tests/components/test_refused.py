"""Components that cannot work are refused by name when they are registered or a network is made of them."""

import dataclasses
import subprocess
import sys

import pytest
from keras import ops

import kspike
from kspike import components
from kspike.components import parts
from kspike.space import SearchSpace
from tests.components.own import temporary  # noqa: F401

pytestmark = pytest.mark.usefixtures("temporary")

SMALL = {"input_shape": (16, 16, 1), "num_classes": 3, "embed_dim": 16, "num_heads": 2, "depth": 1, "timesteps": 2}


def made(role, name, base, **methods):
    """A component of these methods, registered."""
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(type("Own", (base,), {"__module__": __name__, **methods}))
    return components.register(role, name)(cls)


def dense(self):
    return {"proj": parts.Dense("width", "width")}


def config(**fields):
    return kspike.SpikformerConfig(**{**SMALL, **fields})


def both(match, **fields):
    """Neither a network nor a supernet of this can be made, be it alone or a choice."""
    with pytest.raises(ValueError, match=match):
        kspike.Spikformer(config(**fields))
    usual = {"mixer": "ssa", "mlp": "spiking", "stem": "sps", "neuron": "lif"}
    genes = {name: (usual[name], value) for name, value in fields.items()}
    with pytest.raises(ValueError, match=match):
        kspike.Supernet(SearchSpace(config(), **genes))
    with pytest.raises(ValueError, match=match):
        kspike.Supernet(SearchSpace(config(**fields), embed_dim=(16, 32)))


def test_a_component_of_another_role_is_refused():
    for fields in ({"mixer": "plif"}, {"neuron": "ssa"}, {"stem": "spiking"}, {"mlp": "sps"}):
        ((role, name),) = fields.items()
        with pytest.raises(ValueError, match=f"{role} '{name}'"):
            config(**fields)
    token_qk = components.get("mixer", "token_qk")
    for role in ("stem", "mlp", "neuron"):
        with pytest.raises(ValueError, match=f"{role} expects a {role}, got the mixer token_qk"):
            config(**{role: token_qk})
    with pytest.raises(ValueError, match=r"register\('mlp', 'own'\) expects a subclass of kspike.components.MLP"):
        made("mlp", "own", components.Mixer, parts=dense)
    assert "own" not in components.names("mlp")


def test_an_unknown_component_or_setting_is_named_with_what_may_be_meant():
    with pytest.raises(ValueError, match=r"Unknown mixer 'token_kq' \(did you mean 'token_qk'.*--import MODULE"):
        config(mixer="token_kq")
    made("mixer", "own", components.Mixer, parts=dense, bias=True, __annotations__={"bias": bool})
    with pytest.raises(ValueError, match=r"mixer 'own' has no setting 'bia' \(did you mean 'bias'"):
        config(mixer={"name": "own", "bia": False})
    with pytest.raises(ValueError, match="mixer 'ssa' has no setting 'bias'"):
        SearchSpace(config(), mixer=("ssa", {"name": "ssa", "bias": False}))


@pytest.mark.parametrize(
    ("declared", "match"),
    [
        ({"proj": parts.Dense("width", "widht")}, "proj names the size 'widht' .did you mean 'width'"),
        ({"proj": parts.Dense("width", "width/3")}, "proj names the size 'width/3'.*as in 'width/8' and 'width.4'"),
        ({"proj": parts.Dense("width", "width*16")}, "proj names the size 'width.16'"),
        ({"proj": parts.Dense("width", "2*width")}, "proj names the size '2.width'"),
        ({"fire": parts.Neuron("atention", "width")}, "neuron kind 'atention' .did you mean 'attention'"),
        ({"fire": parts.Neuron("proj", "width", of="porj")}, "fire is of 'porj', which is no part before it"),
        ({"no name": parts.Norm("width")}, "'no name' names a part"),
        ({"proj": "dense"}, "proj must be a part of kspike.components.parts, got str"),
        (["proj"], "must give a dict from name to part"),
    ],
)
def test_parts_that_no_reader_could_read_are_refused_where_they_are_registered(declared, match):
    with pytest.raises(ValueError, match=match):
        made("mixer", "own", components.Mixer, parts=lambda self: declared)
    assert "own" not in components.names("mixer")


def test_names_that_a_method_is_not_told_are_refused():
    with pytest.raises(ValueError, match="parts names 'heads'; known: residual"):
        made("mixer", "own", components.Mixer, parts=lambda self, *, heads: {})
    with pytest.raises(ValueError, match="forward names 'time'"):
        made("mixer", "own", components.Mixer, parts=dense, forward=lambda self, part, x, sizes, *, time: x)
    with pytest.raises(ValueError, match="step names 'decay'"):
        made("neuron", "own", components.Neuron, step=lambda self, x, v, *, decay: (x, (v,)))


def test_a_forward_that_gives_another_shape_is_refused_where_the_network_is_made():
    def wide(self, part, x, sizes):
        return ops.concatenate([part.proj(x)] * 2, axis=-1)

    def one_token(self, part, x, sizes):
        return ops.mean(part.proj(x), axis=2, keepdims=True)

    for forward in (wide, one_token):
        own = made("mixer", "own", components.Mixer, parts=dense, forward=forward)
        both("mixer own.*: forward must give the shape it takes", mixer=own())
        own = made("mlp", "own", components.MLP, parts=dense, forward=forward)
        both("mlp own.*: forward must give the shape it takes", mlp=own())


def test_a_stem_that_gives_other_tokens_is_refused_where_the_network_is_made():
    conv = lambda self: {"conv": parts.Conv("image", "width", 3, 4)}
    maps = lambda self, part, x, sizes: part.conv(x)
    half = lambda self, part, x, sizes: sizes.to_tokens(part.conv(x))[:, :, ::2]
    for forward in (maps, half):
        own = made("stem", "own", components.Stem, parts=conv, forward=forward)
        both("stem own.*: forward must give .batch, time, tokens, width.", stem=own())


@pytest.mark.parametrize(
    ("after", "said"),
    [(lambda v: (v, v), "it returned 2"), (lambda v: v, "it returned no tuple"), (lambda v: (), "it returned 0")],
)
def test_a_neuron_whose_step_returns_other_states_is_refused_where_the_network_is_made(after, said):
    def step(self, x, v, *, charge, v_threshold, spike):
        h = charge(v, x)
        return spike(h - v_threshold), after(h)

    own = made("neuron", "own", components.Neuron, step=step)
    both(rf"step of neuron own must return .spikes, states. with the states it declares, .'v',.*{said}", neuron=own())


def test_a_step_that_gives_another_shape_is_refused_where_the_network_is_made():
    def step(self, x, v, *, charge, v_threshold, spike):
        h = charge(v, x)
        return ops.mean(spike(h - v_threshold), axis=-1, keepdims=True), (h,)

    own = made("neuron", "own", components.Neuron, step=step)
    both("step of neuron own must give the shape it takes", neuron=own())


def test_a_taken_name_is_refused_and_the_first_stays():
    first = made("mixer", "own", components.Mixer, parts=dense)
    other = dataclasses.dataclass(frozen=True, kw_only=True)(
        type("Other", (components.Mixer,), {"__module__": __name__, "parts": dense})
    )
    with pytest.raises(ValueError, match="The mixer 'own' exists"):
        components.register("mixer", "own")(other)
    assert type(components.get("mixer", "own")) is first
    with pytest.raises(ValueError, match="Other is not registered"):
        config(mixer=other())
    again = made("mixer", "own", components.Mixer, parts=dense)  # the same file, run again: a notebook's cell
    assert type(components.get("mixer", "own")) is again
    with pytest.raises(ValueError, match="must give a dict"):  # and not a broken one in its place
        made("mixer", "own", components.Mixer, parts=lambda self: None)
    assert type(components.get("mixer", "own")) is again


@pytest.mark.once
def test_a_name_of_ours_is_taken_before_anything_of_ours_is_looked_up():
    code = (
        "import dataclasses, sys\n"
        "sys.argv = ['kspike']\n"  # which starts without a backend
        "from kspike import components\n"
        "@components.register('mixer', 'ssa')\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\n"
        "class Mine(components.Mixer):\n"
        "    def parts(self):\n"
        "        return {}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode and "ValueError: The mixer 'ssa' exists" in done.stderr
