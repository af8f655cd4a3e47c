import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp

from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.reverse_ais import RAISE
from dgm_run.models.energy.dbm import DBM
from tests.support import energy

SHAPE = (1, 1, 3)


def make(dtype=torch.float64, num_hidden=(2, 2), mean_field_steps=10, scale=1.0):
    torch.manual_seed(5)
    model = DBM(SHAPE, list(num_hidden), init_scale=scale, visible_bias="logit_mean", mean_field_steps=mean_field_steps)
    with torch.no_grad():
        for value in (model.visible_bias, model.hidden_bias, model.base_logits[:3]):
            value.normal_()
    return model.to(dtype)


def log_joint(model):
    """Minus the energy of all layers, even ones in rows and odd ones in columns, (2^even, 2^odd)."""
    w, sizes = energy.weights_of(model), model.sizes
    even, odd = energy.states(sum(sizes[0::2])), energy.states(sum(sizes[1::2]))
    total = (even @ w["visible_bias"])[:, None] + odd @ w["hidden_bias"]
    starts = [sum(sizes[layer % 2 : layer : 2]) for layer in range(len(sizes))]  # among the layers of its parity
    for layer in range(1, len(sizes)):
        below, above = ((odd if at % 2 else even)[:, starts[at] : starts[at] + sizes[at]] for at in (layer - 1, layer))
        weight = w[f"weight_{layer}"]
        total += below @ weight @ above.T if layer % 2 else (below @ weight @ above.T).T
    return total


class Three:
    """The same with three hidden layers, for the checks of all energy models."""

    make = staticmethod(lambda dtype=torch.float64: make(dtype, num_hidden=(2, 2, 1)))
    log_joint = staticmethod(log_joint)


def log_f_of_pixels(model):
    """log of the sum of exp(-E) over all hidden units, for every x, (2^D,)."""
    return logsumexp(logsumexp(log_joint(model), axis=1).reshape(2**model.num_pixels, -1), axis=1)


@pytest.mark.parametrize("num_hidden", [(2, 2), (6, 1), (2, 2, 1), (1, 2, 1, 2)])  # either parity is the smaller one
def test_partition_matches_enumeration(num_hidden):
    model = make(num_hidden=num_hidden)
    energy.check_partitions(model, log_joint(model))
    energy.check_free_energy(model, log_joint(model))
    assert model.log2_states == min(3 + sum(num_hidden[1::2]), sum(num_hidden[0::2]))


def layers_under_the_mean_field(model, x):
    """x and the means of every hidden layer, each (B, units)."""
    means = model.features(x).detach().numpy()
    return [x.flatten(1).numpy(), *np.split(means, np.cumsum(model.sizes[1:-1]), axis=1)]


def biases_of(model):
    even = np.split(model.visible_bias.detach().numpy(), np.cumsum(model.sizes[0:-1:2])[: len(model.sizes[0::2]) - 1])
    odd = np.split(model.hidden_bias.detach().numpy(), np.cumsum(model.sizes[1::2])[:-1])
    return [units for pair in itertools.zip_longest(even, odd) for units in pair if units is not None]


@pytest.mark.parametrize("num_hidden", [(2, 2), (2, 3, 2)])
def test_mean_field_is_self_consistent(num_hidden):
    model = make(num_hidden=num_hidden, mean_field_steps=500)
    layers, biases = layers_under_the_mean_field(model, energy.visible_states(model)), biases_of(model)
    w = energy.weights_of(model)
    for at in range(1, len(layers)):
        total = layers[at - 1] @ w[f"weight_{at}"] + biases[at]
        if at + 1 < len(layers):
            total += layers[at + 1] @ w[f"weight_{at + 1}"].T
        np.testing.assert_allclose(layers[at], expit(total), atol=1e-10)


@pytest.mark.parametrize("num_hidden", [(2, 2), (2, 3, 2)])
def test_free_energy_is_variational(num_hidden):
    model = make(num_hidden=num_hidden)
    x = energy.visible_states(model)
    layers, biases, w = layers_under_the_mean_field(model, x), biases_of(model), energy.weights_of(model)
    bound = sum(units @ bias for units, bias in zip(layers, biases, strict=True))
    for at in range(1, len(layers)):
        bound += np.einsum("ni,ij,nj->n", layers[at - 1], w[f"weight_{at}"], layers[at])
        bound -= (layers[at] * np.log(layers[at]) + (1 - layers[at]) * np.log1p(-layers[at])).sum(1)
    np.testing.assert_allclose(model.free_energy(x).detach().numpy(), -bound, atol=1e-10)


