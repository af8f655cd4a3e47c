"""Jobs that fail, and jobs with own code."""

import re

from tests.support.tiny import TINY, dgm_run


def test_failed_job_keeps_other_jobs(tmp_path):
    done = dgm_run("-m", "objective=renyi", "objective.alpha=1,0.5,nan", "hydra.sweep.dir=sweep", *TINY, cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "sweep" / "1" / "results.json").exists()
    summary = done.stderr[done.stderr.index("failed jobs:") :]
    assert re.search(r"job 0 .*alpha=1.*: objective: alpha = 1 is the ELBO", summary)
    assert re.search(r"job 2 .*alpha=nan.*: objective.alpha = nan must be a number", summary)
    assert "Traceback" not in done.stderr


def test_own_prior_needs_no_registry(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dgm_run.priors.standard import StandardPrior\n\n\nclass MyPrior(StandardPrior):\n    pass\n"
    )
    (tmp_path / "conf" / "prior").mkdir(parents=True)
    (tmp_path / "conf" / "prior" / "mine.yaml").write_text("_target_: mine.MyPrior\nlatent_dim: ${model.latent_dim}\n")
    done = dgm_run("--config-dir", "conf", "prior=mine", "hydra.run.dir=run", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mine.MyPrior" in (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
