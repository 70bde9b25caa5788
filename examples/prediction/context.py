"""The open regions of a cell type round the records, from a set that `hub_datasets.atac_seq` built."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hub_datasets.atac_seq.reader import AtacSeqSet
from hub_datasets.atac_seq.windows import AtacSeqOptions
from hub_datasets.genome import name_some

from .records import Context, Record


class CellTypeContext:
    """
    Gives each record the open regions round it, laid out as in training.

    The anchor is the region that holds the record's middle, whether it is open in the cell type or closed. Where no
    region does, the middle of the record's own sequence stands in for it: closed, as no cell type of the set has a
    peak there. Before and after it come the nearest open regions of the cell type on the chromosome.

    Args:
        name_or_path: folder or Hub id of the set.
        cell_type: one of its cell types.
        num_regions: columns of the model's region matrix.
        region_width: longest region that the model takes, bp.
        max_span: the regions lie within half of this from the anchor, centre to centre, bp.

    Raises:
        FileNotFoundError: the folder is not a built set.
        ValueError: the set does not have the cell type, or wider regions than the model takes.
    """

    def __init__(
        self,
        name_or_path: str,
        cell_type: str,
        *,
        num_regions: int,
        region_width: int,
        max_span: int = AtacSeqOptions.max_span,
    ):
        atac = AtacSeqSet.load(name_or_path)
        if cell_type not in atac.cell_types:
            raise ValueError(f"{name_or_path}: no cell type {cell_type!r}, it has {name_some(atac.cell_types)}")
        self.store = atac.regions
        self.width = self.store.sequences.width
        if self.width > region_width:
            raise ValueError(
                f"{name_or_path}: its regions are {self.width} bp wide, but the model takes at most {region_width} "
                f"bp: build the set with --region_width {region_width}"
            )
        column = atac.cell_types.index(cell_type)
        chunks = self.store.accessibility.chunks
        self.accessibility = np.concatenate([chunk[:, column] for chunk in chunks])
        self.open_ids = np.flatnonzero(self.store.is_open[:, column])
        self.num_before, self.num_after = num_regions // 2 - 1, num_regions // 2
        self.max_span = max_span

    def add_to(self, records: Iterator[Record]) -> Iterator[Record]:
        """The records, each with its context.

        Raises:
            ValueError: a record without a place.
        """
        for record in records:
            if record.place is None:
                raise ValueError(
                    f"{record.where}: no place on the genome, expected chrom, start and end: the open regions of a "
                    "cell type are found by it"
                )
            chrom, start, end = record.place
            record.context = self.around(chrom, (start + end) // 2, record.sequence)
            yield record

    def around(self, chrom: str, middle: int, sequence: str) -> Context:
        """The regions round a position (bp, 0-based); `sequence` has it in its middle."""
        store = self.store
        if chrom not in store.chromosomes:
            return self._context([], None, middle, sequence, [])
        first, last = np.searchsorted(store.chrom, np.array([0, 1]) + store.chromosomes.index(chrom))
        row = int(first + np.searchsorted(store.start[first:last], middle, side="right")) - 1
        anchor = row if row >= first and middle < store.start[row] + self.width else None
        centre = middle if anchor is None else int(store.centre[anchor])
        on_chromosome = self.open_ids[slice(*np.searchsorted(self.open_ids, [first, last]))]
        others = on_chromosome[on_chromosome != (-1 if anchor is None else anchor)]
        others = others[2 * np.abs(store.centre[others].astype(np.int64) - centre) <= self.max_span]
        split = int(np.searchsorted(store.centre[others], centre))
        before = others[max(0, split - self.num_before) : split].tolist()
        return self._context(before, anchor, centre, sequence, others[split : split + self.num_after].tolist())

    def _context(self, before: list[int], anchor: int | None, centre: int, sequence: str, after: list[int]) -> Context:
        if anchor is None:
            crop = max(0, (len(sequence) - self.width) // 2)
            own, accessibility = sequence[crop : crop + self.width], 0.0
        else:
            own, accessibility = self._sequence(anchor), float(self.accessibility[anchor])
        measured = [*self.accessibility[before].tolist(), accessibility, *self.accessibility[after].tolist()]
        return Context(
            regions=[*map(self._sequence, before), own, *map(self._sequence, after)],
            positions=[*self.store.centre[before].tolist(), centre, *self.store.centre[after].tolist()],
            accessibility=[None if np.isnan(value) else value for value in measured],
            anchor=len(before),
        )

    def _sequence(self, region_id: int) -> str:
        return self.store.sequences.row(region_id).tobytes().decode("ascii")
