import math

import pytest
import torch
import torch.nn.functional as F

from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.objectives.semi_supervised import SemiSupervised
from tests.models.labelled.test_m2 import images, log_joint, model

pytestmark = pytest.mark.usefixtures("double")


def examples(labelled=None):
    return DataSplit(images(), torch.tensor([2, 0]), to_float, labelled=labelled)


def test_unlabelled_bound_sums_labels():
    m, x = model(), images()
    torch.manual_seed(1)
    loss, terms = SemiSupervised(0.1, 5)(m, x)
    torch.manual_seed(1)
    bounds, log_q = m.log_joint_weights_per_class(x).detach(), m.classify(x).detach()
    by_hand = [
        sum(math.exp(log_q[i, k]) * (bounds[k, i].item() - log_q[i, k].item()) for k in range(3)) for i in range(2)
    ]
    assert loss.item() == pytest.approx(-sum(by_hand) / 2)
    assert terms["elbo"].item() == pytest.approx(sum(by_hand) / 2)


@torch.no_grad()
def test_certain_label_gives_labelled_bound():
    m, x = model(), images()
    torch.manual_seed(1)
    found = torch.stack([SemiSupervised(0.1, 5)(m, x)[1]["elbo"] for _ in range(2000)])
    assert found.mean() < log_joint(m, x).logsumexp(1).mean()
    m.classify = lambda observation: torch.tensor([[-1e3, -1e3, 0.0], [0.0, -1e3, -1e3]])
    torch.manual_seed(1)
    unlabelled = SemiSupervised(0.1, 5)(m, x)[1]["elbo"]
    torch.manual_seed(1)
    bounds = m.log_joint_weights_per_class(x)
    torch.testing.assert_close(unlabelled, (bounds[2, 0] + bounds[0, 1]) / 2)


def test_step_adds_labelled_examples():
    m, train = model(), examples(torch.tensor([0]))
    objective = SemiSupervised(0.7, 4)
    torch.manual_seed(1)
    loss, terms = objective.step(m, train, torch.tensor([0, 1]), None)
    torch.manual_seed(1)
    torch.randint(1, (4,))
    without, _ = objective(m, images())
    observation, y = images()[:1].expand(4, 1, 2, 2), F.one_hot(torch.full((4,), 2), 3).double()
    bound, log_q = m.log_joint_weights(observation, y).mean(), m.classify(observation)[:, 2].mean()
    torch.testing.assert_close(loss, without - 0.5 * bound - 0.7 * log_q)
    torch.testing.assert_close(terms["labelled_elbo"], bound.detach())
    loss.backward()
    assert all(parameter.grad is not None for parameter in m.parameters())


def test_validation_logs_the_error():
    m = model()
    m.classify = lambda observation: torch.tensor([[0.1, 0.2, 0.7], [0.1, 0.8, 0.1]]).log()
    data = LoadedDataset(None, examples(), examples(), examples())
    assert SemiSupervised(0.1, 5).evaluate(m, data, 10)["error"] == 0.5


def test_invalid_settings_are_refused():
    with pytest.raises(ConfigError, match="needs labels, and the data have none"):
        SemiSupervised(0.1, 5).step(model(), DataSplit(images(), None, to_float), torch.tensor([0]), None)
    for settings in ((-1.0, 5), (0.1, 0)):
        with pytest.raises(ValueError, match="must not be negative"):
            SemiSupervised(*settings)
