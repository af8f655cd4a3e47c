import torch

from dgm_run.models.labelled.base import LabelledModel


class EchoModel(LabelledModel):
    """Weights that name the class for which they were asked."""

    num_classes = 3

    def infer(self, x): ...
    def latent_prior(self): ...
    def decode(self, z): ...
    def classify(self, observation): ...
    def decode_class_means(self, n, like): ...
    def sample_of_class(self, n, y): ...

    def log_joint_weights(self, observation, y):
        assert y.shape == (3, 1, 3)
        return y.argmax(-1) + observation.sum(1)


def test_one_call_serves_all_classes():
    found = EchoModel().log_joint_weights_per_class(torch.tensor([[0.5, 0.25], [1.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.75, 2.0], [1.75, 3.0], [2.75, 4.0]]))
