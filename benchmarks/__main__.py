"""The command `python -m benchmarks`: one table a question."""

import argparse
import os
import sys
from functools import partial
from importlib.util import find_spec

import torch

from benchmarks import (
    ais,
    ais_decoder,
    check,
    conv_training,
    gan_training,
    likelihood,
    pixelcnn,
    rbm_training,
    startup,
    vae_training,
    whole_runs,
)
from benchmarks.data import mnist_folder
from benchmarks.table import Options
from dgm_run.memory import keep_freed_memory

QUESTIONS = {
    "vae": partial(vae_training.run, vae_training.VAE),
    "vampprior": partial(vae_training.run, vae_training.VAMPPRIOR),
    "iwae": partial(vae_training.run, vae_training.IWAE),
    "likelihood": partial(likelihood.run, 0),
    "likelihood-vampprior": partial(likelihood.run, 500),
    "conv": conv_training.run,
    "pixelcnn": pixelcnn.training,
    "pixelcnn-sampling": partial(pixelcnn.sampling, "pixelcnn"),
    "gated-pixelcnn-sampling": partial(pixelcnn.sampling, "gated_pixelcnn"),
    "cd-1": partial(rbm_training.run, "cd", 1),
    "pcd-1": partial(rbm_training.run, "pcd", 1),
    "cd-25": partial(rbm_training.run, "cd", 25),
    "ais": ais.run,
    "ais-decoder": ais_decoder.run,
    "gan": partial(gan_training.run, "mlp"),
    "dcgan": partial(gan_training.run, "dcgan"),
    "startup": startup.run,
    "whole-runs": whole_runs.run,
}


def main() -> None:
    arguments = _arguments()
    keep_freed_memory()  # for all alike, as the next line
    torch.set_flush_denormal(True)  # must come before torch starts its threads
    torch.set_num_threads(arguments.threads)
    options = _options(arguments)
    _introduce(options)
    tables = {}
    for name in arguments.only or QUESTIONS:
        tables[name] = QUESTIONS[name](options)
        if arguments.save:
            check.save({name: tables[name]})
    if arguments.check:
        try:
            slower = check.find_slower(tables)
        except ValueError as error:
            sys.exit(str(error))
        sys.exit("\n".join(["", "Slower by more than 15%:", *slower]) if slower else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", choices=QUESTIONS, help=", ".join(QUESTIONS))
    parser.add_argument("--quick", action="store_true", help="few rounds of little work, without compilation")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        help="measure trainer.compile=true (default: unless --quick)",
    )
    ratios = parser.add_mutually_exclusive_group()
    ratios.add_argument("--save", action="store_true", help="save the ratios for --check")
    ratios.add_argument("--check", action="store_true", help="fail if a line is slower by 15%% than the saved ratios")
    parser.add_argument("--device", default="cpu", help="cpu | cuda")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU (default: 2)")
    return parser.parse_args()


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        device=torch.device(arguments.device),
        rounds=3 if arguments.quick else 7,
        effort=0.3 if arguments.quick else 1.0,
        compile=not arguments.quick if arguments.compile is None else arguments.compile,
        pythae=find_spec("pythae") is not None,
    )


def _introduce(options: Options) -> None:
    where = torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else "the CPU"
    images = "MNIST" if mnist_folder() else "random images of MNIST's shape (set DGM_DATA_DIR to measure on MNIST)"
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} threads"
    print(f"torch {torch.__version__} on {where}, {threads}, float32, {images}")
    print(f"Medians of {options.rounds} rounds in turns; a ratio is the median of the ratios within each round.")
    if not options.pythae:
        print("pythae is missing, its rows are left out: pip install -e '.[bench]'")


if __name__ == "__main__":
    main()