def test_mean_field_lowers_free_energy():
    truth = -log_f_of_pixels(make(scale=2.0))
    x = energy.visible_states(make())
    found = [make(mean_field_steps=n, scale=2.0).free_energy(x).detach().numpy() for n in (1, 2, 5, 50)]
    for before, after in itertools.pairwise(found):
        assert (after <= before + 1e-12).all()
    assert (found[0] > found[-1] + 1e-6).any()
    assert (found[-1] > truth + 1e-6).all()
    assert np.abs(found[-1] - truth).max() < 1.5


def test_upward_pass_doubles_inputs():
    model = make(num_hidden=(2, 2, 1))
    x = energy.states(3)
    w, biases = energy.weights_of(model), biases_of(model)
    first = expit(2 * x @ w["weight_1"] + biases[1])
    second = expit(2 * first @ w["weight_2"] + biases[2])
    from_pixels = torch.tensor(x @ w["weight_1"] + biases[1])
    (found,) = model._pass_upward(from_pixels)
    np.testing.assert_allclose(found.detach().numpy(), second)


def test_mean_field_starts_upward():
    model = make(mean_field_steps=1, scale=2.0)
    x, w, biases = energy.states(3), energy.weights_of(model), biases_of(model)
    first = expit(2 * x @ w["weight_1"] + biases[1])
    second = expit(first @ w["weight_2"] + biases[2])
    first = expit(x @ w["weight_1"] + second @ w["weight_2"].T + biases[1])
    expected = expit(first @ w["weight_2"] + biases[2])
    found = model.infer(energy.visible_states(model)).states[:, 3:]
    np.testing.assert_allclose(found.detach().numpy(), expected)


def test_missing_pixels_use_upper_layer():
    model = make(torch.float32, scale=3.0)
    energy.check_completion_follows_the_conditional(model)


def test_weighted_samples_are_unbiased():
    model = make()
    x = energy.visible_states(model)
    truth = np.exp(log_f_of_pixels(model))
    torch.manual_seed(0)
    w = model.log_weights(x, 50_000).exp().numpy()
    error = w.std(0) / 50_000**0.5
    assert (np.abs(w.mean(0) - truth) < 5 * error).all()
    assert (error > 2e-5 * truth).all()  # the weights scatter, so that a wrong q would be found out


def test_annealing_is_unbiased_both_ways():
    model = make()
    torch.manual_seed(0)
    w = AIS(100_000, 4, "linear").log_weights(model).exp()
    truth = np.exp(logsumexp(log_joint(model)) - model.log_base_partition().item())
    assert abs(w.mean() - truth) < 5 * w.std() / 100_000**0.5
    states = energy.all_states(model)
    found = RAISE(8, 2000, 100, "linear")(model, states)
    expected = logsumexp(log_joint(model), axis=1) - logsumexp(log_joint(model))
    np.testing.assert_allclose(found.numpy(), expected, atol=0.05)


