"""Data collators that mask DNA: for `GeneBertForPreTraining`, and for `GeneBertForMaskedLM`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch

from .configuration_genebert import IGNORE_INDEX
from .dna_genebert import UNKNOWN_BASE, encode_dna
from .feature_extraction_genebert import GeneBertFeatureExtractor
from .masking_genebert import SegmentRandom, mask_segments
from .region_values_genebert import compact_region_values
from .tokenization_genebert import GeneBertTokenizer, kmer_vocabulary


PAD_ID, CLS_ID, SEP_ID = 0, 2, 3


class GeneBertDataCollatorForPreTraining:
    """
    Masks the segments, lays the region matrices, and pads. All in array code.

    Each example is a dict, as `PreTrainingDataset` makes it:

    - `segment_a`, `segment_b`: uint8 base codes of shape `(segment_length,)`; `segment_b` may be None;
    - `scores` `(R, M)`, `accessibility` `(R,)`, `distances` `(R,)`, `region_mask` `(R,)`: the columns of a window; or
      `tiled_segment` `(segment_length,)`: the segment whose own tiles make the matrix;
    - `ngsp_label`, `srm_label`: 0, 1 or -100;
    - `seed`: ints that decide the masks of this example, so that a batch is the same in every run and process.

    Args:
        feature_extractor (`GeneBertFeatureExtractor`): with its motif bank.
        kmer, stride (`int`, default to 6 and 1): in bp.
        mask_probability (`float`, defaults to 0.15): expected share of *bases* inside masked spans.
        mean_span_length (`float`, defaults to 4.0): mean of the geometric span length in bp.
        with_regions (`bool`, defaults to `True`): whether the model gets the region matrices; a model of sequences
            alone does without.

    Returns (of a call): the inputs and labels of `GeneBertForPreTraining.forward`, and `hidden_bases` of shape
        `(num_sequences, 2, segment_length)`: the code of each base that `[MASK]`s hide in A and B, -100 elsewhere.
        `region_values` are compact, float16 of shape `(num_matrices, num_motifs + 3, num_regions)`: see
        [`compact_region_values`]. A sequence that several examples read, with the same masks, is there once, and so is
        a matrix: `sequence_rows` and `region_rows`, of shape `(batch_size,)`, say which ones an example reads. Such a
        batch cannot be cut up row by row, as `torch.nn.DataParallel` does.
    """

    def __init__(
        self,
        feature_extractor: GeneBertFeatureExtractor,
        *,
        kmer: int = 6,
        stride: int = 1,
        mask_probability: float = 0.15,
        mean_span_length: float = 4.0,
        with_regions: bool = True,
    ):
        self.feature_extractor = feature_extractor
        self.kmer, self.stride = kmer, stride
        self.mask_probability, self.mean_span_length = mask_probability, mean_span_length
        self.with_regions = with_regions

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        sequence_rows, first = rows_of_equals(
            [
                (
                    example["seed"],
                    *(None if s is None else s.tobytes() for s in (example["segment_a"], example["segment_b"])),
                )
                for example in examples
            ]
        )
        sequence_inputs, visible = self._sequences([examples[number] for number in first])
        batch = {
            **sequence_inputs,
            "sequence_rows": sequence_rows,
            **(self._regions(examples, visible[sequence_rows]) if self.with_regions else {}),
            "ngsp_labels": np.array([example["ngsp_label"] for example in examples], dtype=np.int64),
            "srm_labels": np.array([example["srm_label"] for example in examples], dtype=np.int64),
        }
        return {name: torch.from_numpy(value) for name, value in batch.items()}

    def _sequences(self, examples: list[dict[str, Any]]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, masked; and segment A as the model sees it."""
        length = len(examples[0]["segment_a"])
        # Bases past the last full k-mer are left out (none at stride 1).
        length -= (length - self.kmer) % self.stride
        has_b = np.array([example["segment_b"] is not None for example in examples])
        segments = np.zeros((len(examples), 2, length), dtype=np.uint8)
        for row, example in enumerate(examples):
            segments[row, 0] = example["segment_a"][:length]
            if has_b[row]:
                segments[row, 1] = example["segment_b"][:length]
        seeds = [(*example["seed"], segment) for example in examples for segment in (0, 1)]
        masked = mask_segments(
            segments.reshape(-1, length),
            SegmentRandom(np.array(seeds)),
            kmer=self.kmer,
            stride=self.stride,
            probability=self.mask_probability,
            mean_length=self.mean_span_length,
        )
        count = masked.input_ids.shape[1]
        ids_of = masked.input_ids.reshape(-1, 2, count)
        labels_of = masked.labels.reshape(-1, 2, count)
        hidden_bases = masked.hidden_bases.reshape(-1, 2, length)
        hidden_bases[~has_b, 1] = IGNORE_INDEX

        width = 3 + 2 * count if has_b.any() else 2 + count
        input_ids = np.full((len(examples), width), PAD_ID, dtype=np.int64)
        labels = np.full_like(input_ids, IGNORE_INDEX)
        token_type_ids = np.zeros_like(input_ids)
        input_ids[:, 0] = CLS_ID
        input_ids[:, 1 : 1 + count], labels[:, 1 : 1 + count] = ids_of[:, 0], labels_of[:, 0]
        input_ids[:, 1 + count] = SEP_ID
        if has_b.any():
            second = slice(2 + count, 2 + 2 * count)
            input_ids[has_b, second], labels[has_b, second] = ids_of[has_b, 1], labels_of[has_b, 1]
            input_ids[has_b, -1] = SEP_ID
            token_type_ids[has_b, 2 + count :] = 1
        inputs = {
            "input_ids": input_ids,
            "attention_mask": (input_ids != PAD_ID).astype(np.int64),
            "token_type_ids": token_type_ids,
            "labels": labels,
            "hidden_bases": hidden_bases.astype(np.int64),
        }
        return inputs, masked.visible.reshape(-1, 2, length)[:, 0]

    def _regions(self, examples: list[dict[str, Any]], visible: np.ndarray) -> dict[str, np.ndarray]:
        extractor = self.feature_extractor
        num_motifs = len(extractor._bank())
        names = ("scores", "accessibility", "distances", "region_mask")
        columns = [tuple(example.get(name) for name in names) for example in examples]
        tiled = np.array([example["tiled_segment"] is not None for example in examples])
        if tiled.any():
            # The tiles are scored as the model sees the sequence: what masking changed in it, hidden or random, is
            # changed here too, and at the same places in a segment that does not belong, so that changes tell nothing.
            length = visible.shape[1]
            chosen = [example for example in examples if example["tiled_segment"] is not None]
            true, tiled_codes = (
                np.stack([example[name][:length] for example in chosen]) for name in ("segment_a", "tiled_segment")
            )
            codes = np.where(visible[tiled] != true, visible[tiled], tiled_codes)
            tile_scores, *others = extractor.tile_columns(codes)
            half = torch.from_numpy(tile_scores).half().numpy()  # NumPy takes eight times as long
            for row, *tiles in zip(np.flatnonzero(tiled), half, *others, strict=True):
                columns[row] = tuple(tiles)
        scores, accessibility, distances, region_mask = zip(*columns, strict=True)
        for found in scores:
            if found.shape[1] != num_motifs:
                raise ValueError(
                    f"The windows have the scores of {found.shape[1]} motifs, the feature extractor's motif bank "
                    f"has {num_motifs}: use the bank that the windows were made with"
                )
        keys = [
            (is_tiled, *(array.tobytes() for array in arrays))
            for is_tiled, *arrays in zip(tiled.tolist(), scores, accessibility, distances, region_mask, strict=True)
        ]
        region_rows, first = rows_of_equals(keys)
        scores, accessibility, distances, region_mask = (
            [values[number] for number in first] for values in (scores, accessibility, distances, region_mask)
        )
        mask = np.stack(region_mask)
        # Compact, and of float16 as the scores are stored: an eighth of the bytes of the whole matrix in float32.
        values = compact_region_values(scores, np.stack(accessibility), np.stack(distances), mask, dtype=np.float16)
        return {
            "region_values": values,
            "region_mask": mask.astype(np.int64),
            "region_context_ids": tiled[first].astype(np.int64),
            "region_rows": region_rows,
        }


