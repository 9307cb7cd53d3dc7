"""torch.func on whole networks: the ordinary gradients, one a sample, forwards, and twice."""

import numpy as np
import pytest

import kspike
from kspike import ops
from tests.helpers import BACKEND, wake

pytestmark = pytest.mark.skipif(BACKEND != "torch", reason="of torch alone")
torch = pytest.importorskip("torch")

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=4, embed_dim=16, depth=1, num_heads=2, timesteps=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True),
)  # fmt: skip
IMAGES, LABELS = torch.rand(5, 8, 8, 1, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 4


@pytest.fixture(params=["add", "membrane", "plif"])
def model(request):
    changes = {"neuron": "plif"} if request.param == "plif" else {"residual": request.param}
    return wake(kspike.Spikformer(CONFIG.replace(**changes)))


def loss_of(model):
    """The loss as a function of parameters by name, images and labels."""

    def loss(parameters, images, labels):
        logits = torch.func.functional_call(model, parameters, (images,), {"training": False})
        return torch.nn.functional.cross_entropy(logits, labels)

    return loss


def learned(model):
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def ordinary(model, images, labels):
    """The gradient of the fast forms, by name."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    loss = torch.nn.functional.cross_entropy(model(images, training=False), labels)
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


def agree(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        size = float(value.abs().max())
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5 * (1 + size), msg=name)


def test_grad_of_a_functional_call_is_the_ordinary_one(model):
    wanted = ordinary(model, IMAGES, LABELS)
    assert sum(bool(g.any()) for g in wanted.values()) > len(wanted) // 2
    agree(torch.func.grad(loss_of(model))(learned(model), IMAGES, LABELS), wanted)


def test_a_functional_call_takes_the_parameters_that_it_is_given(model):
    """Keras' layers read their own variables: replaced parameters would have the gradient 0 without a word."""
    moved = {name: 1.01 * p for name, p in learned(model).items()}
    found, value = torch.func.grad_and_value(loss_of(model))(moved, IMAGES, LABELS)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(moved.get(name, p))
    agree(found, ordinary(model, IMAGES, LABELS))
    logits = model(IMAGES, training=False)
    torch.testing.assert_close(value, torch.nn.functional.cross_entropy(logits, LABELS).detach(), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(before[name])


def test_per_sample_gradients_are_those_of_a_loop_over_samples(model):
    per_sample = torch.func.vmap(torch.func.grad(loss_of(model)), in_dims=(None, 0, 0))
    found = per_sample(learned(model), IMAGES.unsqueeze(1), LABELS.unsqueeze(1))
    for i in range(len(IMAGES)):
        one = {name: g[i] for name, g in found.items()}
        agree(one, ordinary(model, IMAGES[i : i + 1], LABELS[i : i + 1]))


def test_jvp_is_the_gradient_along_a_direction(model):
    parameters = learned(model)
    generator = torch.Generator().manual_seed(1)
    direction = {name: torch.randn(p.shape, generator=generator) for name, p in parameters.items()}
    _, found = torch.func.jvp(lambda p: loss_of(model)(p, IMAGES, LABELS), (parameters,), (direction,))
    wanted = sum((g * direction[name]).sum() for name, g in ordinary(model, IMAGES, LABELS).items())
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_keras_own_stateless_call_works_in_training_too():
    model = wake(kspike.Spikformer(CONFIG))
    others = [v.value for v in model.non_trainable_variables]

    def loss(trainable):
        logits, after = model.stateless_call(trainable, others, IMAGES, training=True)
        return torch.nn.functional.cross_entropy(logits, LABELS), after

    values = [v.value for v in model.trainable_variables]
    found, after = torch.func.grad(loss, has_aux=True)([v.detach() for v in values])
    before = [v.detach().clone() for v in others]
    total = torch.nn.functional.cross_entropy(model(IMAGES, training=True), LABELS)
    agree(dict(enumerate(found)), dict(enumerate(torch.autograd.grad(total, values))))
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))  # the batch's moments went in
    for variable, value in zip(model.non_trainable_variables, after, strict=True):
        torch.testing.assert_close(variable.value.detach(), value.detach(), rtol=1e-4, atol=1e-5)


def test_a_second_derivative_is_refused_with_the_way_to_it():
    model = wake(kspike.Spikformer(CONFIG))
    images = IMAGES.clone().requires_grad_(True)

    def curvature():
        total = torch.nn.functional.cross_entropy(model(images, training=False), LABELS)
        (slope,) = torch.autograd.grad(total, images, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), images)[0]

    with pytest.raises(RuntimeError, match=r"no second derivative.*kspike\.ops\.portable"):
        curvature()
    with ops.portable():
        found = curvature()
    assert found.any()

    def slope_squared(images):
        loss = loss_of(model)
        return torch.func.grad(loss, argnums=1)({}, images, LABELS).square().sum()

    torch.testing.assert_close(torch.func.grad(slope_squared)(IMAGES), found, rtol=1e-3, atol=1e-5)


LAYERS = {
    "neuron": lambda x: ops.lif(x, tau=2.0),
    "no hard reset": lambda x: ops.lif(x, tau=2.0, v_reset=None, detach_reset=False),
    "product": lambda x: ops.linear(x, torch.ones(8, 16)),
    "convolution": lambda x: ops.convolve(x.abs().round(), torch.ones(3, 3, 8, 16)),
    "pool": ops.max_pool,
    "attention": lambda x: ops.attend(*[x.abs().round().reshape(2, 3, 4, 2, 4)] * 3),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_operation_refuses_or_gives_the_references_second_derivative(name):
    """Silently left out, a term would make a curvature of the wrong size."""
    rng = np.random.default_rng(0)

    def curvature():
        x = torch.tensor(rng.normal(size=(2, 3, 4, 8)).astype("float32"), requires_grad=True)
        (slope,) = torch.autograd.grad(LAYERS[name](x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    with ops.portable():
        wanted = curvature()
    rng = np.random.default_rng(0)
    try:
        with ops.ordered_sums():
            found = curvature()
    except RuntimeError as error:
        assert "kspike.ops.portable" in str(error)
    else:
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
