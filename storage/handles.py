"""The names people bear here: two neutral words, drawn by lot, such as "quiet-heron".

The words say nothing about a person, a people, a place, a body or a belief, are easy to spell, and none is in
both lists.
"""

import random
import re
from typing import Final

ADJECTIVES: Final = tuple(
    """
    agile airy amber ample ancient apt aquatic arctic ardent ashen autumn azure balanced balmy basic
    beaming bold brave breezy bright brisk bronze calm candid careful cheerful chief civil clear clever
    coastal cobalt comic common copper coral cordial cosmic crimson crisp crystal curious daily dapper
    daring deep deft distant dusky eager early earnest easy elegant fair famous fancy fast fine firm first
    fleet floral fluent fond forest frank free fresh friendly frosty gallant general gentle giant glad
    gleaming golden grand grassy great green happy hardy hazel hearty hidden high honest humble icy indigo
    inner ivory jade jolly jovial keen kind large late level light lilac little lively local lofty long
    loyal lucid lucky lunar lush magic major maple marble maroon mellow merry mighty mild mindful minty
    misty modern modest mossy neat nimble novel olive orange outer pacific patient pearly placid plain
    pleasant polar polite prime proud pure purple quick quiet radiant rainy rapid ready robust rosy round
    rustic sage salty sandy scarlet serene sharp shiny silent silky silver simple sincere sleek smart
    smooth snowy social soft solar solid sonic spare spring stable starry steady stellar still summer
    sunny sure swift tawny teal tender thankful tidy topaz tranquil true upbeat upper urban velvet vibrant
    violet vital vivid warm wide windy winter witty woody zesty
    """.split()  # noqa: SIM905 - a list of words reads best as words
)

NOUNS: Final = tuple(
    """
    acorn alder almond anchor antler apple apricot arch arrow aspen aster atlas badger bamboo basil basin
    bay beacon beaver bee beech bell birch bison blossom boat bough breeze bridge brook bud butterfly
    cabin canal candle canoe canyon cape carp cave cedar cello chestnut cliff clock cloud clover coast
    comet compass copse cove crane creek cricket crocus curlew cypress dahlia daisy dale deer delta dew
    dolphin dove drum duck dune eagle elk elm falcon fawn fern ferry fiddle field fig finch fir fjord
    flint flute fountain fox frog garden gate geyser ginger glacier glade goose grove gull hamlet harbor
    hare harp hawk heath heather hedge heron hill hollow horizon ibex inlet iris island ivy jasmine jay
    juniper kestrel kite lagoon lake lantern larch lark laurel lemon lily linden lodge lotus lynx magnolia
    mango marlin marten meadow melon mill mint moon moose moth mountain nest oak oasis ocean orbit orchard
    orchid otter owl oyster palm panda path peach peak pear pebble pelican pepper pine planet plover plum
    pond poplar poppy prairie quail quartz rabbit raven reed reef ridge river robin rook rose rowan
    saffron sail salmon seal shore shrew sky snail spruce squirrel star stork stream sun swallow swan
    thistle thrush tide torch tower trail trout tulip turtle valley walnut wave whale willow wind window
    wren zebra
    """.split()  # noqa: SIM905 - a list of words reads best as words
)


WRITTEN: Final = re.compile(rf"(?<!\w)(?:{'|'.join(ADJECTIVES)})[\s_.-]?(?:{'|'.join(NOUNS)})(?!\w)", re.IGNORECASE)
"""What may be a handle, however it is typed: amber-otter, Amber Otter, amber_otter."""


def draw(rng: random.Random) -> str:
    """Draw a handle; whoever stores it makes sure that nobody else bears it."""
    return f"{rng.choice(ADJECTIVES)}-{rng.choice(NOUNS)}"
