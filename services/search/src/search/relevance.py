"""What a match is worth. A score depends on the listing and the query alone, not on what else is indexed.

So pages do not shift while others write, and every engine, shard and replica answers the same score. Scores are sums of binary
fractions: exact in the engines' 32-bit floats.
"""

from collections.abc import Mapping

from search.text import Match, Word

#: Points per word for a field, by how the field's best token answers it; those of several fields add up.
Points = Mapping[Match, float]

#: An exact match in any field outweighs typos in all of them, and the name outweighs all others together.
NAME: Points = {Match.EXACT: 16.0, Match.PREFIX: 8.0, Match.FUZZY: 1.0}
SECOND: Points = {Match.EXACT: 6.0, Match.PREFIX: 3.0, Match.FUZZY: 0.5}
THIRD: Points = {Match.EXACT: 4.0, Match.PREFIX: 2.0, Match.FUZZY: 0.25}
TEXT: Points = {Match.EXACT: 3.0, Match.PREFIX: 1.5, Match.FUZZY: 0.25}
LAST: Points = {Match.EXACT: 3.0, Match.PREFIX: 1.5, Match.FUZZY: 0.125}

#: Points per word for a listing that is found by what it holds: less than any match in its own name, more than typos elsewhere.
HELD = 0.875


def ways(word: Word) -> tuple[Match, ...]:
    """The ways in which a token may answer `word`."""
    return (Match.EXACT, *((Match.PREFIX,) if word.prefix else ()), *((Match.FUZZY,) if word.edits else ()))
