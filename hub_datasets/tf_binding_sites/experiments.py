"""Which ChIP-seq experiments there are, and their peaks."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..downloads import PublicSource, fetch_source
from ..intervals import PEAK_FILE_ENDINGS, Peaks, find_peak_files, is_peak_file, read_peaks


SHEET_COLUMNS = ("tf", "cell_type", "path")

# TF, cell type, file of ENCODE's uniformly called peaks (hg19), as scripts in public repositories download them.
_UNIFORM_PEAKS = [
    ("CTCF", "GM12878", "BroadGm12878Ctcf"),
    ("CTCF", "H1-hESC", "BroadH1hescCtcf"),
    ("CTCF", "HeLa-S3", "BroadHelas3Ctcf"),
    ("CTCF", "HepG2", "BroadHepg2Ctcf"),
    ("CTCF", "HUVEC", "BroadHuvecCtcf"),
    ("CTCF", "K562", "BroadK562Ctcf"),
    ("EGR1", "GM12878", "HaibGm12878Egr1Pcr2x"),
    ("EGR1", "H1-hESC", "HaibH1hescEgr1V0416102"),
    ("EGR1", "K562", "HaibK562Egr1V0416101"),
    ("RAD21", "GM12878", "HaibGm12878Rad21V0416101"),
    ("RAD21", "H1-hESC", "SydhH1hescRad21Iggrab"),
    ("RAD21", "HeLa-S3", "SydhHelas3Rad21Iggrab"),
    ("RAD21", "HepG2", "SydhHepg2Rad21Iggrab"),
    ("RAD21", "K562", "HaibK562Rad21V0416102"),
]
_UNIFORM_PEAKS_FOLDER = "https://hgdownload.soe.ucsc.edu/goldenPath/hg19/encodeDCC/wgEncodeAwgTfbsUniform"

PUBLIC_CHIP_SEQ = {
    "encode_tf": PublicSource(
        name="encode_tf",
        description="TF ChIP-seq peaks of CTCF, EGR1 and RAD21 in human cell lines from ENCODE, uniformly called",
        genome_build="hg19 / GRCh37",
        citation="ENCODE Project Consortium (2012), An integrated encyclopedia of DNA elements in the human genome, "
        "Nature 489, 57-74",
        licence="free use without restrictions: https://www.encodeproject.org/help/citing-encode/",
        licence_link="https://www.encodeproject.org/help/citing-encode/",
        folder="encode_tf",
        urls={
            f"{tf}.{cell_type}.narrowPeak.gz": f"{_UNIFORM_PEAKS_FOLDER}/wgEncodeAwgTfbs{file}UniPk.narrowPeak.gz"
            for tf, cell_type, file in _UNIFORM_PEAKS
        },
        unverified="that the server still has these files at these addresses",
    )
}


@dataclass(frozen=True)
class Experiment:
    """ChIP-seq of one TF in one cell type.

    Attributes:
        tf: name of the TF.
        cell_type: name of the cell type.
        file: its peaks, narrowPeak.
    """

    tf: str
    cell_type: str
    file: Path

    @property
    def name(self) -> str:
        return f"{self.tf}.{self.cell_type}"

    def read(self) -> Peaks:
        """Its peaks; `ValueError` if one has no summit."""
        peaks = read_peaks(self.file)
        missing = np.flatnonzero(peaks.summit < 0)
        if len(missing):
            first = missing[0]
            raise ValueError(
                f"{self.file}: peak {first + 1} ({peaks.chrom[first]}:{peaks.start[first]}-{peaks.end[first]}) has no "
                f"summit, as {len(missing)} of its {len(peaks)} peaks; expected the summit's offset in column 10 of "
                "narrowPeak: call the peaks with summits, or leave the file out"
            )
        return peaks


def find_experiments(
    chip_seq: str | Path | Iterable[str | Path], source_dir: str | Path | None = None
) -> list[Experiment]:
    """The experiments that an argument means.

    Args:
        chip_seq: any of these, or a list of them:

            - peak files named `TF.CELLTYPE.narrowPeak` (also with `.gz`, `.bgz`), or folders of such files;
            - a sample sheet, `.csv`: a header line, then one line a file, with the columns `tf`, `cell_type` and
              `path` (relative to the sheet); other columns are passed over;
            - alone, the name of a public source: see `PUBLIC_CHIP_SEQ`.
        source_dir: a folder with the files of the public source, where they should not be downloaded.

    Returns:
        The experiments, sorted by TF and cell type.

    Raises:
        FileNotFoundError: a file does not exist, or there are none.
        ValueError: a sheet that cannot be read, a name that does not say TF and cell type, or a TF that comes twice
            for a cell type.
    """
    given = [chip_seq] if isinstance(chip_seq, (str, Path)) else list(chip_seq)
    if len(given) == 1 and str(given[0]) in PUBLIC_CHIP_SEQ:
        files = fetch_source(PUBLIC_CHIP_SEQ[str(given[0])], source_dir)
        return _checked([_from_name(file) for file in files.values()])
    if source_dir is not None:
        raise ValueError(
            f"source_dir={source_dir}: is for a public source, but chip_seq is {', '.join(map(str, given))}; "
            f"expected {' or '.join(PUBLIC_CHIP_SEQ)}"
        )
    sheets = [Path(path) for path in given if Path(path).suffix.lower() == ".csv"]
    peak_files = [Path(path) for path in given if Path(path) not in sheets]
    experiments = [experiment for sheet in sheets for experiment in _from_sheet(sheet)]
    for path in peak_files:  # each by itself: a TF that comes twice for a cell type is told below
        experiments += [_from_name(file) for file in find_peak_files(path).values()]
    return _checked(experiments)


def _from_name(file: Path) -> Experiment:
    name = file.name[: file.name.lower().index(".narrowpeak")] if ".narrowpeak" in file.name.lower() else ""
    tf, _, cell_type = name.partition(".")
    if not tf or not cell_type or "." in cell_type:
        raise ValueError(
            f"{file}: expected a name like TF.CELLTYPE.narrowPeak.gz; rename it, or give a sample sheet (.csv) with "
            f"the columns {', '.join(SHEET_COLUMNS)}"
        )
    return Experiment(tf, cell_type, file)


def _from_sheet(sheet: Path) -> list[Experiment]:
    if not sheet.is_file():
        raise FileNotFoundError(f"{sheet}: no such sample sheet")
    experiments = []
    with sheet.open(newline="", encoding="utf-8-sig") as lines:
        try:
            rows = csv.DictReader(lines, strict=True)
            columns = list(rows.fieldnames or [])
            if missing := [column for column in SHEET_COLUMNS if column not in columns]:
                raise ValueError(
                    f"{sheet}:1: no column {' and no column '.join(missing)} in the header, found "
                    f"{', '.join(columns) or 'an empty file'}"
                )
            for row in rows:
                place = f"{sheet}:{rows.line_num}"
                tf, cell_type, path = ((row[column] or "").strip() for column in SHEET_COLUMNS)
                for column, value in zip(SHEET_COLUMNS, (tf, cell_type, path), strict=True):
                    if not value:
                        raise ValueError(f"{place}: {column} is empty")
                file = sheet.parent / path
                if not file.is_file():
                    raise FileNotFoundError(f"{place}: {file}: no such file; paths are relative to the sheet")
                if not is_peak_file(file):
                    raise ValueError(
                        f"{place}: {file}: not a peak file by its name, expected an ending {PEAK_FILE_ENDINGS}"
                    )
                experiments.append(Experiment(tf, cell_type, file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{sheet}: not a sample sheet ({error}); expected text in UTF-8") from error
    if not experiments:
        raise ValueError(f"{sheet}: no lines after the header")
    return experiments


def _checked(experiments: list[Experiment]) -> list[Experiment]:
    """The experiments in order, after checks: a TF comes once for a cell type, and its name fits a config's."""
    files: dict[tuple[str, str], Path] = {}
    for experiment in experiments:
        key = experiment.tf, experiment.cell_type
        if key in files:
            raise ValueError(
                f"{experiment.file}: {experiment.tf} comes a second time for cell type {experiment.cell_type!r}, "
                f"after {files[key]}; keep one (of replicates, the peaks that they agree on)"
            )
        if not re.fullmatch(r"[\w.+-]+", experiment.tf):
            raise ValueError(
                f"{experiment.file}: the TF's name {experiment.tf!r} becomes the name of a config, expected letters, "
                "digits, '.', '+', '-' and '_' only"
            )
        files[key] = experiment.file
    return sorted(experiments, key=lambda experiment: (experiment.tf, experiment.cell_type))