def rows_of_equals(keys: Sequence[Hashable]) -> tuple[np.ndarray, list[int]]:
    """For each key the row of what is equal to it, and for each row the number of its first key."""
    first: dict[Hashable, int] = {}
    for number, key in enumerate(keys):
        first.setdefault(key, number)
    row_of = {key: row for row, key in enumerate(first)}
    return np.array([row_of[key] for key in keys], dtype=np.int64), list(first.values())


class GeneBertDataCollatorForMaskedLM:
    """
    Masks and pads raw DNA for `GeneBertForMaskedLM`, in the place of `DataCollatorForLanguageModeling`: spans of bases
    are hidden from all k-mers that cover them.

    Each example is a dict with a DNA string under `sequence`. No argument of the model has that name, so `Trainer`
    needs `remove_unused_columns=False`. Masks are drawn anew at each call, from PyTorch's global random generator.
    Sequences are not cut: the model refuses those that are longer than its positions.

    Args:
        tokenizer (`GeneBertTokenizer`): says kmer and stride; with the default vocabulary.
        mlm_probability (`float`, defaults to 0.15): expected share of *bases* inside masked spans.
        mean_span_length (`float`, defaults to 4.0): mean of the geometric span length in bp.
        pad_to_multiple_of (`int`, *optional*): pad rows to a multiple of this number of tokens.

    Returns (of a call): `input_ids`, `attention_mask`, `token_type_ids` and `labels`, int64 tensors of shape
        `(batch_size, num_tokens)`; labels are the true ids of all k-mers that touch a span, -100 elsewhere.

    Raises:
        ValueError: for a tokenizer with another vocabulary, or, when called, for an example without a DNA string.
    """

    def __init__(
        self,
        tokenizer: GeneBertTokenizer,
        mlm_probability: float = 0.15,
        mean_span_length: float = 4.0,
        pad_to_multiple_of: int | None = None,
    ):
        tokens = kmer_vocabulary(tokenizer.kmer, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))
        if tokenizer.convert_tokens_to_ids(list(tokens)) != list(tokens.values()):
            raise ValueError(
                "The tokenizer's ids are not those of [PAD] [UNK] [CLS] [SEP] [MASK] and the k-mers in the order of "
                f"product('ATCG'), which masking needs: use GeneBertTokenizer(kmer={tokenizer.kmer})"
            )
        self.tokenizer = tokenizer
        self.mlm_probability, self.mean_span_length = mlm_probability, mean_span_length
        self.pad_to_multiple_of = pad_to_multiple_of

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        for number, example in enumerate(examples):
            if not isinstance(example.get("sequence"), str):
                raise ValueError(
                    f"Example {number} (0-based) has no DNA string under 'sequence', found the keys {list(example)}: "
                    "rename the column, and give Trainer remove_unused_columns=False"
                )
        sequences = [encode_dna(example["sequence"]) for example in examples]
        num_tokens = np.array([self.tokenizer.num_tokens(len(sequence)) for sequence in sequences])
        # Padded with unknown bases, which make k-mers that run over the end [UNK].
        shape = (len(examples), self.tokenizer.num_bases(num_tokens.max(initial=1)))
        codes = np.full(shape, UNKNOWN_BASE, dtype=np.uint8)
        for row, sequence in zip(codes, sequences, strict=True):
            row[: len(sequence)] = sequence
        masked = mask_segments(
            codes,
            SegmentRandom(torch.randint(2**63 - 1, (len(examples), 1)).numpy()),
            kmer=self.tokenizer.kmer,
            stride=self.tokenizer.stride,
            probability=self.mlm_probability,
            mean_length=self.mean_span_length,
        )
        count = masked.input_ids.shape[1]
        width = count + 2
        width += -width % (self.pad_to_multiple_of or 1)
        input_ids = np.full((len(examples), width), PAD_ID, dtype=np.int64)
        labels = np.full_like(input_ids, IGNORE_INDEX)
        input_ids[:, 1 : 1 + count], labels[:, 1 : 1 + count] = masked.input_ids, masked.labels
        column, sep_column = np.arange(width), 1 + num_tokens[:, None]
        input_ids[:, 0] = CLS_ID
        input_ids[column == sep_column] = SEP_ID
        input_ids[column > sep_column] = PAD_ID
        batch = {
            "input_ids": input_ids,
            "attention_mask": (column <= sep_column).astype(np.int64),
            "token_type_ids": np.zeros_like(input_ids),
            "labels": labels,
        }
        return {name: torch.from_numpy(value) for name, value in batch.items()}


__all__ = ["GeneBertDataCollatorForMaskedLM", "GeneBertDataCollatorForPreTraining"]
