"""Everything a person can say to the bots, and what the bots say by themselves."""

from commands.ask import ask
from commands.audit import audit
from commands.cases import case
from commands.checklists import checklists
from commands.core.feature import Feature
from commands.digest import digest
from commands.feedback import feedback, lessons
from commands.help import help_
from commands.library import library
from commands.members import me, roles
from commands.office_hours import hours
from commands.privacy import privacy

FEATURES: tuple[Feature, ...] = (
    help_,
    me,
    hours,
    case,
    feedback,
    lessons,
    library,
    ask,
    checklists,
    digest,
    roles,
    privacy,
    audit,
)
"""Every feature, in the order in which help shows them."""
