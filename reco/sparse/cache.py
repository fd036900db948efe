"""What is made of weights for inference, and made again once they have changed."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch

Made = TypeVar("Made")


class Cache:
    """The last thing made; belongs to the module that owns the weights."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._made: Any = None

    def get(
        self, tensors: tuple[torch.Tensor, ...], build: Callable[[], Made], also: Hashable = None
    ) -> Made:
        """build(), unless the last call was for the same values of tensors and of `also`.

        A change that torch does not count (through `.data`) goes unnoticed.
        """
        try:
            key = (also, *[(t.data_ptr(), t._version) for t in tensors])
        except RuntimeError:  # changes of tensors made in inference mode are not counted
            return build()
        if key != self._key:
            self._made, self._key = build(), key
        made: Made = self._made
        return made
