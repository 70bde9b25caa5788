"""Batches of a split as the model takes them, made with array code: nothing is computed twice but what is cheap.

Motif scores are what costs: they are computed once, in the compact form of [`compact_region_values`], as float16, into
a file that is memory-mapped, so that data sets larger than the memory do, and several runs on one machine share it.
Tokens are made anew for each batch, from the codes of the bases, in well under a millisecond.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from modeling_genebert import (
    GeneBertFeatureExtractor,
    GeneBertProcessor,
    GeneBertTokenizer,
    MotifBank,
    compact_region_values,
)
from modeling_genebert.configuration_genebert import IGNORE_INDEX, SELF_TILED_CONTEXT, WINDOW_CONTEXT
from modeling_genebert.dna_genebert import BASES, UNKNOWN_BASE, encode_dna, kmer_codes, reverse_complement
from modeling_genebert.motif_scoring_genebert import tile_bounds
from modeling_genebert.region_encoder_genebert import GeneBertScoreNorm
from modeling_genebert.windows_genebert import cut_windows

from .data import PER_BASE, Context, Regions, Split


NUM_SCORED = 512  # examples that say how motif scores vary
ROWS_AT_ONCE = 256  # whose motif scores are computed together


class Rows:
    """
    Sequences, or windows of long ones, as one array of base codes.

    Args:
        sequences: DNA strings.
        width: longest row in bp; None = no limit. Longer sequences are cut into windows of this width.
        step: distance of windows in bp.
    """

    def __init__(self, sequences: list[str], width: int | None = None, step: int | None = None):
        self.num_examples = len(sequences)
        self.first = np.arange(len(sequences) + 1)  # the rows of example i are first[i] to first[i + 1]
        self.window_start = np.zeros(len(sequences), dtype=np.int64)
        self.example_length = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        self.are_windows = width is not None and bool((self.example_length > width).any())
        if self.are_windows:
            assert width is not None and step is not None
            sequences, example, self.window_start = cut_windows(sequences, width, step)
            self.first = np.searchsorted(example, np.arange(self.num_examples + 1))
        self.codes = encode_dna("".join(sequences))
        self.length = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        self.offset = np.concatenate([[0], np.cumsum(self.length)])

    def __len__(self) -> int:
        return len(self.length)

    def of(self, examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of some examples, one after the other; and for each row the place of its example in the list."""
        if not self.are_windows:
            return examples, np.arange(len(examples))
        counts = self.first[examples + 1] - self.first[examples]
        place = np.repeat(np.arange(len(examples)), counts)
        within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.first[examples][place] + within, place

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Base codes, uint8 `(num_rows, longest)`, padded with unknown bases; and lengths in bp."""
        lengths = self.length[rows]
        codes = np.full((len(rows), int(lengths.max(initial=0))), UNKNOWN_BASE, dtype=np.uint8)
        for row, offset, length in zip(codes, self.offset[rows], lengths, strict=True):
            row[:length] = self.codes[offset : offset + length]
        return codes, lengths


def opposite_strands(codes: np.ndarray, lengths: np.ndarray, is_opposite: np.ndarray) -> np.ndarray:
    """The reverse complements of the rows `is_opposite`, each within its own length; the others as they are."""
    codes = codes.copy()
    for row in np.flatnonzero(is_opposite):
        codes[row, : lengths[row]] = reverse_complement(codes[row, : lengths[row]])
    return codes


class Tokens:
    """`input_ids` and `attention_mask` from base codes: what the tokenizer makes of the DNA, without its overhead."""

    def __init__(self, tokenizer: GeneBertTokenizer):
        self.tokenizer = tokenizer
        kmers = ["".join(letters) for letters in product(BASES, repeat=tokenizer.kmer)]
        ids = [tokenizer.convert_tokens_to_ids(kmer) for kmer in kmers]
        self.id_of_rank = np.array([*ids, tokenizer.unk_token_id])  # the last is what rank -1, unknown, finds

    def __call__(self, codes: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
        tokenizer = self.tokenizer
        num_tokens = 1 + np.maximum(lengths - tokenizer.kmer + tokenizer.stride - 1, 0) // tokenizer.stride
        count = int(num_tokens.max(initial=1))
        # Unknown bases past the end make the tail's token [UNK].
        bases = np.full((len(codes), tokenizer.num_bases(count)), UNKNOWN_BASE, dtype=np.uint8)
        bases[:, : codes.shape[1]] = codes[:, : bases.shape[1]]
        input_ids = np.empty((len(codes), count + 2), dtype=np.int64)
        input_ids[:, 0] = tokenizer.cls_token_id
        input_ids[:, 1:-1] = self.id_of_rank[kmer_codes(bases, tokenizer.kmer, tokenizer.stride)]
        column, sep_column = np.arange(count + 2), num_tokens[:, None] + 1
        input_ids[:, -1] = tokenizer.sep_token_id
        if (num_tokens != count).any():
            input_ids[column == sep_column] = tokenizer.sep_token_id
            input_ids[column > sep_column] = tokenizer.pad_token_id
        return {"input_ids": input_ids, "attention_mask": (column <= sep_column).astype(np.int64)}

    def without_sequence(self, num_rows: int) -> dict[str, np.ndarray]:
        """`[CLS] [SEP]`: what a model that is to read the regions alone gets in place of the sequence."""
        input_ids = np.array([[self.tokenizer.cls_token_id, self.tokenizer.sep_token_id]] * num_rows, dtype=np.int64)
        return {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)}


# Motif scores, once


def score_tiles(rows: Rows, extractor: GeneBertFeatureExtractor, cache_folder: Path) -> np.ndarray:
    """Compact region matrices of the rows' own tiles: float16 `(num_rows, M + 3, R)`, memory-mapped."""

    bank = bank_of(extractor)

    def score(some: np.ndarray) -> np.ndarray:
        scores, accessibility, distances, mask = extractor.tile_columns(*rows.padded(some))
        return compact_region_values(halves(scores), accessibility, distances, mask, dtype=np.float16)

    shape = (len(bank) + 3, extractor.num_regions)
    name = ["tiles", bank.fingerprint, extractor.num_regions, extractor.anchor_index]
    return computed_once(rows, score, shape, name, cache_folder)


