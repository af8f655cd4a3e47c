"""`python -m dgm_run` is `dgm-run`."""

from dgm_run.cli import main

main()
