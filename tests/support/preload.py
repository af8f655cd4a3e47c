"""Prepares the server that forks processes: Hydra's plugins, the YAML files of the defaults, the parts of a VAE."""

from dgm_run.config.compose import compose
from dgm_run.runner.assemble import check_config
from tests.support.parsed_once import parse_files_once

parse_files_once()
check_config(compose("encoder.hidden_dims=[8]", "decoder.hidden_dims=[8]"))
