"""A list of modules of one kind."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar, overload

from torch import nn

T = TypeVar("T", bound=nn.Module)


class ModuleList(nn.ModuleList, Generic[T]):
    """A `torch.nn.ModuleList` that tells a type checker the kind of its modules."""

    if TYPE_CHECKING:  # torch's own methods do the work

        def __init__(self, modules: Iterable[T] = ()) -> None: ...
        def __iter__(self) -> Iterator[T]: ...
        @overload
        def __getitem__(self, idx: slice) -> "ModuleList[T]": ...
        @overload
        def __getitem__(self, idx: int) -> T: ...
        def __getitem__(self, idx: int | slice) -> "T | ModuleList[T]": ...
