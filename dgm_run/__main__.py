"""`python -m dgm_run` is `dgm-run`."""

from dgm_run.cli.main import main

if __name__ == "__main__":
    main()
