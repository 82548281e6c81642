"""The processes of one run, and what they gather from each other."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from jaxtyping import Shaped
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The processes that share one piece of work, as `torchrun` starts them; by default one."""

    index: int = 0
    """Which of them this is."""
    size: int = 1
    local_index: int = 0
    """Which of those on this machine: the number of its GPU."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "World":
        """Read what torchrun sets; without it, a world of one."""
        return cls(
            index=int(environment.get("RANK", "0")),
            size=int(environment.get("WORLD_SIZE", "1")),
            local_index=int(environment.get("LOCAL_RANK", "0")),
        )

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Connect the processes, and disconnect them at the end."""
        if self.size == 1:
            yield
            return
        # Over the processors' memory: what is gathered is small, and it works with any device.
        torch.distributed.init_process_group("gloo")
        try:
            yield
        finally:
            torch.distributed.destroy_process_group()

    def gather(self, tensor: Shaped[Tensor, "item *rest"]) -> Shaped[Tensor, "all_items *rest"]:
        """Put what all processes have one after the other; each of them gets the complete result.

        Args:
            tensor: Any number of items, of the same kind and shape in all processes.
        """
        if self.size == 1:
            return tensor
        mine = tensor.cpu()
        lengths = [torch.zeros(1, dtype=torch.long) for _ in range(self.size)]
        torch.distributed.all_gather(lengths, torch.tensor([len(mine)]))
        padded = mine.new_zeros(int(max(lengths)), *mine.shape[1:])
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in lengths]
        torch.distributed.all_gather(parts, padded)
        kept = [part[:length] for part, length in zip(parts, lengths, strict=True)]
        return torch.cat(kept).to(tensor.device)

    def gather_lines(self, lines: Sequence[str]) -> list[str]:
        """Put the lines of all processes one after the other; none may hold a line break."""
        text = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        gathered = self.gather(torch.tensor(list(text), dtype=torch.uint8))
        return bytes(gathered.tolist()).decode("utf-8", "surrogateescape").split("\n")[:-1]
