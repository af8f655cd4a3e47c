import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chi2

import dgm_run
from dgm_run.config.compose import instantiate
from tests.support.tiny import SHORT

NETWORK = ("decoder.network.channels=4", "decoder.network.first_kernel_size=3", "decoder.network.num_layers=2")
DECODERS = {
    "pixelcnn": ("decoder=pixelcnn", *NETWORK),
    "gated_pixelcnn": ("decoder=gated_pixelcnn", *NETWORK),
    "mlp": ("decoder=mlp", "decoder.hidden_dims=[5]"),
}


def model(decoder, shape="[1,3,3]"):
    torch.manual_seed(0)
    cfg = dgm_run.compose("model=autoregressive", *DECODERS[decoder], f"dataset.shape={shape}")
    made = instantiate(cfg.model).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return made


def everything(shape):
    rows = list(itertools.product((0.0, 1.0), repeat=int(np.prod(shape))))
    return torch.tensor(rows, dtype=torch.float64).view(-1, *shape)


@torch.no_grad()
@pytest.mark.parametrize("decoder", DECODERS)
def test_samples_follow_the_masses(decoder):
    m = model(decoder)
    p = m.log_prob(everything((1, 3, 3))).exp()
    assert p.sum().item() == pytest.approx(1.0, abs=1e-9)
    drawn = m.sample(20_000).flatten(1).long()
    counts = torch.bincount(drawn @ 2 ** torch.arange(8, -1, -1), minlength=512)
    expected = 20_000 * p
    frequent = expected >= 5
    squares = ((counts - expected).square() / expected)[frequent].sum().item()
    assert chi2.sf(squares, int(frequent.sum()) - 1) > 1e-4


@torch.no_grad()
def test_pixels_depend_on_preceding_ones():
    m = model("gated_pixelcnn")
    x = (torch.rand(1, 1, 3, 3, dtype=torch.float64) < 0.5).double()
    one, zero = x.clone(), x.clone()
    one.view(-1)[8], zero.view(-1)[8] = 1.0, 0.0
    both = torch.logaddexp(m.log_prob(one), m.log_prob(zero))
    rest = [i for i in everything((1, 3, 3)) if torch.equal(i.view(-1)[:8], x.view(-1)[:8])]
    assert both.item() == pytest.approx(m.log_prob(torch.stack(rest)).logsumexp(0).item())
    # p(x_1, ..., x_8) from the conditionals: what the last pixel is changes nothing of it
    seen = torch.autograd.functional.jacobian(lambda x: m.decoder.network(x, torch.zeros(1, 4, 3, 3).double()), x)
    assert torch.count_nonzero(seen.reshape(9, 9).triu()) == 0


def test_independent_pixels_reach_optimum(tmp_path):
    overrides = ("model=autoregressive", "decoder=mlp", "decoder.hidden_dims=[]", "dataset=bars_and_stripes",
                 "optimizer.lr=0.05", "schedule=constant", *SHORT[1:], "trainer.max_epochs=400")  # fmt: skip
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path)["estimates"]
    row = next(row for row in found if row["quantity"] == "log_likelihood")
    assert row["kind"] == "exact"
    assert row["value"] == pytest.approx(-16 * np.log(2), abs=1e-3)  # every pixel is on in half of the images


def test_command_trains_and_samples(tmp_path):
    overrides = ("model=autoregressive", *DECODERS["pixelcnn"], *SHORT[2:], "trainer.max_epochs=5")
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path)
    assert {row["kind"] for row in found["estimates"]} == {"exact"}
    assert -64 * np.log(2) < found["estimates"][0]["value"] < -21
    trained = dgm_run.load(tmp_path).model
    assert trained.sample(3).shape == (3, 1, 8, 8)
    assert (tmp_path / "samples" / "epoch_0005.png").exists()
    assert (tmp_path / "samples_drawn" / "epoch_0005.png").exists()
