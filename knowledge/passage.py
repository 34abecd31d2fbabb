"""A stretch of a document: what is taken in, found and quoted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document, as it is found and quoted.

    Attributes:
        heading: the headings that it stands under, " › " between the levels; empty if there are none.
        text: plain text of about 130 words, at most 200; line feeds between paragraphs.
        place: where it stands ("Article 5", "§ 12", "p. 3", "Article 5 § 2, p. 3"); empty if that is unknown.
    """

    heading: str
    text: str
    place: str
