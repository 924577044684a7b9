"""Which slots of the cache hold the same beginnings, found block by block."""

from collections.abc import Sequence

import attrs

BLOCK_TOKENS = 32
"""Tokens of one node. With keys of 64 components in bf16, as many as fit a page of a head's memory."""

_Block = tuple[int, ...]


@attrs.define(eq=False)
class _Node:
    """One block behind its parent's: what follows it, and who holds everything up to here."""

    parent: "_Node | None"
    block: _Block
    children: dict[_Block, "_Node"] = attrs.field(factory=dict)
    slots: set[int] = attrs.field(factory=set)


class BlockTrie:
    """A prefix tree of token blocks for each owner; owners never see each other's."""

    def __init__(self) -> None:
        self._roots: dict[str, _Node] = {}
        self._paths: dict[int, list[_Node]] = {}
        self._owners: dict[int, str] = {}

    def __len__(self) -> int:
        open_nodes, count = list(self._roots.values()), 0
        while open_nodes:
            children = open_nodes.pop().children.values()
            open_nodes.extend(children)
            count += len(children)
        return count

    def extend(self, slot: int, owner: str, tokens: Sequence[int], length: int) -> None:
        """Note the first ``length`` tokens that a slot holds, which go on from those noted before."""
        path = self._paths.setdefault(slot, [])
        for place in range(len(path) * BLOCK_TOKENS, length - BLOCK_TOKENS + 1, BLOCK_TOKENS):
            node = path[-1] if path else self._root(slot, owner)
            block = tuple(tokens[place : place + BLOCK_TOKENS])
            child = node.children.get(block)
            if child is None:
                child = node.children[block] = _Node(node, block)
            child.slots.add(slot)
            path.append(child)

    def cut(self, slot: int, length: int) -> None:
        """Forget what a slot held behind its first ``length`` tokens."""
        path = self._paths.get(slot, [])
        while len(path) > length // BLOCK_TOKENS:
            node = path.pop()
            node.slots.discard(slot)
            if not node.slots and node.parent is not None:
                del node.parent.children[node.block]
        if not path:
            self._paths.pop(slot, None)
            owner = self._owners.pop(slot, None)
            if owner is not None and not self._roots[owner].children:
                del self._roots[owner]

    def find(self, owner: str, tokens: Sequence[int]) -> tuple[frozenset[int], int]:
        """Find the slots that hold the longest beginning of some tokens.

        Returns:
            Slots, and how many tokens of whole blocks they share; no slots and 0 where there is none.
        """
        node = self._roots.get(owner)
        depth = 0
        while node is not None:
            place = depth * BLOCK_TOKENS
            child = node.children.get(tuple(tokens[place : place + BLOCK_TOKENS]))
            if child is None:
                return frozenset(node.slots), place
            node, depth = child, depth + 1
        return frozenset(), 0

    def _root(self, slot: int, owner: str) -> _Node:
        self._owners[slot] = owner
        root = self._roots.get(owner)
        if root is None:
            root = self._roots[owner] = _Node(None, ())
        return root
