"""Background: sequences from all over the training chromosomes, open or not, for masked genome modelling alone."""

from __future__ import annotations

import numpy as np

from ..genome import Genome
from .windows import AtacSeqOptions


def choose_background(genome: Genome, options: AtacSeqOptions) -> tuple[np.ndarray, np.ndarray]:
    """
    Where the background sequences lie: tiles of `region_width` bp of the chromosomes that are not held out.

    Tiles with more than `max_n_fraction` unknown bases are left out. Of those that are left, `num_background` are
    taken at equal steps; all, where there are no more.

    Returns:
        Number of the chromosome in `genome.chromosomes` and start (bp, 0-based) of each, int32, in genome order.
    """
    width = options.region_width
    held_out = {*options.validation_chromosomes, *options.test_chromosomes}
    chrom, start = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for number, (name, length) in enumerate(genome.chromosomes.items()):
        if name in held_out or options.num_background == 0:
            continue
        tiles = np.arange(length // width) * width
        runs = genome.unknown_runs(name)
        # Unknown bases before a place: those of the runs that end before it, and the part of the run that it is in.
        before = np.concatenate([[0], np.cumsum(runs[:, 1] - runs[:, 0])])
        edges = np.append(tiles, tiles[-1:] + width)
        run = np.searchsorted(runs[:, 0], edges, side="right")
        past_edge = np.maximum(runs[run - 1, 1] - edges, 0) * (run > 0) if len(runs) else 0
        known = tiles[np.diff(before[run] - past_edge) <= options.max_n_fraction * width]
        chrom.append(np.full(len(known), number, np.int32))
        start.append(known.astype(np.int32))
    all_chrom, all_start = np.concatenate(chrom), np.concatenate(start)
    number = min(options.num_background, len(all_start))
    chosen = np.arange(number) * len(all_start) // max(number, 1)
    return all_chrom[chosen], all_start[chosen]
