"""Time and memory of building the ATAC-seq pre-training set, at four sizes over two orders of magnitude.

    python -m benchmarks.corpus                    # simulated peaks, about 10 minutes on 2 cores
    python -m benchmarks.corpus --peaks FOLDER     # and these too, on random bases with the lengths of hg19

A size is a number of places at which some of 13 cell types have a peak, on a genome of 7.5 kb of random bases a place
(hg19 has so many a region of the blood data). Each is built in a process of its own that starts the workers.

Figures: `regions_per_second`, distinct regions on the clock, start of the workers included, at the largest size;
`time_exponent`, slope of the CPU time of all processes over the number of distinct regions in a log-log plot, less the
CPU time of a build of 100 places, because to start the processes and to draw the report takes as long at any size
(`time_exponent_with_start`: nothing taken off); and `peak_rss_gb`, most memory of any one process at any size (GB of
10**9 bytes). For each size: `regions_SIZE`, `peaks_SIZE`, `seconds_SIZE` (on the clock), `cpu_seconds_SIZE`,
`peak_rss_gb_SIZE` (`worker_peak_rss_gb_SIZE`: of a worker), `unshared_seconds_SIZE` (what the workers do not share:
reading the inputs, the consensus, the report).

`hours_for_17m_2_cores` and `hours_for_17m_64_cores` are for 17 million peaks, from the last build: time grows with the
number of peaks, and 64 workers take 2/64 of the time that 2 workers shared. That assumes as many distinct regions a
peak as there: simulated peaks have about the share of the 13 blood cell types, 410,618 regions of 1,886,326 peaks =
0.22. A real corpus of 17 million has a smaller one, because the genome has only so many places; so this errs on the
side of too many hours.

With `--peaks`, that build is the last one, and its figures end in `_given`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hub_datasets.atac_seq import build as build_module
from hub_datasets.atac_seq import build_atac_seq

from .long_sequences import growth_exponent
from .report import RESULTS, write_report


SIZES = (4_000, 19_000, 87_000, 400_000)
START = "100"
GIVEN = "given"
NUM_PEAKS = 17_000_000
NUM_CELL_TYPES = 13
NUM_CHROMOSOMES = 10
BASES_PER_PLACE = 7_500
# Share of the cell types that have a peak at a place: a beta distribution. It gives 4.6 peaks a region, as in the
# blood data.
OPENNESS = (0.8, 2.2)
SUMMIT_SD = 43  # bp: then two cell types differ by 41 bp (median), as in the blood data
LINE = 60
# Lengths in bp of the UCSC genome hg19, chromosomes only.
HG19 = {
    **{"chr1": 249250621, "chr2": 243199373, "chr3": 198022430, "chr4": 191154276, "chr5": 180915260},
    **{"chr6": 171115067, "chr7": 159138663, "chr8": 146364022, "chr9": 141213431, "chr10": 135534747},
    **{"chr11": 135006516, "chr12": 133851895, "chr13": 115169878, "chr14": 107349540, "chr15": 102531392},
    **{"chr16": 90354753, "chr17": 81195210, "chr18": 78077248, "chr19": 59128983, "chr20": 63025520},
    **{"chr21": 48129895, "chr22": 51304566, "chrX": 155270560, "chrY": 59373566, "chrM": 16571},
}


def write_random_genome(path: Path, chromosomes: dict[str, int], rng: np.random.Generator) -> None:
    """A FASTA file of random bases."""
    letters = np.frombuffer(b"ACGT", np.uint8)
    with path.open("wb") as file:
        for name, length in chromosomes.items():
            file.write(f">{name}\n".encode())
            for start in range(0, length, LINE * 500_000):
                num_bases = min(LINE * 500_000, length - start)
                lines = np.full((-(-num_bases // LINE), LINE + 1), ord("\n"), np.uint8)
                lines[:, :LINE] = letters[rng.integers(0, 4, (len(lines), LINE), dtype=np.uint8)]
                file.write(lines.reshape(-1)[: num_bases + num_bases // LINE].tobytes())
            file.write(b"\n")


def write_simulated_peaks(
    folder: Path, num_places: int, chromosomes: dict[str, int], rng: np.random.Generator
) -> None:
    """narrowPeak files of 13 cell types."""
    folder.mkdir()
    names = np.array(list(chromosomes))
    chrom = rng.integers(0, len(names), num_places)
    place = rng.integers(1_000, np.array(list(chromosomes.values()))[chrom] - 1_000)
    openness = rng.beta(*OPENNESS, num_places)
    for number in range(NUM_CELL_TYPES):
        is_open = np.flatnonzero(rng.random(num_places) < openness)
        summit = place[is_open] + rng.normal(0, SUMMIT_SD, len(is_open)).astype(int)
        signal = rng.lognormal(size=len(is_open))
        lines = [
            f"{name}\t{at - 150}\t{at + 150}\t.\t0\t.\t{value:.5f}\t-1\t-1\t150\n"
            for name, at, value in zip(names[chrom[is_open]], summit, signal, strict=True)
        ]
        (folder / f"type{number:02d}.narrowPeak").write_text("".join(lines), encoding="ascii")


def write_inputs(folder: Path, size: str, peaks: str | None) -> dict[str, str]:
    """Genome and peaks of a size, or a genome for given peaks."""
    rng = np.random.default_rng(0)
    if size == GIVEN:
        chromosomes, peaks = HG19, str(peaks)
    else:
        length = int(size) * BASES_PER_PLACE // NUM_CHROMOSOMES
        chromosomes = {f"chr{number}": length for number in range(1, NUM_CHROMOSOMES + 1)}
        peaks = str(folder / "peaks")
        write_simulated_peaks(Path(peaks), int(size), chromosomes, rng)
    write_random_genome(folder / "genome.fa", chromosomes, rng)
    return {"genome": str(folder / "genome.fa"), "peaks": peaks}


def measure(size: str, build: dict[str, Any]) -> dict[str, float]:
    """Build a set in this process and its workers."""
    shared = 0.0
    write_shards = build_module.write_shards

    def timed(*arguments: Any, **options: Any) -> None:
        nonlocal shared
        start = time.perf_counter()
        write_shards(*arguments, **options)
        shared += time.perf_counter() - start

    build_module.write_shards = timed
    start, cpu_before = time.perf_counter(), cpu_seconds()
    info = build_atac_seq(**build, validation_chromosomes=["chr8"], test_chromosomes=["chr9"])
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    main, worker = (
        resource.getrusage(who).ru_maxrss * unit / 1e9 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        f"regions_{size}": info["num_consensus_regions"],
        f"peaks_{size}": sum(counts["read"] for counts in info["peaks"].values()),
        f"seconds_{size}": seconds,
        f"unshared_seconds_{size}": seconds - shared,
        f"cpu_seconds_{size}": cpu_seconds() - cpu_before,
        f"peak_rss_gb_{size}": max(main, worker),
        f"worker_peak_rss_gb_{size}": worker,
    }


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure_in_fresh_process(size: str, peaks: str | None, settings: dict[str, Any]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        build = {**write_inputs(Path(folder), size, peaks), **settings, "output_dir": f"{folder}/set"}
        command = [sys.executable, "-m", "benchmarks.corpus", "--point", size, json.dumps(build)]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if result.returncode != 0:
            raise RuntimeError(f"the build at size {size} failed")
    return json.loads(result.stdout.splitlines()[-1])


def extrapolate(figures: dict[str, float], size: str, num_workers: int, num_cores: int) -> float:
    """Hours for 17 million peaks, from the build at a size."""
    unshared = figures[f"unshared_seconds_{size}"]
    shared = (figures[f"seconds_{size}"] - unshared) * num_workers / num_cores
    return (unshared + shared) * NUM_PEAKS / figures[f"peaks_{size}"] / 3600


def run(sizes: list[int], peaks: str | None, settings: dict[str, Any]) -> dict[str, float]:
    """All figures."""
    figures: dict[str, float] = {}
    names = [str(size) for size in sizes]
    points = [*([START] if len(names) > 1 else []), *names, *([GIVEN] if peaks else [])]
    for name in points:
        point = measure_in_fresh_process(name, peaks, settings)
        figures.update(point)
        print(", ".join(f"{key} {value:,.3g}" for key, value in point.items()), flush=True)
    if len(names) > 1:
        regions = [int(figures[f"regions_{name}"]) for name in names]
        seconds = [figures[f"cpu_seconds_{name}"] for name in names]
        growing = [value - figures[f"cpu_seconds_{START}"] for value in seconds]
        figures["time_exponent"] = growth_exponent(regions, growing)
        figures["time_exponent_with_start"] = growth_exponent(regions, seconds)
    last = points[-1]
    hours = partial(extrapolate, figures, last, settings["num_workers"])
    return {
        "regions_per_second": figures[f"regions_{last}"] / figures[f"seconds_{last}"],
        "peak_rss_gb": max(figures[f"peak_rss_gb_{name}"] for name in points),
        "hours_for_17m_2_cores": hours(2),
        "hours_for_17m_64_cores": hours(64),
        **figures,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), metavar="PLACES")
    parser.add_argument("--peaks", metavar="FOLDER", help="also build these peaks (hg19)")
    parser.add_argument("--motifs", default="JASPAR2026", help="as for the build")
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--output_dir", default=RESULTS, help="where the result file goes")
    parser.add_argument("--point", nargs=2, metavar=("SIZE", "BUILD"), help="measure one build in this process only")
    options = parser.parse_args(arguments)
    if options.point:
        print(json.dumps(measure(options.point[0], json.loads(options.point[1]))))
        return
    settings = {"motifs": options.motifs, "num_workers": options.num_workers}
    figures = run(options.sizes, options.peaks and str(Path(options.peaks).resolve()), settings)
    description = {
        **settings,
        "sizes": options.sizes,
        "peaks": options.peaks and Path(options.peaks).name,
        "cell_types": NUM_CELL_TYPES,
        "region_width": 500,
        "num_regions": 32,
    }
    write_report("corpus", figures, description, options.output_dir)


if __name__ == "__main__":
    main()
