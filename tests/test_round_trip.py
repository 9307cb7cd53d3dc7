"""Finds every public layer of the package by itself, and takes it through its config and back."""

import importlib
import inspect
import json
import pkgutil

import keras
import pytest

import kspike
from kspike import surrogate

pytestmark = pytest.mark.shared

#: Places that may define layers.
PACKAGES = ("kspike.layers", "kspike.models", "kspike.supernet")

#: A value for every argument that has no default.
REQUIRED = {"timesteps": 3, "embed_dim": 32}

#: A value other than the default for every other argument; booleans are flipped.
OTHER = {
    "tau": 3.0,
    "init_tau": 3.0,
    "groups": 2,
    "v_threshold": 0.7,
    "v_reset": -0.5,
    "surrogate": surrogate.ATan(alpha=3.0),
    "residual": "membrane",
    "local": "dwconv3",
    "mixer": "token_qk",
    "mlp": {"name": "spiking", "mlp_bias": False},
    "grid": (2, 4),
    "component": "token_qk",
    "neuron": "plif",
    "num_heads": 4,
    "mlp_ratio": 2.5,
    "hidden_dim": 48,
    "scale": 0.25,
    "embed_dim": 64,
    "timesteps": 5,
    "channels": (4, 8, 16),
    "pool": (True, False, False, True),
    "pool_after": "norm",
    "pool_size": (3, 2),
    "strides": (1, 2),
    "padding": "same",
    "data_format": "channels_first",
    "momentum": 0.5,
    "epsilon": 0.01,
    "name": "another",
    "dtype": "mixed_bfloat16",
    "activity_regularizer": "l2",
    "spike_regularizer": kspike.regularizers.FiringRate(0.5, upper=0.1),
    "beta_initializer": "ones",
    "gamma_initializer": "zeros",
    "moving_mean_initializer": "ones",
    "moving_variance_initializer": "zeros",
    "beta_regularizer": "l2",
    "gamma_regularizer": "l2",
    "beta_constraint": "non_neg",
    "gamma_constraint": "non_neg",
}


#: Arguments inherited from Keras that a layer takes with one value only; refused otherwise.
FIXED = {("Component", "role")} | {
    (norm, name)
    for norm in ("BatchNorm", "BorderNorm", "Int8Norm", "Int8BorderNorm")
    for name in ("axis", "center", "scale", "synchronized", "renorm", "renorm_clipping", "renorm_momentum")
}


def has_constructor(cls: type) -> bool:
    """Whether its arguments are ours: a layer of Keras' that computes otherwise has Keras' arguments and config."""
    return any("__init__" in vars(base) and base.__module__.startswith("kspike.") for base in cls.__mro__)


def found_layers() -> list[type[keras.Layer]]:
    """Every Layer of `kspike.layers`, and every other of the package that says it can be saved.

    A base of others counts only where it is public itself. The supernet's elastic layers are parts of one model, made
    from its plan, and are not registered.
    """
    classes: set[type] = set()
    for name in PACKAGES:
        package = importlib.import_module(name)
        for info in pkgutil.walk_packages(package.__path__, prefix=f"{name}."):
            members = vars(importlib.import_module(info.name)).values()
            classes |= {c for c in members if isinstance(c, type) and issubclass(c, keras.Layer)}
    ours = {c for c in classes if c.__module__.startswith("kspike.") and not issubclass(c, keras.Model)}
    bases = {base for c in ours for base in c.__mro__[1:]} & ours
    public = {
        c
        for c in ours
        if not c.__name__.startswith("_")
        and (c not in bases or c.__name__ in kspike.layers.__all__)
        and (keras.Layer in c.__bases__ or has_constructor(c))
        and (c.__module__.startswith("kspike.layers.") or keras.saving.get_registered_name(c).startswith("kspike>"))
    }
    return sorted(public, key=lambda c: (c.__module__, c.__name__))


LAYERS = found_layers()


def arguments_of(cls: type[keras.Layer]) -> dict[str, inspect.Parameter]:
    """The arguments the constructor takes, those handed on to the bases by **kwargs with them."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        if base is keras.Layer:  # of its own, Keras itself keeps these three
            break
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return found
    for name, default in (("name", None), ("trainable", True), ("dtype", None)):
        found.setdefault(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default))
    return found


def make(cls: type[keras.Layer], **arguments: object) -> keras.Layer:
    needed = [n for n, p in arguments_of(cls).items() if p.default is p.empty and n not in arguments]
    missing = sorted(set(needed) - set(REQUIRED))
    assert not missing, f"{cls.__name__} has arguments without a default that REQUIRED does not know: {missing}"
    return cls(**{name: REQUIRED[name] for name in needed}, **arguments)


def another(cls: type[keras.Layer], name: str) -> object:
    default = arguments_of(cls)[name].default
    if isinstance(default, bool):
        return not default
    assert name in OTHER, f"{cls.__name__} has an argument that OTHER does not know: {name}"
    return OTHER[name]


def free_arguments(cls: type[keras.Layer]) -> list[str]:
    return [name for name in arguments_of(cls) if (cls.__name__, name) not in FIXED]


def through_json(config: object) -> object:
    return json.loads(json.dumps(config))


def test_the_layers_are_found():
    names = {cls.__name__ for cls in LAYERS}
    public = {n for n in kspike.layers.__all__ if has_constructor(getattr(kspike.layers, n))}
    assert public and public <= names


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_config_holds_exactly_the_arguments(cls):
    assert set(make(cls).get_config()) == set(arguments_of(cls))


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_every_argument_reaches_the_config_and_comes_back(cls):
    plain = make(cls).get_config()
    for name in free_arguments(cls):
        config = make(cls, **{name: another(cls, name)}).get_config()
        assert config[name] != plain[name], f"get_config forgets {name}"
        again = cls.from_config(config).get_config()
        assert again == config, f"{name} changes on the way back"


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_the_serialised_form_is_json_and_gives_an_equal_layer(cls):
    layer = make(cls, **{name: another(cls, name) for name in free_arguments(cls)})
    written = keras.saving.serialize_keras_object(layer)
    assert written["registered_name"] == f"kspike>{cls.__name__}"
    again = keras.saving.deserialize_keras_object(through_json(written))
    assert type(again) is cls
    assert keras.saving.serialize_keras_object(again) == written


@pytest.mark.parametrize(("name", "value"), [("axis", 1), ("center", False), ("scale", False)])
def test_batch_norm_refuses_what_it_would_ignore(name, value):
    with pytest.raises(ValueError, match=name):
        kspike.layers.BatchNorm(**{name: value})


@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_an_unknown_argument_is_refused(cls):
    with pytest.raises((TypeError, ValueError)):
        make(cls, an_argument_nobody_has=1)
