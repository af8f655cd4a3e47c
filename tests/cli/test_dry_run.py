import pytest

from tests.support.tiny import run_here, run_refused


def dry_run(arguments, cwd, monkeypatch, capfd):
    """Returns the exit status and the lines of a dry run, which leaves nothing behind."""
    done = run_here("main", [*arguments, "sweep.dry_run=true"], cwd, monkeypatch, capfd)
    assert not [path for path in cwd.iterdir() if path.name != "sweep"]
    return done.returncode, done.stdout.splitlines()


def test_the_jobs_of_a_sweep_are_listed(tmp_path, monkeypatch, capfd):
    arguments = ["-m", "prior=glob(vamp*)", "seed=range(2)", "model.latent_dim=3"]
    assert dry_run(arguments, tmp_path, monkeypatch, capfd) == (
        0,
        [
            "4 jobs, all with model.latent_dim=3:",
            "0  prior=vampprior seed=0",
            "1  prior=vampprior seed=1",
            "2  prior=vampprior_data seed=0",
            "3  prior=vampprior_data seed=1",
            "none would be refused; nothing was run",
        ],
    )


def test_refusals_are_listed_by_job(tmp_path, monkeypatch, capfd):
    arguments = ["-m", "objective=renyi", "objective.alpha=1,0.5,nan,-inf"]
    status, lines = dry_run(arguments, tmp_path, monkeypatch, capfd)
    assert status == 1
    assert lines == [
        "4 jobs, all with objective=renyi:",
        "0  objective.alpha=1: refused: objective: alpha = 1 is the ELBO: use objective=elbo",
        "1  objective.alpha=0.5",
        "2  objective.alpha=nan: refused: objective.alpha = nan must be a number",
        "3  objective.alpha=-inf",
        "2 would be refused; nothing was run",
    ]


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("prior=standard,nope", "prior=nope: there is no such choice"),
        ("lr=1,2", "lr: there is no such key: did you mean optimizer.lr?"),
        ("likelihood=bernoulli,gaussian", "GaussianLikelihood takes continuous data"),
        ("trainer=gradient,em", "trainer: EMTrainer needs model to be of kind"),
        ("dataset=digits,arrays", "dataset.source.path: it is not set"),
        ("optimizer.lr=1e-3,-1", "optimizer.lr = -1 must be greater than 0"),
        ("model.latent_dim=2,2.5", "model.latent_dim: Value '2.5' of type 'float'"),
        ("posterior=gaussian,nice_flow model.latent_dim=1", "model.posterior: latent_dim = 1: a coupling needs two"),
    ],
)
def test_a_job_is_checked_as_far_as_no_data_are_needed(override, reason, tmp_path, monkeypatch, capfd):
    status, lines = dry_run(["-m", *override.split()], tmp_path, monkeypatch, capfd)
    assert status == 1
    assert f": refused: {reason}" in lines[2]


def test_a_single_run_is_checked(tmp_path, monkeypatch, capfd):
    assert dry_run([], tmp_path, monkeypatch, capfd) == (0, ["this run would start; nothing was run"])


def test_single_run_that_is_refused_says_why(tmp_path, monkeypatch, capfd):
    done = run_refused(["model.latent_dim=0", "sweep.dry_run=true"], tmp_path, monkeypatch, capfd)
    assert done == (1, "model.latent_dim = 0 must be at least 1\n")
    assert not list(tmp_path.iterdir())


def test_a_search_has_no_list_of_jobs(tmp_path, monkeypatch, capfd):
    (tmp_path / "sweep" / "hydra" / "sweeper").mkdir(parents=True)
    (tmp_path / "sweep" / "hydra" / "sweeper" / "mine.yaml").write_text("_target_: mine.MySweeper\nparams: null\n")
    arguments = ["--config-dir", "sweep", "-m", "hydra/sweeper=mine", "optimizer.lr=interval(0.1,1)"]
    assert dry_run(arguments, tmp_path, monkeypatch, capfd) == (
        0, ["MySweeper chooses each job by earlier results: there is no list of jobs"]
    )  # fmt: skip


def test_a_resumed_sweep_lists_what_it_has(tmp_path, monkeypatch, capfd):
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "0" / "results.json").write_text("{}")
    (tmp_path / "sweep" / "multirun.yaml").write_text("hydra: {overrides: {task: ['seed=0,1'], hydra: []}}\n")
    status, lines = dry_run(["sweep.resume=sweep"], tmp_path, monkeypatch, capfd)
    assert (status, lines[1:3]) == (0, ["0  seed=0: has results already", "1  seed=1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep.dry_run=maybe"], "sweep.dry_run=maybe: write sweep.dry_run=true or sweep.dry_run=false"),
        (["-m", "optimizer.lr=interval(0.1,1)", "sweep.dry_run=true"], "BasicSweeper does not support sweep type"),
        (["-m", "seed=1,2", "hydra/sweeper=nope", "sweep.dry_run=true"], "hydra/sweeper=nope: there is no such choice"),
    ],
)
def test_dry_run_that_cannot_be_read_refused(arguments, message, tmp_path, monkeypatch, capfd):
    done = run_refused(arguments, tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
