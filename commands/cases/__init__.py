"""Cases: what a team works on, how it is asked after, and what came of it; never a fact of a victim."""

from commands.cases import checkins, registry
from commands.cases.kinds import case

__all__ = ["case", "checkins", "registry"]
