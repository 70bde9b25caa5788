"""Build data sets of TF binding: GUE's files, windows round ChIP-seq summits, or accessible regions of cell types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..atac_seq.build import BUILD_INFO_FILE_NAME
from ..atac_seq.peak_sources import find_peaks
from ..atac_seq.windows import AtacSeqOptions
from ..genome import Genome
from ..gue import find_gue_sets, gue_files, read_gue_set
from ..task_card import public_source
from ..task_tables import describe_file, read_info, summary, write_task_dataset
from .card import gue_card, region_card, window_card
from .experiments import PUBLIC_CHIP_SEQ, find_experiments
from .region_tables import region_tables
from .regions import regions_of_peaks, regions_of_set
from .window_tables import LABELS, Tables, window_tables


BUILDER = "tf_binding_sites"


@dataclass
class TfBindingSitesOptions:
    """What a build is made of beside its input files. Lengths are in bp."""

    window_width: int = field(default=101, metadata={"help": "Width of the windows round summits, bp."})
    max_gc_difference: float = field(
        default=0.02, metadata={"help": "Of a negative window from its positive, as a share of the bases."}
    )
    num_regions: int = field(default=32, metadata={"help": "Regions of the context, the row's own among them."})
    max_span: int = field(
        default=2_000_000,
        metadata={"help": "Regions of the context lie within half of this from the row's own, centre to centre, bp."},
    )
    validation_chromosomes: list[str] = field(
        default_factory=list, metadata={"help": "Chromosomes held out for validation."}
    )
    test_chromosomes: list[str] = field(default_factory=list, metadata={"help": "Chromosomes held out for test."})
    held_out_cell_types: list[str] = field(
        default_factory=list, metadata={"help": "Cell types held out: their rows go to splits of their own."}
    )
    seed: int = field(default=0, metadata={"help": "Of the choice of negatives."})

    def __post_init__(self) -> None:
        self.validation_chromosomes = list(self.validation_chromosomes)
        self.test_chromosomes = list(self.test_chromosomes)
        self.held_out_cell_types = list(self.held_out_cell_types)
        for name, smallest in [("window_width", 1), ("num_regions", 2), ("max_span", 0), ("seed", 0)]:
            if getattr(self, name) < smallest:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least {smallest}")
        if not 0 <= self.max_gc_difference <= 1:
            raise ValueError(f"max_gc_difference={self.max_gc_difference}: expected 0 <= difference <= 1")


@dataclass(frozen=True)
class Inputs:
    """What a set is built from: see `build_tf_binding_sites`."""

    gue_dir: str | Path | None = None
    chip_seq: str | Path | Iterable[str | Path] | None = None
    genome: str | Path | None = None
    atac_seq_dir: str | Path | None = None
    atac_seq_peaks: str | Path | Iterable[str | Path] | None = None
    source_dir: str | Path | None = None

    def check(self, options: TfBindingSitesOptions) -> None:
        """Raise `ValueError` for inputs that do not go together."""
        given = [name for name, value in vars(self).items() if value is not None]
        if (self.gue_dir is None) == (self.chip_seq is None):
            raise ValueError(f"give either gue_dir or chip_seq, found {' and '.join(given) or 'neither'}")
        if self.gue_dir is not None:
            if len(given) > 1:
                raise ValueError(f"gue_dir holds all that its sets are made of, found also {', '.join(given[1:])}")
            if options.validation_chromosomes or options.test_chromosomes or options.held_out_cell_types:
                raise ValueError("gue_dir comes with its own splits: hold out neither chromosomes nor cell types")
        elif self.atac_seq_dir is not None and self.atac_seq_peaks is not None:
            raise ValueError("give either atac_seq_dir or atac_seq_peaks, found both")
        elif self.atac_seq_dir is None and self.genome is None:
            raise ValueError("chip_seq needs the genome that its peaks were called on: give genome, or atac_seq_dir")
        elif options.held_out_cell_types and self.atac_seq_dir is None and self.atac_seq_peaks is None:
            raise ValueError(
                f"held_out_cell_types={options.held_out_cell_types}: without their accessible regions nothing tells "
                "cell types apart; give atac_seq_dir or atac_seq_peaks too"
            )

    def describe(self) -> dict[str, dict[str, str]]:
        """Names and checksums of all files."""
        files: dict[str, dict[str, str]] = {}
        if self.gue_dir is not None:
            for name, folder in find_gue_sets(self.gue_dir).items():
                files |= {f"{name}, {split}": describe_file(file) for split, file in gue_files(folder).items()}
        if self.chip_seq is not None:
            for experiment in find_experiments(self.chip_seq, self.source_dir):
                files[f"ChIP-seq {experiment.name}"] = describe_file(experiment.file)
        if self.genome is not None:
            files["genome"] = describe_file(self.genome)
        if self.atac_seq_dir is not None:
            built = describe_file(Path(self.atac_seq_dir, BUILD_INFO_FILE_NAME))
            files["ATAC-seq set"] = {**built, "file": f"{Path(self.atac_seq_dir).name}/{built['file']}"}
        if self.atac_seq_peaks is not None:
            found = find_peaks(self.atac_seq_peaks, AtacSeqOptions()).files
            files |= {f"ATAC-seq {name}": describe_file(file) for name, file in found.items()}
        return files


def build_tf_binding_sites(
    *,
    output_dir: str | Path,
    gue_dir: str | Path | None = None,
    chip_seq: str | Path | Iterable[str | Path] | None = None,
    genome: str | Path | None = None,
    atac_seq_dir: str | Path | None = None,
    atac_seq_peaks: str | Path | Iterable[str | Path] | None = None,
    source_dir: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Build a data set of TF binding in the Hub's Parquet layout.

    | given | rows |
    |---|---|
    | `gue_dir` | those of the files; a config for each set, such as `tf_0` |
    | `chip_seq`, `genome` | windows round summits, and GC-matched negatives |
    | `chip_seq`, and `atac_seq_dir` or `genome`, `atac_seq_peaks` | consensus regions × cell types, with context |

    The configs made from ChIP-seq are `single_<TF>` (bound or not), `multi_label` where there are two TFs or more, and
    with context `regions`, which the rows refer to. Of several TFs, one whose training rows are of one class has no
    `single_<TF>`, and other splits of one class are left out of it; both are reported.

    The same inputs and options always give the same bytes; the folder appears whole or not at all.

    Args:
        output_dir: the folder to write.
        gue_dir: folder in the layout of the GUE benchmark: `train.csv`, `dev.csv` and `test.csv`, or folders of them.
        chip_seq: peak files `TF.CELLTYPE.narrowPeak`, folders of them, a sample sheet, or the name of a public source:
            see `find_experiments`.
        genome: FASTA or 2bit file that the peaks were called on.
        atac_seq_dir: a set that `build_atac_seq` wrote: its consensus regions and their accessibility.
        atac_seq_peaks: ATAC-seq peaks, from which the consensus regions are made: see `find_peaks`. Cell types have
            the names that they have in `chip_seq`.
        source_dir: a folder with the files of the public source, where they should not be downloaded.
        overwrite: replace a set that is in `output_dir`.
        options: fields of [`TfBindingSitesOptions`].

    Returns:
        What is in `info.json`: options, checksums, split sizes, what was skipped and why, and for each experiment what
        became of its peaks.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: bad input or options, an empty split, or a split of one class.
    """
    inputs = Inputs(gue_dir, chip_seq, genome, atac_seq_dir, atac_seq_peaks, source_dir)
    settings = TfBindingSitesOptions(**options)
    inputs.check(settings)
    info: dict[str, Any] = {"builder": BUILDER, "options": asdict(settings), "inputs": inputs.describe()}
    if gue_dir is not None:
        tables: Tables = {_gue_name(name): read_gue_set(set_, LABELS) for name, set_ in find_gue_sets(gue_dir).items()}
        report: Mapping[str, Any] = {"skipped": {}}
        card = gue_card()
    else:
        assert chip_seq is not None
        experiments = find_experiments(chip_seq, source_dir)
        opened = None if genome is None else Genome(genome)
        cell_types = [experiment.cell_type for experiment in experiments]
        if atac_seq_dir is None and atac_seq_peaks is None:
            assert opened is not None
            tables, report = window_tables(
                experiments,
                opened,
                settings.window_width,
                settings.max_gc_difference,
                settings.validation_chromosomes,
                settings.test_chromosomes,
                settings.seed,
            )
            card = window_card(experiments, settings.window_width)
        else:
            if atac_seq_dir is not None:
                regions = regions_of_set(atac_seq_dir, cell_types)
            else:
                assert opened is not None and atac_seq_peaks is not None
                regions = regions_of_peaks(atac_seq_peaks, opened, cell_types)
            tables, report = region_tables(
                experiments,
                regions,
                settings.num_regions,
                settings.max_span,
                settings.validation_chromosomes,
                settings.test_chromosomes,
                settings.held_out_cell_types,
            )
            card = region_card(experiments, settings.num_regions)
        if str(chip_seq) in PUBLIC_CHIP_SEQ:
            card.sources = [public_source(PUBLIC_CHIP_SEQ[str(chip_seq)])]
    folder = write_task_dataset(output_dir, tables, card, {**info, **report}, overwrite)
    written = read_info(folder)
    print(summary(written))
    return written


def _gue_name(folder: str) -> str:
    """Name of the config of a set: GUE's own sets of TFs are in folders named 0 to 4."""
    return f"tf_{folder}" if folder.isdigit() else folder
