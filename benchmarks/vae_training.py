"""Measures the training speed of the reference VAE: images a second of whole steps."""

from dataclasses import dataclass

from benchmarks import gemm_limit, ours, plain
from benchmarks.data import load, mnist_folder
from benchmarks.table import BARE, LOADER, PYTHAE, Contender, Options, Ratios, measure, show
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.device import has_bf16_units


@dataclass(frozen=True)
class Task:
    """A variant of the reference VAE.

    Attributes:
        title: of its table.
        steps: of one turn.
        components: pseudo-inputs of the VampPrior; 0 for N(0, I).
        samples: of the importance-weighted bound; 1 for the ELBO.
    """

    title: str
    steps: int
    components: int = 0
    samples: int = 1

    @property
    def overrides(self) -> list[str]:
        """Overrides that compose this task in dgm-run."""
        prior = ["prior=vampprior", f"prior.num_components={self.components}"] if self.components else []
        return prior + (["objective=iwae", f"objective.num_samples={self.samples}"] if self.samples > 1 else [])


VAE = Task("VAE 784-300-300-40, batches of 100: training", steps=100)
VAMPPRIOR = Task("The same with a VampPrior of 500 pseudo-inputs: training", steps=50, components=500)
IWAE = Task("The same with 50 importance-weighted samples: training", steps=10, samples=50)


def run(task: Task, options: Options) -> Ratios:
    data = load(options.device)
    return show(task.title, measure(_contenders(task, data, options), options))


def _contenders(task: Task, data: LoadedDataset, options: Options) -> list[Contender]:
    steps, shape = options.turns(task.steps), (task.components, task.samples)
    runs = {"dgm-run": ours.trainer_loop(data, options, steps, *task.overrides)}
    if options.compile:
        runs["dgm-run, trainer.compile=true"] = ours.trainer_loop(
            data, options, steps, "trainer.compile=true", *task.overrides
        )
        if has_bf16_units(options.device):
            overrides = ["trainer.compile=true", "trainer.precision=bf16", *task.overrides]
            runs["dgm-run, the same in bf16"] = ours.trainer_loop(data, options, steps, *overrides)
    runs[BARE] = ours.bare_loop(data, options, steps, *task.overrides)
    runs[LOADER] = plain.plain_loop(plain.tensors(data), options, steps, *shape)
    if mnist_folder() and task is VAE:
        images = plain.torchvision_mnist(mnist_folder())
        runs["plain loop, torchvision's MNIST"] = plain.plain_loop(images, options, steps, *shape)
    if options.pythae:
        from benchmarks import peers

        runs[PYTHAE] = peers.trainer_loop(data, options, steps, *shape)
    gemm_limit.add_limits(runs, gemm_limit.training(steps, *shape, options.device))
    return [Contender(name, steps * plain.BATCH_SIZE, run) for name, run in runs.items()]
