"""Annotations of the arguments of a target."""

import typing
from typing import Any


def read_annotations(target: Any, include_extras: bool = False) -> dict[str, Any]:
    """Returns the annotations of a target's arguments by name; none if they cannot be evaluated.

    Args:
        target: class or function.
        include_extras: whether the metadata of `Annotated` stays.
    """
    try:
        function = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]  # of this class alone
        return typing.get_type_hints(function, include_extras=include_extras)
    except (NameError, TypeError):  # some annotations of other libraries
        return {}
