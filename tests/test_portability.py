"""The package imports on systems that lack what only POSIX has."""

import subprocess
import sys
from pathlib import Path

import dgm_run

ROOT = Path(dgm_run.__file__).parent

IMPORT_ALL = """
import importlib, signal, sys

class Absent:
    names = {"fcntl", "grp", "pwd", "resource", "termios"}

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(name)

for name in Absent.names:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGQUIT"):
    delattr(signal, name)
for name in sys.argv[1:]:
    importlib.import_module(name)
    print(name)
"""


def test_every_module_imports_without_posix():
    files = (path.relative_to(ROOT.parent).with_suffix("").parts for path in sorted(ROOT.rglob("*.py")))
    modules = [".".join(parts).removesuffix(".__init__") for parts in files]
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, *modules], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == modules
