"""What the cards of splice sites say beside what is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..task_card import TaskCard
from .options import SpliceSiteOptions


VALIDATION_SHARE = 0.2  # of GUE's dev, where it is split

_LABELS = {
    "acceptor": "an intron ends (AG), and an exon begins",
    "donor": "an exon ends, and an intron begins (GT)",
    "neither": "anything else",
}

_SUMMARY = """\
Splice sites of {transcripts:,} annotated transcripts. All sequences are in the direction of transcription.

- `sequences`: {window_size} bp with the border of exon and intron, or a decoy for it, in the middle: the second half
  begins with the intron of a donor, the first half ends with the intron of an acceptor.
- `per_base`: {base_window_size} bp of a transcribed strand, with a label for each base: `donor` for the first base of
  an intron, `acceptor` for its last one. Windows lie side by side along the transcripts; a site near the end of one
  shows little of its surroundings.

`id` is gene, kind and place: the first base of the intron for a donor, its last one for an acceptor, 0-based."""

_SPLITS = """\
By chromosome: validation {validation}; test {test}; training all others. A sequence that stands in two splits, on
either strand, is left in one of them only."""

_NEGATIVES = """\
`sequences`: decoys, {decoy_ratio:g} for each site, drawn at random (seed {seed}): GT for donors, AG for acceptors,
within the transcripts of the same gene, on the same strand, where no transcript of the annotation has a site. Some may
be sites that nobody has annotated yet.

`per_base`: the other bases of the windows with a site, and windows without one: {empty_ratio:g} for each of those, as
far as there are so many."""

_SITES = """\
The transcripts have {sites:,} different sites: the ends of their introns of {min_intron_length} bp or more, each
counted once however many transcripts share it. The outer ends of first and last exons are no splice sites. {known:,}
of the sites have {window_size} bp of known bases round them; {share:.1%} of these are GT (donors) or AG (acceptors).
{others}"""

_OTHERS = {
    True: "The others are kept; as every decoy is GT or AG, a model can tell these from decoys by that alone.",
    False: "The others are left out of `sequences`, and the windows that hold one are left out of `per_base`.",
}

_GUE = (
    "GUE, the Genome Understanding Evaluation (Zhou et al., DNABERT-2), set splice/reconstructed",
    "https://github.com/MAGICS-LAB/DNABERT_2",
    "not verified",
)

_SPLIT_DEV = """\
**Not comparable with published figures**, because GUE's `train.csv` was not at hand. Training on {training:.0%} of
GUE's dev, validation on {validation:.0%} of it, drawn with seed {seed}; GUE's test as the test, without the {repeated}
of its rows that stand in its dev too."""

_OWN_SPLITS = """\
GUE's own: train, dev (here `validation`) and test. {repeated} rows of the test stand in train or dev too; they are
kept, so that figures compare with published ones."""


def annotation_card(
    options: SpliceSiteOptions, facts: Mapping[str, int], sources: Sequence[tuple[str, str, str]]
) -> TaskCard:
    """The card of a set from GTF + genome; `facts` as `tables_of_annotation` gives them."""
    known = facts["sites with a known window"]
    return TaskCard(
        pretty_name="Splice sites",
        summary=_SUMMARY.format(**vars(options), transcripts=facts["transcripts"]),
        task_categories=["text-classification", "token-classification"],
        tags=["splice-sites"],
        labels=_LABELS,
        splits=_SPLITS.format(
            validation=", ".join(options.validation_chromosomes) or "none",
            test=", ".join(options.test_chromosomes) or "none",
        ),
        negatives=_NEGATIVES.format(**vars(options)),
        sources=sources,
        sections={
            "Sites": _SITES.format(
                **vars(options),
                sites=facts["sites"],
                known=known,
                share=facts["of these GT or AG"] / known,
                others=_OTHERS[options.keep_noncanonical],
            )
        },
    )


def gue_card(split_dev: bool, seed: int, num_repeated: int) -> TaskCard:
    """The card of GUE's set; `num_repeated` rows of its test stand in its other files too."""
    if split_dev:
        splits = _SPLIT_DEV.format(
            training=1 - VALIDATION_SHARE, validation=VALIDATION_SHARE, seed=seed, repeated=num_repeated
        )
    else:
        splits = _OWN_SPLITS.format(repeated=num_repeated)
    return TaskCard(
        pretty_name="GUE splice sites" + (", dev split" if split_dev else ""),
        summary="Human splice sites from GUE: 400 bp with the border of exon and intron in the middle (acceptors have "
        "AG before it, donors GT after it), or anything else.",
        task_categories=["text-classification"],
        tags=["splice-sites"],
        labels=_LABELS,
        splits=splits,
        negatives="GUE's own; few of them have GT or AG in the middle.",
        sources=[_GUE],
    )
