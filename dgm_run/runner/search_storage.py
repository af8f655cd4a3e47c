"""Storage of a search: the database that holds its trials, opened by the search and by the runs that it prunes."""

import sqlite3
from functools import partial
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import SQLAlchemyError

from dgm_run.errors import ConfigError

FILES = {"sqlite": "search.db", "journal": "search.log"}
"""Files of the storages that lie in the folder of the sweep."""

LOCK_WAIT = 60.0
"""Seconds that a worker waits while another one writes into the SQLite file."""


def open_storage(name: str, folder: Path) -> BaseStorage:
    """Opens the storage of a search.

    Args:
        name: `sqlite` or `journal` for a file in the folder, or the URL of a database.
        folder: folder of the sweep.

    Raises:
        ConfigError: the database cannot be reached.
    """
    if name == "journal":
        return JournalStorage(JournalFileBackend(str(folder / FILES["journal"])))
    try:
        if name == "sqlite":  # a URL cannot hold every path
            file = folder / FILES["sqlite"]
            connect = partial(sqlite3.connect, file, timeout=LOCK_WAIT, check_same_thread=False)
            return RDBStorage(f"sqlite:///{FILES['sqlite']}", engine_kwargs={"creator": connect})
        return RDBStorage(name)
    except (ImportError, ValueError, SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ConfigError(
            f"hydra.sweeper.storage={_hide_password(name)}: cannot be opened ({reason}): write sqlite, journal, or the "
            "URL of a database"
        ) from None


def is_storage_lost(name: str, folder: Path) -> bool:
    """Returns whether the file of a storage is missing: opening it would make an empty one."""
    return name in FILES and not (folder / FILES[name]).exists()


def _hide_password(url: str) -> str:
    """Returns the URL without its user and password."""
    scheme, _, place = url.rpartition("://")
    return f"{scheme}://{place.rpartition('@')[2]}" if scheme else url