def score_regions(regions: Regions, extractor: GeneBertFeatureExtractor, cache_folder: Path) -> np.ndarray:
    """Motif scores of open regions: float16 `(num_regions, M)`, memory-mapped."""
    rows, bank = Rows(regions.sequences), bank_of(extractor)

    def score(some: np.ndarray) -> np.ndarray:
        return halves(bank.score(*rows.padded(some))[:, :, 0])

    return computed_once(rows, score, (len(bank),), ["regions", bank.fingerprint], cache_folder)


def bank_of(extractor: GeneBertFeatureExtractor) -> MotifBank:
    assert extractor.motif_bank is not None  # make_model gives it one
    return extractor.motif_bank


def halves(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(scores).half().numpy()  # NumPy takes eight times as long


def computed_once(rows: Rows, score: Any, shape: tuple[int, ...], name: list, cache_folder: Path) -> np.ndarray:
    """`score` of all rows, from a file in the cache folder; made first where there is none.

    Args:
        rows: what is scored; its bases decide on the name of the file.
        score: numbers of rows -> float16 array `(len(numbers), *shape)`.
        shape: of a row's result.
        name: all else that the result depends on.
        cache_folder: where the file is, or will be.
    """
    digest = hashlib.sha256(repr(name).encode())
    digest.update(rows.codes.tobytes())
    digest.update(rows.length.tobytes())
    path = cache_folder / f"{digest.hexdigest()[:32]}.npy"
    if not path.exists():
        cache_folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
        try:
            whole = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=(len(rows), *shape))
            blocks = np.array_split(np.arange(len(rows)), -(-len(rows) // ROWS_AT_ONCE))
            score(blocks[0][:1])  # compiles and makes tables, before there are threads

            def fill(block: np.ndarray) -> None:
                whole[block[0] : block[-1] + 1] = score(block)

            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                done = threads.map(fill, blocks)
                unit = f" x {ROWS_AT_ONCE} rows"
                list(tqdm(done, total=len(blocks), desc="Motif scores", unit=unit, leave=False, disable=None))
            whole.flush()
            del whole
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r")


# Examples


class ExampleDataset(Dataset):
    """
    A split as `Trainer` takes it. Whole batches are made at once (`__getitems__`), so the collator has nothing to do.

    Args:
        split ([`Split`]): the examples.
        problem_type (`str`): see `PROBLEM_TYPES`.
        processor ([`GeneBertProcessor`]): of the model.
        modality (`str`): `both`, `sequence` (no region matrix) or `regions` (`[CLS] [SEP]` in place of the sequence).
        max_num_tokens (`int`, *optional*): longest input of the model, special tokens included.
        window_overlap (`int`, *optional*): cut longer sequences into windows that share so many bp; default: refuse.
        regions ([`Regions`], *optional*): what the split's context refers to.
        cache_folder (`Path`): for motif scores.
        augment (`bool`): give the opposite strand of half of all examples, drawn anew for each epoch.
        both_strands (`bool`): give the other strand too, as `opposite_strand`.
        seed (`int`): of the strands.

    Raises:
        ValueError: sequences longer than the model takes; more regions than the matrix has columns.
    """

    def __init__(
        self,
        split: Split,
        problem_type: str,
        processor: GeneBertProcessor,
        *,
        modality: str = "both",
        max_num_tokens: int | None = None,
        window_overlap: int | None = None,
        regions: Regions | None = None,
        cache_folder: Path,
        augment: bool = False,
        both_strands: bool = False,
        seed: int = 0,
    ):
        self.split, self.problem_type, self.modality = split, problem_type, modality
        self.extractor: GeneBertFeatureExtractor = processor.feature_extractor
        self.tokens = Tokens(processor.tokenizer)
        self.augment, self.both_strands, self.seed = augment, both_strands, seed
        width = step = None
        if max_num_tokens is not None and modality != "regions":
            width = processor.tokenizer.num_bases(max_num_tokens - 2)
            if window_overlap is not None and not 0 <= window_overlap < width:
                raise ValueError(
                    f"window_overlap={window_overlap} bp, expected 0 to less than a window of {width} bp, the model's "
                    f"{max_num_tokens} tokens"
                )
            check_lengths(split, width, window_overlap, max_num_tokens)
            step = width - (window_overlap or 0)
        self.alleles = {"": Rows(split.sequences, width, step)}
        if split.alt_sequences is not None:
            self.alleles["alt_"] = Rows(split.alt_sequences)
        self.matrices: dict[str, np.ndarray] = {}
        self.region_scores: np.ndarray | None = None
        if modality != "sequence" and split.context is not None and regions is not None:
            check_context(split, split.context, self.extractor)
            self.region_scores, self.region_position = (
                score_regions(regions, self.extractor, cache_folder),
                regions.position,
            )
        elif modality != "sequence":
            for allele, rows in self.alleles.items():
                self.matrices[allele] = score_tiles(rows, self.extractor, cache_folder)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the strands of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        self.is_opposite = rng.random(len(self.split)) < (0.5 if self.augment else 0.0)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, example: int) -> dict[str, Any]:
        return self.__getitems__([example])

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch: inputs and labels of the model's `forward`."""
        examples = np.asarray(indices)
        is_opposite = self.is_opposite[examples]
        batch: dict[str, Any] = self.inputs(examples, is_opposite)
        batch["labels"] = torch.from_numpy(self.labels(examples, is_opposite))
        if self.both_strands:
            batch["opposite_strand"] = self.inputs(examples, ~is_opposite)
        return batch

    def inputs(self, examples: np.ndarray, is_opposite: np.ndarray) -> dict[str, torch.Tensor]:
        """Inputs of the model for some examples, of the opposite strand where `is_opposite`."""
        inputs: dict[str, np.ndarray] = {}
        for allele, all_rows in self.alleles.items():
            rows, place = all_rows.of(examples)
            is_turned = is_opposite[place]
            if self.modality == "regions":
                tokens = self.tokens.without_sequence(len(rows))
            else:
                codes, lengths = all_rows.padded(rows)
                tokens = self.tokens(opposite_strands(codes, lengths, is_turned), lengths)
            inputs |= {allele + name: value for name, value in tokens.items()}
            if allele in self.matrices:
                inputs |= {allele + name: value for name, value in self.tiles(allele, rows, is_turned).items()}
            if all_rows.are_windows:
                start, length = all_rows.window_start[rows], all_rows.length[rows]
                from_the_end = all_rows.example_length[examples][place] - start - length
                inputs["overflow_to_sample_mapping"] = place
                inputs["window_starts"] = np.where(is_turned, from_the_end, start)
        num_rows = len(inputs["input_ids"])
        if self.matrices:
            inputs["region_context_ids"] = np.full(num_rows, SELF_TILED_CONTEXT)
        elif self.region_scores is not None:
            columns = self.columns(examples)
            if self.alleles[""].are_windows:
                columns = {name: value[inputs["overflow_to_sample_mapping"]] for name, value in columns.items()}
            inputs |= columns
            inputs["region_context_ids"] = np.full(num_rows, WINDOW_CONTEXT)
        return {name: torch.from_numpy(value) for name, value in inputs.items()}

    def fit_score_norm(self, score_norm: GeneBertScoreNorm) -> None:
        """Tell a new model how motif scores vary, from the columns of at most 512 examples, spread over all."""
        chosen = np.linspace(0, len(self) - 1, min(len(self), NUM_SCORED)).astype(int)
        inputs = self.inputs(chosen, np.zeros(len(chosen), dtype=bool))
        is_column = inputs["region_mask"].numpy().astype(bool)
        scores, context = inputs["region_values"].numpy()[:, :-3].transpose(0, 2, 1), inputs["region_context_ids"][0]
        score_norm.fit(scores[is_column], int(context))
        if context == SELF_TILED_CONTEXT:  # whose best scores make the column of the whole sequence
            score_norm.fit(np.where(is_column[..., None], scores, 0).max(axis=1), WINDOW_CONTEXT)

    def tiles(self, allele: str, rows: np.ndarray, is_turned: np.ndarray) -> dict[str, np.ndarray]:
        """Matrices of the rows' own tiles; of the opposite strand the same scores with the tiles in reverse order."""
        stored = self.matrices[allele]
        values = np.empty((len(rows), *stored.shape[1:]), dtype=np.float16)
        for matrix, row, turned in zip(values, rows, is_turned, strict=True):
            matrix[:] = stored[row]
            if turned:
                matrix[:-1] = stored[row, :-1, ::-1]  # but the distances to the anchor
        lengths, num_regions = self.alleles[allele].length[rows], self.extractor.num_regions
        if lengths.min() >= num_regions:
            mask = np.ones((len(rows), num_regions), dtype=np.int64)
        else:
            mask = tile_mask(lengths, num_regions)
        return {"region_values": values, "region_mask": mask}

    def columns(self, examples: np.ndarray) -> dict[str, np.ndarray]:
        """Matrices of the open regions round the examples."""
        context, scores = self.split.context, self.region_scores
        assert context is not None and scores is not None
        shape = (len(examples), self.extractor.num_regions)
        mask = np.zeros(shape, dtype=bool)
        accessibility = np.full(shape, np.nan, dtype=np.float32)
        distances = np.zeros(shape, dtype=np.int64)
        values = np.zeros((*shape, scores.shape[1]), dtype=np.float16)
        for place, example in enumerate(examples):
            own = slice(context.first[example], context.first[example + 1])
            region_ids, anchor = context.region_ids[own], context.anchor[example]
            if len(region_ids) == 0:
                continue
            first = self.extractor.anchor_index - anchor
            columns = slice(first, first + len(region_ids))
            position = self.region_position[region_ids]
            mask[place, columns] = True
            accessibility[place, columns] = context.accessibility[own]
            distances[place, columns] = position - position[anchor]
            values[place, columns] = scores[region_ids]
        region_values = compact_region_values(values, accessibility, distances, mask, dtype=np.float16)
        return {"region_values": region_values, "region_mask": mask.astype(np.int64)}

    def labels(self, examples: np.ndarray, is_opposite: np.ndarray) -> np.ndarray:
        """Labels of some examples; per base of the strand that is given, padded with -100."""
        if self.problem_type != PER_BASE:
            return self.split.labels[examples]
        chosen = [self.split.labels[example] for example in examples]
        labels = np.full((len(chosen), max(map(len, chosen))), IGNORE_INDEX, dtype=np.int64)
        for row, values, turned in zip(labels, chosen, is_opposite, strict=True):
            row[: len(values)] = values[::-1] if turned else values
        return labels


def tile_mask(lengths: np.ndarray, num_regions: int) -> np.ndarray:
    """1 for each tile that holds a base, int64 `(num_rows, R)`."""
    first, last = tile_bounds(lengths, num_regions, width=1)
    return (first < last).astype(np.int64)


def check_lengths(split: Split, width: int, window_overlap: int | None, max_num_tokens: int) -> None:
    """Raise `ValueError` for sequences longer than the model takes, unless they are to be cut into windows."""
    for name, sequences in (("sequence", split.sequences), ("alt_sequence", split.alt_sequences or [])):
        too_long = [row for row, sequence in enumerate(sequences) if len(sequence) > width]
        if too_long and (window_overlap is None or split.alt_sequences is not None):
            remedy = (
                "cut the alleles' windows shorter" if split.alt_sequences else "shorten them or pass --window_overlap"
            )
            raise ValueError(
                f"{split.name}, row {too_long[0]}: {name} has {len(sequences[too_long[0]])} bp, expected at most "
                f"{width}, which are the model's {max_num_tokens} tokens ({len(too_long)} such rows): {remedy}"
            )


def check_context(split: Split, context: Context, extractor: GeneBertFeatureExtractor) -> None:
    """Raise `ValueError` for more open regions than the matrix has columns on either side of the anchor."""
    counts = np.diff(context.first)
    first = extractor.anchor_index - context.anchor
    bad = np.flatnonzero((counts > 0) & ((first < 0) | (first + counts > extractor.num_regions)))
    if len(bad):
        row = int(bad[0])
        raise ValueError(
            f"{split.name}, row {row}: {context.anchor[row]} regions before the anchor and "
            f"{counts[row] - 1 - context.anchor[row]} after it, expected at most {extractor.anchor_index} and "
            f"{extractor.num_regions - 1 - extractor.anchor_index} (the model's num_regions={extractor.num_regions})"
        )
