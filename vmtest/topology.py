# SPDX-License-Identifier: GPL-2.0-only
"""Which node of a guest has how much memory and which processors, and how far they are apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .errors import InvalidInput
from .sizes import MIB, parse_size, shown

MAX_NODES = 8
#: A kernel's default distance between nodes.
REMOTE = 20
LOCAL = 10
MIN_FIRST = 128 * MIB
_DISTANCE = re.compile(r"(\d{1,4}):(\d{1,4})=(\d{1,4})", re.ASCII)


@dataclass(frozen=True)
class Node:
    """Memory in bytes, processors by number; a node may lack one of them."""

    memory: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Topology:
    """Nodes, and distances by pair of nodes; no distances leaves them to the firmware (10 and 20)."""

    nodes: tuple[Node, ...]
    distances: tuple[tuple[int, int, int], ...] = ()

    def arguments(self, backend: Callable[[int, int], str]) -> list[str]:
        """QEMU's words; none for a single node, which needs no description.

        Args:
            backend: from a node and its MiB, the object that is its memory, called ``memoryNODE``.
        """
        words: list[str] = []
        if len(self.nodes) == 1:
            return words
        for number, node in enumerate(self.nodes):
            value = f"node,nodeid={number}"
            if node.memory:
                words += ["-object", backend(number, node.memory // MIB)]
                value += f",memdev=memory{number}"
            if node.cpus:
                value += f",cpus={node.cpus[0]}-{node.cpus[-1]}"
            words += ["-numa", value]
        for source, target, value_ in self.distances:
            words += ["-numa", f"dist,src={source},dst={target},val={value_}"]
        return words

    @property
    def sockets(self) -> int:
        """A node is at least a socket: the kernel warns about processors of two nodes that share a cache."""
        counts = {len(node.cpus) for node in self.nodes if node.cpus}
        total = sum(len(node.cpus) for node in self.nodes)
        return total // counts.pop() if len(counts) == 1 else total


def make(memory: int, cpus: int, numa: int, numa_memory: str, numa_cpus: str, numa_distance: str) -> Topology:
    """The topology of a configuration's values, named as there; ``memory`` in bytes.

    Raises:
        InvalidInput: they do not fit together; the message names the value.
    """
    if not 1 <= numa <= MAX_NODES:
        raise InvalidInput(f"numa: {numa}: is out of range; give 1 to {MAX_NODES}")
    sizes = _sizes(memory, numa, numa_memory)
    counts = _counts(cpus, numa, numa_cpus)
    nodes, first = [], 0
    for size, count in zip(sizes, counts, strict=True):
        nodes.append(Node(size, tuple(range(first, first + count))))
        first += count
    return Topology(tuple(nodes), _distances(numa, numa_distance))


def _list(text: str, name: str, numa: int) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if len(words) != numa:
        raise InvalidInput(f"{name}: {text!r}: names {len(words)} nodes, numa is {numa}; give one value for each node")
    return words


def _sizes(memory: int, numa: int, text: str) -> list[int]:
    if not text:
        total = memory // MIB
        return [(total // numa + (total % numa if node == 0 else 0)) * MIB for node in range(numa)]
    sizes = [parse_size(word, "numa_memory") // MIB * MIB for word in _list(text, "numa_memory", numa)]
    if sum(sizes) != memory:
        raise InvalidInput(
            f"numa_memory: {text!r}: adds up to {shown(sum(sizes))}, memory is {shown(memory)}; make them equal"
        )
    if sizes[0] < MIN_FIRST:
        raise InvalidInput(f"numa_memory: {text!r}: the kernel boots in node 0; give that at least {shown(MIN_FIRST)}")
    return sizes


def _counts(cpus: int, numa: int, text: str) -> list[int]:
    if not text:
        if numa > cpus:
            raise InvalidInput(f"numa: {numa}: every node has a processor; give 1 to cpus ({cpus}), or numa_cpus")
        return [sum(cpu * numa // cpus == node for cpu in range(cpus)) for node in range(numa)]
    words = _list(text, "numa_cpus", numa)
    if not all(re.fullmatch("[0-9]{1,4}", word) for word in words):
        raise InvalidInput(f"numa_cpus: {text!r}: is not valid; give numbers of processors by node, as in 2,0")
    counts = [int(word) for word in words]
    if sum(counts) != cpus:
        raise InvalidInput(f"numa_cpus: {text!r}: adds up to {sum(counts)}, cpus is {cpus}; make them equal")
    return counts


def _distances(numa: int, text: str) -> tuple[tuple[int, int, int], ...]:
    if not text:
        return ()
    given: dict[tuple[int, int], int] = {}
    for word in text.split(","):
        match = _DISTANCE.fullmatch(word.strip())
        if match is None:
            raise InvalidInput(f"numa_distance: {word!r}: is not valid; give NODE:NODE=DISTANCE, as in 0:1=30")
        source, target, value = int(match[1]), int(match[2]), int(match[3])
        if max(source, target) >= numa:
            raise InvalidInput(f"numa_distance: {word!r}: there is no node {max(source, target)}; numa is {numa}")
        if source == target or not LOCAL < value < 255:
            raise InvalidInput(f"numa_distance: {word!r}: is out of range; give 11 to 254, a node is 10 from itself")
        if given.setdefault((source, target), value) != value:
            raise InvalidInput(f"numa_distance: {text!r}: gives {source}:{target} twice; remove one")
    # One way that is given is that of both, and QEMU needs all of them when it is given any.
    return tuple(
        (source, target, given.get((source, target), given.get((target, source), REMOTE)))
        for source in range(numa)
        for target in range(numa)
        if source != target
    )
