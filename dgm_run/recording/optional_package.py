"""Packages of services, which are installed with an extra of dgm-run."""

from importlib.util import find_spec

from dgm_run.errors import ConfigError


def require_package(name: str) -> None:
    """Refuses a logger whose package is not installed, before anything is imported.

    Args:
        name: name of the package, of the extra that installs it, and of the logger.

    Raises:
        ConfigError: the package is missing; the message says how to install it.
    """
    if find_spec(name) is None:
        raise ConfigError(f"logger.{name}: the package {name} is not installed: pip install 'dgm-run[{name}]'")
