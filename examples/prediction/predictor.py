"""From records to rows of predictions.

Shape suffixes: N records, L bases, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedModel

from modeling_genebert import GeneBertProcessor
from modeling_genebert.windows_genebert import cut_windows

from .records import LIST_SEPARATOR, REGIONS_INSTEAD, Change, Record


MAX_WINDOWS = 256  # of one sequence, which go through the model at once
Row = dict[str, Any]


class Predictor:
    """
    Predicts what a checkpoint was fine-tuned for.

    Args:
        model: a model for sequence classification, token classification or variant effects.
        processor: its processor.
        has_alleles: whether records have an alternate allele.
        modality: what the model reads: `both`, `sequence` or `regions`.
        average_strands: predict from both strands, and average the logits.
        window_overlap: cut longer sequences into windows that share so many bp; None = refuse them.
        per_base: of a model that predicts bases, a `summary` of each sequence or its `sites`.
        min_probability: of a base of a class other than the first, to be a site.
        bf16: compute in bfloat16.

    Raises:
        ValueError: a model that the records do not fit.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        processor: GeneBertProcessor,
        *,
        has_alleles: bool = False,
        modality: str = "both",
        average_strands: bool = False,
        window_overlap: int | None = None,
        per_base: str = "summary",
        min_probability: float = 0.5,
        bf16: bool = False,
    ):
        self.model, self.processor, self.has_alleles = model.eval(), processor, has_alleles
        self.modality, self.average_strands, self.per_base = modality, average_strands, per_base
        self.min_probability, self.bf16 = min_probability, bf16
        self.is_variant_model = "VariantEffect" in type(model).__name__
        self.is_per_base = "TokenClassification" in type(model).__name__
        if self.is_variant_model and not has_alleles:
            raise ValueError(
                "the checkpoint predicts effects of variants, but the input has one sequence a record: expected a "
                "VCF, or a table with a column of alternate alleles"
            )
        config: Any = model.config
        self.labels = [config.id2label[index] for index in range(config.num_labels)]
        self.problem_type = config.problem_type or (
            "regression" if config.num_labels == 1 else "single_label_classification"
        )
        base_model: Any = model.base_model
        max_tokens = None if modality == "regions" else base_model.max_num_tokens
        self.width = None if max_tokens is None else processor.tokenizer.num_bases(max_tokens - 2)
        self.overlap = None if has_alleles else window_overlap
        if self.overlap is not None and self.width is not None and not 0 <= self.overlap < self.width:
            raise ValueError(f"window_overlap={self.overlap} bp, expected 0 to less than a window of {self.width} bp")

    @property
    def max_length(self) -> int | None:
        """Longest sequence in bp that is predicted; None = no limit."""
        if self.width is None or self.overlap is None:
            return self.width
        return self.width + (MAX_WINDOWS - 1) * (self.width - self.overlap)

    def num_rows(self, record: Record) -> int:
        """How many rows of a batch a record takes: its windows.

        Raises:
            ValueError: a sequence that is too long.
        """
        longest = max(len(record.sequence), len(record.alt_sequence or ""))
        if self.max_length is not None and longest > self.max_length:
            remedy = f"Cut it into windows with --window_overlap (at most {MAX_WINDOWS}). {REGIONS_INSTEAD}"
            if self.has_alleles:
                remedy = "Alleles are not cut into windows: make them shorter, from a VCF with a lower --width"
            raise ValueError(f"{record.where}: {longest} bp, expected at most {self.max_length} bp. {remedy}")
        if self.width is None or self.overlap is None:
            return 1
        return 1 + max(0, -(-(longest - self.width) // (self.width - self.overlap)))

    def batches(self, records: Iterable[Record], batch_size: int) -> Iterator[list[Record]]:
        """The records in lists that take at most `batch_size` rows (a longer one is a list of its own)."""
        batch: list[Record] = []
        rows = 0
        for record in records:
            num_rows = self.num_rows(record)
            if batch and rows + num_rows > batch_size:
                yield batch
                batch, rows = [], 0
            batch.append(record)
            rows += num_rows
        if batch:
            yield batch

    def predict(self, records: list[Record]) -> list[Row]:
        """The rows of some records: one each, or of sites as many as there are."""
        sequences = [record.sequence for record in records]
        alternate = [record.alt_sequence or "" for record in records] if self.has_alleles else None
        if self.is_variant_model:
            values = self.values(self.logits(records, sequences, alternate))
        elif alternate is None:
            logits = self.logits(records, sequences)
            if self.is_per_base:
                return self.base_rows(records, logits)
            values = self.values(logits)
        else:
            reference_logits, alternate_logits = self.logits(records, sequences), self.logits(records, alternate)
            if self.is_per_base:
                return self.change_rows(records, reference_logits, alternate_logits)
            values = self.allele_values(reference_logits, alternate_logits)
        return [{**record.columns, **row} for record, row in zip(records, values, strict=True)]

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Name -> type of the columns that predictions have."""
        if self.is_per_base and self.has_alleles:
            types = {"gain_{}": pa.float64(), "gain_{}_pos": pa.int64()}
            types |= {"loss_{}": pa.float64(), "loss_{}_pos": pa.int64()}
            return {what.format(name): kind for name in self.labels[1:] for what, kind in types.items()}
        if self.is_per_base and self.per_base == "sites":
            return {"start": pa.int64(), "end": pa.int64(), "prediction": pa.string(), "probability": pa.float64()}
        if self.is_per_base:
            types = {"bases": pa.int64(), "max": pa.float64(), "max_start": pa.int64()}
            return {f"{what}_{name}": kind for name in self.labels[1:] for what, kind in types.items()}
        if self.has_alleles and not self.is_variant_model:
            return {f"{what}_{name}": pa.float64() for what in ("ref", "alt", "effect") for name in self.outputs}
        if self.problem_type == "regression":
            return {name: pa.float64() for name in self.outputs}
        probabilities = {f"probability_{name}": pa.float64() for name in self.outputs}
        return {"prediction": pa.string(), **probabilities}

    @property
    def outputs(self) -> list[str]:
        """The labels; of a single value `prediction`."""
        return ["prediction"] if len(self.labels) == 1 and self.problem_type == "regression" else self.labels

    # Logits

    def logits(self, records: list[Record], sequences: list[str], alternate: list[str] | None = None) -> np.ndarray:
        """Logits, float64 `(N, K)`, or `(N, L, K)` per base."""
        given = self.strand_logits(records, sequences, alternate, opposite=False)
        if not self.average_strands:
            return given
        other = self.strand_logits(records, sequences, alternate, opposite=True)
        if self.is_per_base:
            for row, sequence in zip(other, sequences, strict=True):
                row[: len(sequence)] = row[: len(sequence)][::-1].copy()
        return (given + other) / 2

    @torch.no_grad()
    def strand_logits(
        self, records: list[Record], sequences: list[str], alternate: list[str] | None, opposite: bool
    ) -> np.ndarray:
        lengths = [len(sequence) for sequence in sequences]
        options: dict[str, Any] = {}
        rows = list(range(len(records)))
        if self.width is not None and self.overlap is not None and max(lengths) > self.width:
            sequences, sample, start = cut_windows(sequences, self.width, self.width - self.overlap)
            rows = sample.tolist()
            if opposite:  # each window is turned round: where it begins is counted from the other end
                start = np.array(lengths)[sample] - start - np.array([len(window) for window in sequences])
            options = {"overflow_to_sample_mapping": torch.tensor(rows), "window_starts": torch.from_numpy(start)}
        contexts = [records[row].context for row in rows]
        regions: dict[str, Any] = {}
        if self.modality != "sequence" and contexts[0] is not None:
            names = ("regions", "positions", "accessibility", "anchor")
            regions = {name: [getattr(context, name) for context in contexts] for name in names}
        inputs = self.processor(
            sequences,
            alt_sequences=alternate,
            reverse_complement=opposite,
            tile=self.modality != "sequence",
            padding=True,
            return_tensors="pt",
            **regions,
        )
        if self.modality == "regions":
            inputs.update(self.without_sequence(len(sequences), alternate is not None))
        inputs.update(options)
        device = self.model.device
        with torch.autocast(device.type, torch.bfloat16) if self.bf16 else nullcontext():
            return self.model(**inputs.to(device)).logits.double().cpu().numpy()

    def without_sequence(self, num_rows: int, with_alternate: bool) -> dict[str, torch.Tensor]:
        """`[CLS] [SEP]` in place of sequences."""
        tokenizer = self.processor.tokenizer
        ids = torch.tensor([[tokenizer.cls_token_id, tokenizer.sep_token_id]] * num_rows)
        tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        if with_alternate:
            tokens |= {"alt_input_ids": ids, "alt_attention_mask": torch.ones_like(ids)}
        return tokens

    # From logits to rows

    def values(self, logits_NK: np.ndarray) -> list[Row]:
        """Predicted label and probabilities, or values."""
        if self.problem_type == "regression":
            return [dict(zip(self.outputs, row, strict=True)) for row in logits_NK.tolist()]
        rows = []
        for logits, probabilities in zip(logits_NK, self.probabilities(logits_NK).tolist(), strict=True):
            if self.problem_type == "multi_label_classification":
                predicted = LIST_SEPARATOR.join(name for name, x in zip(self.labels, logits, strict=True) if x > 0)
            else:
                predicted = self.labels[int(logits.argmax())]
            named = {f"probability_{name}": p for name, p in zip(self.labels, probabilities, strict=True)}
            rows.append({"prediction": predicted, **named})
        return rows

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Softmax over the last axis, or the logistic function of each."""
        values = torch.from_numpy(logits)
        is_multi_label = self.problem_type == "multi_label_classification" and not self.is_per_base
        return (values.sigmoid() if is_multi_label else values.softmax(dim=-1)).numpy()

    def allele_values(self, reference_NK: np.ndarray, alternate_NK: np.ndarray) -> list[Row]:
        """What a model of one sequence says of both alleles, and the difference.

        Of classes, `ref` and `alt` are probabilities and `effect` is the difference of their log-odds, which does not
        vanish where both are near 0 or 1; of values all three are values.
        """
        if self.problem_type == "regression":
            ref, alt, effect = reference_NK, alternate_NK, alternate_NK - reference_NK
        else:
            ref, alt = self.probabilities(reference_NK), self.probabilities(alternate_NK)
            effect = self.log_odds(alternate_NK) - self.log_odds(reference_NK)
        tables = {"ref": ref, "alt": alt, "effect": effect}
        return [
            {
                f"{what}_{name}": float(table[row, k])
                for what, table in tables.items()
                for k, name in enumerate(self.outputs)
            }
            for row in range(len(ref))
        ]

    def log_odds(self, logits_NK: np.ndarray) -> np.ndarray:
        """log p / (1 - p) of each label."""
        if self.problem_type == "multi_label_classification":
            return logits_NK
        others = [np.logaddexp.reduce(np.delete(logits_NK, k, axis=1), axis=1) for k in range(logits_NK.shape[1])]
        return logits_NK - np.stack(others, axis=1)

    def base_rows(self, records: list[Record], logits_NLK: np.ndarray) -> list[Row]:
        """Per-base predictions: a summary of each sequence, or its sites.

        Positions are 0-based: on the chromosome where the record has a place, else in its sequence.
        """
        rows: list[Row] = []
        for record, logits_LK in zip(records, logits_NLK, strict=True):
            length = len(record.sequence)
            probabilities_LK = self.probabilities(logits_LK[:length])
            predicted = probabilities_LK.argmax(axis=1)
            position = positions_of(record)
            if self.per_base == "sites":
                for base, label in np.argwhere(probabilities_LK[:, 1:] >= self.min_probability).tolist():
                    start, p = position(base), float(probabilities_LK[base, label + 1])
                    site = {"start": start, "end": start + 1, "prediction": self.labels[label + 1], "probability": p}
                    rows.append({**record.columns, **site})
                continue
            row = dict(record.columns)
            for k, name in enumerate(self.labels[1:], start=1):
                best = int(probabilities_LK[:, k].argmax())
                row |= {f"bases_{name}": int((predicted == k).sum()), f"max_{name}": float(probabilities_LK[best, k])}
                row[f"max_start_{name}"] = position(best)
            rows.append(row)
        return rows

    def change_rows(self, records: list[Record], reference_NLK: np.ndarray, alternate_NLK: np.ndarray) -> list[Row]:
        """The greatest gain and loss of each class's probability over the bases that both alleles have.

        Positions are those of the VCF, 1-based.
        """
        rows: list[Row] = []
        for record, ref_LK, alt_LK in zip(records, reference_NLK, alternate_NLK, strict=True):
            if record.change is None or record.place is None:
                raise ValueError(
                    f"{record.where}: to compare two alleles base by base, it must be known where they differ: "
                    "expected a VCF"
                )
            ref_bases, alt_bases = shared_bases(record.change, len(record.sequence), len(record.alt_sequence or ""))
            change_MK = self.probabilities(alt_LK)[alt_bases] - self.probabilities(ref_LK)[ref_bases]
            row = dict(record.columns)
            for k, name in enumerate(self.labels[1:], start=1):
                for what, sign in (("gain", 1), ("loss", -1)):
                    best = int((sign * change_MK[:, k]).argmax())
                    row[f"{what}_{name}"] = max(0.0, float(sign * change_MK[best, k]))
                    row[f"{what}_{name}_pos"] = record.place[1] + int(ref_bases[best]) + 1
            rows.append(row)
        return rows


def positions_of(record: Record) -> Callable[[int], int]:
    """From a base of a record's sequence to its position, 0-based: on the chromosome where the record has a place."""
    if record.place is None:
        return lambda base: base
    _, start, end = record.place
    if record.columns.get("strand") == "-":
        return lambda base: end - 1 - base
    return lambda base: start + base


def shared_bases(change: Change, ref_length: int, alt_length: int) -> tuple[np.ndarray, np.ndarray]:
    """The same bases in the windows of both alleles: their places in the one and in the other.

    Bases that the alleles hold both are compared one by one; what one has more than the other is left out.
    """
    shift = change.alt - change.ref
    before = np.arange(min(change.start + min(change.ref, change.alt), ref_length, alt_length))
    after = np.arange(max(0, change.start + change.ref), ref_length)
    after = after[(after + shift < alt_length) & (after >= len(before))]
    return np.concatenate([before, after]), np.concatenate([before, after + shift])
