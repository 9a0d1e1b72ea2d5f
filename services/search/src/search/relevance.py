"""What a match is worth. A score depends on the room and the query alone, not on what else is indexed.

So pages do not shift while others write, and every engine, shard and replica answers the same score. Scores are sums of binary
fractions: exact in the engines' 32-bit floats.
"""

from search.text import Kind, Word

#: Points per word, by field and by how the field's best token answers it; those of the three fields add up. An exact match in any
#: field outweighs typos in all of them, and the name outweighs place and description together.
POINTS: dict[str, dict[Kind, float]] = {
    "name": {Kind.EXACT: 16.0, Kind.PREFIX: 8.0, Kind.FUZZY: 1.0},
    "place": {Kind.EXACT: 6.0, Kind.PREFIX: 3.0, Kind.FUZZY: 0.5},
    "description": {Kind.EXACT: 3.0, Kind.PREFIX: 1.5, Kind.FUZZY: 0.25},
}


def kinds(word: Word) -> tuple[Kind, ...]:
    """The ways in which a token may answer `word`."""
    return (Kind.EXACT, *((Kind.PREFIX,) if word.prefix else ()), *((Kind.FUZZY,) if word.edits else ()))
