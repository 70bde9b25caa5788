"""What the cards of the data sets say."""

from __future__ import annotations

from ..atac_seq.windows import UNSEEN_SUFFIX
from ..task_card import TaskCard
from .experiments import Experiment


def gue_card() -> TaskCard:
    """The card of sets in GUE's layout."""
    return TaskCard(
        pretty_name="TF binding sites, GUE",
        summary="Windows of 101 bp of the human genome that a transcription factor binds or not, from ENCODE "
        "ChIP-seq, in the splits of the Genome Understanding Evaluation (GUE) benchmark. Each config is a task of "
        "its own. Never train on one set of GUE and test on another: they overlap.",
        task_categories=["text-classification"],
        labels={"not_bound": "no ChIP-seq peak of the TF", "bound": "at a ChIP-seq peak of the TF"},
        splits="Those of the files: `train.csv`, `dev.csv` (validation) and `test.csv`.",
        negatives="Those of the files.",
        tags=["tf-binding"],
        sources=[
            (
                "Genome Understanding Evaluation: Zhou et al. (2024), DNABERT-2: Efficient Foundation Model and "
                "Benchmark For Multi-Species Genome, ICLR",
                "https://github.com/MAGICS-LAB/DNABERT_2",
                "not verified",
            )
        ],
    )


def window_card(experiments: list[Experiment], window: int) -> TaskCard:
    """The card of windows round summits."""
    return TaskCard(
        pretty_name="TF binding sites",
        summary=f"Windows of {window} bp round the summits of ChIP-seq peaks. Windows of several peaks that would "
        "overlap are thinned out: the strongest stays (by its rank in its own file), and a weaker peak counts as "
        "bound there if its summit lies within. In `single_<TF>` each row is a place, bound if the TF has a peak "
        "there in any of its cell types. In `multi_label` (of two TFs or more) each row is a place that any TF binds "
        "in any cell type, in one cell type: `label` are the TFs bound there and then (none where it is bound "
        "elsewhere only), `unmeasured` the TFs without ChIP-seq in that cell type.",
        task_categories=["text-classification"],
        labels=_labels(experiments),
        splits="By chromosome (see the options). Rows of training that share a sequence with a row of validation or "
        "test, on either strand, or overlap one, are dropped; likewise rows of validation with the test.",
        negatives="`single_<TF>`: for each bound window one on the same chromosome, without N, that overlaps no peak "
        "of the TF in any cell type, of the same GC content within `max_gc_difference`. A bound window without such a "
        "match stays, and is counted. `multi_label`: no others than the places of other TFs and cell types.",
        tags=["tf-binding", "chip-seq"],
    )


def region_card(experiments: list[Experiment], num_regions: int) -> TaskCard:
    """The card of accessible regions × cell types."""
    return TaskCard(
        pretty_name="TF binding sites in accessible regions",
        summary="Consensus regions of ATAC-seq peaks × cell types. A TF is bound in a region where the summit of one "
        "of its ChIP-seq peaks in that cell type lies within. With each row comes its context: the open regions of "
        f"the cell type round it (`region_ids`, rows of the config `regions`; at most {num_regions} in all), their "
        "`accessibility` in that cell type (rank of the peak signal, 0 to 1; 0 = closed, NaN = not measured), and "
        "`anchor`, the row's own region in these lists, which may be closed. In `multi_label` (of two TFs or more) "
        "`label` are the TFs bound, `unmeasured` the TFs without ChIP-seq in the row's cell type; `single_<TF>` has "
        "the cell types with ChIP-seq of the TF only.",
        task_categories=["text-classification"],
        labels=_labels(experiments),
        splits="`train`, `validation` and `test` by chromosome (see the options). Rows of the cell types in "
        f"`held_out_cell_types` are in `train{UNSEEN_SUFFIX}`, `validation{UNSEEN_SUFFIX}` and `test{UNSEEN_SUFFIX}` "
        f"instead: `test{UNSEEN_SUFFIX}` is unseen in chromosome and cell type. Regions are the same places in all "
        "cell types, so a figure for unseen cell types on training chromosomes would tell what was remembered of the "
        "place. Regions do not overlap; one whose sequence stands, on either strand, in validation or test too is "
        "dropped from training, and likewise from validation if it stands in the test.",
        negatives="All regions not bound in the cell type, open and closed ones: they are more than the bound ones, "
        "and the counts above say how many.",
        tags=["tf-binding", "chip-seq", "atac-seq"],
    )


def _labels(experiments: list[Experiment]) -> dict[str, str]:
    single = {"not_bound": "`single_<TF>`: the TF is not bound", "bound": "`single_<TF>`: the TF is bound"}
    tfs = dict.fromkeys(experiment.tf for experiment in experiments)
    return single | ({tf: f"`multi_label`: {tf} is bound" for tf in tfs} if len(tfs) > 1 else {})