def test_centered_step_matches_center_model():
    model = make(num_hidden=(2, 3, 2))
    states = energy.all_states(model)
    weights = torch.randn(len(states), dtype=torch.float64)
    weights -= weights.mean()
    state_mean, hidden_mean = torch.rand(6).double(), torch.rand(4).double()
    found = model.center_gradient(
        model.gradient(states, model.preactivations(states), weights), state_mean, hidden_mean
    )

    means = [state_mean[:3], hidden_mean[:2], state_mean[3:], hidden_mean[2:]]
    centered = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}

    def ordinary():
        """Parameters of the ordinary energy: the biases take what the offsets leave over."""
        biases = [
            centered["visible_bias"][:3],
            centered["hidden_bias"][:2],
            centered["visible_bias"][3:],
            centered["hidden_bias"][2:],
        ]
        for at in range(1, 4):
            weight = centered[f"weight_{at}"]
            biases[at - 1] = biases[at - 1] - weight @ means[at]
            biases[at] = biases[at] - weight.T @ means[at - 1]
        names = {name: value for name, value in centered.items() if "weight" in name}
        return names | {"visible_bias": torch.cat(biases[0::2]), "hidden_bias": torch.cat(biases[1::2])}

    start = model.state_dict()
    with torch.no_grad():  # so that the centered machine is the same one
        shift = {name: value - start[name] for name, value in ordinary().items()}
        for name in ("visible_bias", "hidden_bias"):
            centered[name].sub_(shift[name])

    def log_unnormalized(parameters):
        return torch.func.functional_call(model, parameters, (states,))

    model.forward = lambda s: model.log_unnormalized(s, model.preactivations(s))
    loss = -(weights @ log_unnormalized(ordinary()))
    gradients = torch.autograd.grad(loss, list(centered.values()))
    with torch.no_grad():
        before = {name: value.clone() for name, value in ordinary().items()}
        for value, gradient in zip(centered.values(), gradients, strict=True):
            value.sub_(gradient)
        after = ordinary()
    for name, value in found.items():
        torch.testing.assert_close(before[name] - after[name], value, msg=name)


def test_single_layer_input_is_doubled():
    model = make(num_hidden=(2, 3, 2))
    expected = [(2, 3, 1), (2, 2, 2), (1, 3, 2)]  # copies of the lower units, how many, copies of the upper ones
    for index, (visible_copies, num_pixels, hidden_copies) in enumerate(expected):
        stage = model.build_stage(index)
        assert stage.model.shape == (visible_copies, num_pixels)
        assert stage.model.hidden_copies == hidden_copies
        units = stage.prepare(torch.ones(4, *SHAPE, dtype=torch.float64))
        assert units.shape == (4, visible_copies, num_pixels)
        if visible_copies == 2:
            assert torch.equal(units[:, 0], units[:, 1])


def test_finished_stages_copy_weights():
    model = make()
    first, second = model.build_stage(0), None
    with torch.no_grad():
        for value in first.model.parameters():
            value.normal_()
    first.finish()
    second = model.build_stage(1)
    with torch.no_grad():
        for value in second.model.parameters():
            value.normal_()
    second.finish()
    torch.testing.assert_close(model.weights[0], first.model.weight)
    torch.testing.assert_close(model.weights[1], second.model.weight)
    expected = [
        first.model.visible_bias,
        (first.model.hidden_bias + second.model.visible_bias) / 2,
        second.model.hidden_bias,
    ]
    for found, bias in zip(model.biases, expected, strict=True):
        torch.testing.assert_close(found, bias)


def test_stage_data_follow_lower_rbms():
    model = make(num_hidden=(2, 3, 2))
    machines = []
    for index in range(2):
        stage = model.build_stage(index)
        with torch.no_grad():
            for value in stage.model.parameters():
                value.normal_()
        stage.finish()
        machines.append(stage.model)
    x = energy.states(3)[5:6]
    w = [energy.weights_of(machine) for machine in machines]
    first, second = energy.states(2), energy.states(3)

    def law(units, above, weights):  # of the units above, given two copies of those below
        p = expit(2 * units @ weights["weight"] + weights["hidden_bias"])[:, None]
        return (above * p + (1 - above) * (1 - p)).prod(-1)  # (N, states)

    joint = law(x, first, w[0]) @ law(first, second, w[1])
    torch.manual_seed(0)
    draws = model.build_stage(2).prepare(torch.tensor(x).view(1, *SHAPE).expand(50_000, *SHAPE))
    energy.check_follows(draws[:, 0], torch.tensor(joint[0]))


def test_pixel_biases_start_as_set():
    x = torch.bernoulli(torch.full((100, *SHAPE), 0.2))
    for visible_bias in ("logit_mean", "zero"):
        machine = DBM(SHAPE, [2, 2], 0.01, visible_bias, 5).build_stage(0).model
        machine.initialize(x.flatten(1).unsqueeze(1).expand(-1, 2, -1))
        assert bool(machine.visible_bias.any()) == (visible_bias == "logit_mean")


def test_a_single_hidden_layer_is_refused():
    with pytest.raises(ValueError, match=r"num_hidden = \[5\].*model=rbm"):
        make(num_hidden=(5,))
