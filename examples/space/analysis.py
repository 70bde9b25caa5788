"""What the page shows of a sequence, computed: predictions, region matrix, in-silico mutagenesis.

Shape suffixes: N sequences, L bases, K labels, M motifs, R tiles; 4 = A, C, G, T.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedModel

from examples.prediction.checkpoint import FINE_TUNED, open_model
from examples.prediction.predictor import Predictor, Row
from examples.prediction.records import Record
from examples.prediction.tables import open_table
from modeling_genebert import GeneBertForMaskedLM, GeneBertProcessor, encode_dna
from modeling_genebert.dna_genebert import BASES as CODES  # A, T, C, G: the order of the model's k-mers
from modeling_genebert.masking_genebert import hidden_base_probabilities


BASES = "ACGT"
LONGEST_EXPLAINED = 600  # bp: 1,800 mutants
BATCH_SIZE = 32
LIKELIHOOD = "log-likelihood"
IGNORED = -100
Progress = Callable[[float], None]  # called with the share that is done


def silent(share: float) -> None:
    """No progress is shown."""


@dataclass
class Mutagenesis:
    """
    What single-base changes of a sequence do to a score.

    Attributes:
        sequence: the bases, upper case, with T for U.
        changes: float64 `(L, 4)`: the score with A, C, G, T in place of each base, less the score of the sequence
            itself. 0 for its own base; NaN where that is not known.
        score: what the score is, for people.
        probabilities: float64 `(L, 4)`, of a pre-training checkpoint: of the bases at each hidden position.
    """

    sequence: str
    changes: np.ndarray
    score: str
    probabilities: np.ndarray | None = None

    @property
    def importance(self) -> np.ndarray:
        """How much a base adds to the score, float64 `(L,)`: minus the mean change to the three others, 0 for N."""
        return np.nan_to_num(-self.changes.sum(axis=1) / 3)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Name -> type of the table's columns."""
        numbers = ["importance", *(f"change_{base}" for base in BASES)]
        if self.probabilities is not None:
            numbers += [f"probability_{base}" for base in BASES]
        return {"start": pa.int64(), "base": pa.string(), **dict.fromkeys(numbers, pa.float64())}

    @property
    def rows(self) -> list[Row]:
        """A row for each base; positions are 0-based, and what is not known is None."""
        tables = {"change": self.changes, "probability": self.probabilities}
        rows: list[Row] = []
        for position, (base, importance) in enumerate(zip(self.sequence, self.importance.tolist(), strict=True)):
            row: Row = {"start": position, "base": base, "importance": importance}
            for name, table in tables.items():
                if table is not None:
                    cells = [None if np.isnan(cell) else float(cell) for cell in table[position]]
                    row |= {f"{name}_{letter}": cell for letter, cell in zip(BASES, cells, strict=True)}
            rows.append(row)
        return rows


class Checkpoint(Protocol):
    """What the page asks of a checkpoint, of whatever kind.

    Attributes:
        processor: with tokenizer and motif bank.
        what: what it predicts, for people.
        labels: what can be explained.
        columns: name -> type of the columns of predictions.
        max_length: longest sequence in bp; None = any.
    """

    processor: GeneBertProcessor
    what: str
    labels: list[str]
    columns: dict[str, pa.DataType]
    max_length: int | None

    def predict(self, records: list[Record], progress: Progress = silent) -> list[Row]:
        """A row for each record."""
        ...

    def chart(self, row: Row) -> dict[str, float]:
        """Numbers between 0 and 1 that say most of a row, by what they are."""
        ...

    def default_label(self, row: Row) -> str:
        """The label to explain where none is chosen."""
        ...

    def mutate(self, record: Record, label: str, progress: Progress = silent) -> Mutagenesis:
        """All single-base changes of a record."""
        ...


def open_checkpoint(name_or_path: str) -> Checkpoint:
    """
    Open a folder or a Hub id.

    Raises:
        ValueError: there is none, it is not GeneBERT's, or it needs more than a sequence; for people, in one line.
    """
    masked = dict.fromkeys(("GeneBertForPreTraining", "GeneBertForMaskedLM"), GeneBertForMaskedLM)
    if not name_or_path:
        raise ValueError("No checkpoint: give a folder or a Hub id")
    try:
        model, processor = open_model(name_or_path, None, {**FINE_TUNED, **masked})
    except (ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, OSError) and not Path(name_or_path).is_dir():
            reason = f"No checkpoint {name_or_path!r}: neither a folder nor found on the Hub ({reason})"
        raise ValueError(reason) from None
    if isinstance(model, GeneBertForMaskedLM):
        return Pretrained(model, processor)
    return FineTuned(model, processor, name_or_path)


class FineTuned:
    """A checkpoint that was fine-tuned on sequences: classes, several labels, values, or classes per base.

    The score that mutagenesis explains is the log-odds of a label, of values the value, and per base the log-odds of a
    label at the base where the sequence itself has most of it. Everything is predicted as `predict.py` does: from both
    strands, or with one of the modalities, where the checkpoint says so.
    """

    def __init__(self, model: PreTrainedModel, processor: GeneBertProcessor, name: str = "the checkpoint"):
        config: Any = model.config
        if getattr(config, "with_context", False):
            raise ValueError(
                f"{name} was trained with the open regions of a cell type round each sequence, which this page does "
                "not have: use examples/predict.py with --atac_seq_dir and --cell_type"
            )
        if "VariantEffect" in type(model).__name__:
            raise ValueError(f"{name} predicts effects of variants: use examples/predict.py with a VCF")
        self.processor = processor
        self.predictor = Predictor(
            model,
            processor,
            modality=getattr(config, "modality", "both"),
            average_strands=getattr(config, "average_strands", False),
            window_overlap=getattr(config, "window_overlap", None),
        )
        self.columns = self.predictor.columns
        self.max_length = self.predictor.max_length
        is_per_base = self.predictor.is_per_base
        self.labels = self.predictor.labels[1:] if is_per_base else self.predictor.outputs
        unit = "base" if is_per_base else "sequence"
        if not is_per_base and self.predictor.problem_type == "regression":
            self.what = f"Values of each sequence: {', '.join(self.labels)}"
        else:
            self.what = f"Probabilities of each {unit}: {', '.join(self.predictor.labels)}"
        if self.predictor.average_strands:
            self.what += ". Both strands are averaged"

    def predict(self, records: list[Record], progress: Progress = silent) -> list[Row]:
        rows: list[Row] = []
        for batch in self.predictor.batches(records, BATCH_SIZE):
            rows += self.predictor.predict(batch)
            progress(len(rows) / len(records))
        return rows

    def chart(self, row: Row) -> dict[str, float]:
        before = "max_" if self.predictor.is_per_base else "probability_"
        return {label: row[f"{before}{label}"] for label in self.labels if f"{before}{label}" in row}

    def default_label(self, row: Row) -> str:
        """Of two classes the second, which is the finding; else the most probable one."""
        chart = self.chart(row)
        if not chart or len(self.labels) == 2 and self.predictor.problem_type == "single_label_classification":
            return self.labels[-1]
        return max(chart, key=lambda label: chart[label])

    def mutate(self, record: Record, label: str, progress: Progress = silent) -> Mutagenesis:
        sequence = record.sequence.upper().replace("U", "T")
        places = [(i, b) for i, base in enumerate(sequence) if base in BASES for b in range(4) if BASES[b] != base]
        mutants = [f"{sequence[:i]}{BASES[b]}{sequence[i + 1 :]}" for i, b in places]
        given_logits = self.logits([sequence])
        name, column, at = f"log-odds of {label}", self.predictor.outputs.index(label), None
        if self.predictor.is_per_base:
            at = int(self.predictor.probabilities(given_logits)[0, : len(sequence), column].argmax())
            name += f" at base {at}"
        elif self.predictor.problem_type == "regression":
            name = "predicted value" if len(self.labels) == 1 else f"predicted {label}"
        given = self.score(given_logits, column, at)[0]
        changes = np.where(one_hot(sequence).any(axis=1, keepdims=True), 0.0, np.full((len(sequence), 4), np.nan))
        for start in range(0, len(mutants), BATCH_SIZE):
            scores = self.score(self.logits(mutants[start : start + BATCH_SIZE]), column, at)
            for (i, b), score in zip(places[start : start + BATCH_SIZE], scores, strict=True):
                changes[i, b] = score - given
            progress(min(1.0, (start + BATCH_SIZE) / len(mutants)))
        return Mutagenesis(sequence, changes, name)

    def logits(self, sequences: list[str]) -> np.ndarray:
        return self.predictor.logits([Record("", {}, sequence) for sequence in sequences], sequences)

    def score(self, logits: np.ndarray, column: int, at: int | None) -> np.ndarray:
        """What is explained, float64 `(N,)`, from logits `(N, K)`, or `(N, L, K)` of which base `at` is meant."""
        logits_NK = logits if at is None else logits[:, at]
        if self.predictor.problem_type == "regression" and at is None:
            return logits_NK[:, column]
        return self.predictor.log_odds(logits_NK)[:, column]


class Pretrained:
    """A checkpoint of masked genome modelling, which predicts bases that are hidden from it.

    Each base is hidden in turn: all k-mers that cover it are masked, and the tiles are scored with N in its place, as
    in pre-training. What the model then says of the base is the mean of the marginals of these k-mers. The score that
    mutagenesis explains is the log-likelihood of the base in its place, so that a change is a log-likelihood ratio
    (masked marginals, as in Meier et al. 2021): no mutant goes through the model.
    """

    what = (
        "Hidden bases, each from the rest of its sequence (guessing: -1.386 nats a base, perplexity 4, 0.25 recovered)"
        ". Nothing was fine-tuned yet, so there are no labels"
    )
    labels = [LIKELIHOOD]
    columns = {
        "length": pa.int64(),
        "mean_log_likelihood": pa.float64(),
        "perplexity": pa.float64(),
        "bases_recovered": pa.float64(),
    }

    def __init__(self, model: GeneBertForMaskedLM, processor: GeneBertProcessor):
        self.model, self.processor = model.eval(), processor
        max_num_tokens = model.genebert.max_num_tokens
        num_bases = LONGEST_EXPLAINED if max_num_tokens is None else processor.tokenizer.num_bases(max_num_tokens - 2)
        self.max_length = min(LONGEST_EXPLAINED, num_bases)
        self.known: dict[str, np.ndarray] = {}  # of the sequences of the last call

    def predict(self, records: list[Record], progress: Progress = silent) -> list[Row]:
        """`mean_log_likelihood` is in nats a base (guessing: ln 1/4 = -1.386), `perplexity` its exponential (4),
        `bases_recovered` the share of bases to which the model gives the highest probability (0.25)."""
        rows = []
        known: dict[str, np.ndarray] = {}
        for done, record in enumerate(records):
            sequence = record.sequence

            def part(share: float, done: int = done) -> None:
                progress((done + share) / len(records))

            known[sequence] = probabilities = self.base_probabilities(sequence, part)
            is_true = one_hot(sequence)
            scored = is_true.any(axis=1) & ~np.isnan(probabilities).any(axis=1)
            log_likelihood = float(np.log(probabilities[scored][is_true[scored]]).mean())
            recovered = probabilities[scored].argmax(axis=1) == is_true[scored].argmax(axis=1)
            row = {
                "length": len(sequence),
                "mean_log_likelihood": log_likelihood,
                "perplexity": float(np.exp(-log_likelihood)),
                "bases_recovered": float(recovered.mean()),
            }
            rows.append({**record.columns, **row})
        self.known = known
        return rows

    def chart(self, row: Row) -> dict[str, float]:
        return {"bases recovered": row["bases_recovered"], "by guessing": 0.25}

    def default_label(self, row: Row) -> str:
        return LIKELIHOOD

    def mutate(self, record: Record, label: str, progress: Progress = silent) -> Mutagenesis:
        probabilities = self.known.get(record.sequence)
        if probabilities is None:
            probabilities = self.base_probabilities(record.sequence, progress)
        log_probabilities, is_true = np.log(probabilities), one_hot(record.sequence)
        true = np.where(is_true.any(axis=1), (log_probabilities * is_true).sum(axis=1), np.nan)
        sequence = record.sequence.upper().replace("U", "T")
        return Mutagenesis(sequence, log_probabilities - true[:, None], "log-likelihood of the base", probabilities)

    @torch.no_grad()
    def base_probabilities(self, sequence: str, progress: Progress = silent) -> np.ndarray:
        """Probabilities of A, C, G, T at each base while it is hidden, float64 `(L, 4)`.

        NaN at a base that no whole k-mer covers (with a stride of more than 1, at the end).
        """
        tokenizer, device = self.processor.tokenizer, self.model.device
        kmer, stride = tokenizer.kmer, tokenizer.stride
        num_kmers = 1 + (len(sequence) - kmer) // stride
        num_bases = kmer + (num_kmers - 1) * stride
        tokens = tokenizer([sequence], return_tensors="pt").to(device)
        starts = torch.arange(num_kmers) * stride
        found = np.full((len(sequence), 4), np.nan)
        for first in range(0, num_bases, BATCH_SIZE):
            bases = torch.arange(first, min(first + BATCH_SIZE, num_bases))
            labels = torch.full((len(bases), num_kmers), IGNORED)
            labels[(starts <= bases[:, None]) & (bases[:, None] < starts + kmer)] = 0  # any id: these are predicted
            ids = tokens["input_ids"].repeat(len(bases), 1)
            covers = torch.zeros_like(ids, dtype=torch.bool)
            covers[:, 1 : 1 + num_kmers] = (labels != IGNORED).to(device)
            ids[covers] = tokenizer.mask_token_id
            hidden = [f"{sequence[:base]}N{sequence[base + 1 :]}" for base in bases.tolist()]
            matrices = self.processor.feature_extractor(sequences=hidden, return_tensors="pt").to(device)
            others = {name: tokens[name].repeat(len(bases), 1) for name in ("attention_mask", "token_type_ids")}
            states = self.model.genebert(input_ids=ids, **others, **matrices).last_hidden_state
            logits = self.model.predictions(states[covers]).cpu()
            marginals = hidden_base_probabilities(logits, labels, num_bases, kmer=kmer, stride=stride)
            at_base = marginals[torch.arange(len(bases)), bases].double().numpy()
            found[first : first + len(bases)] = at_base[:, [CODES.index(base) for base in BASES]]
            progress(min(1.0, (first + BATCH_SIZE) / num_bases))
        return found


def one_hot(sequence: str) -> np.ndarray:
    """Which of A, C, G, T each base is, bool `(L, 4)`; none for other letters."""
    codes = encode_dna(sequence)
    return codes[:, None] == [CODES.index(base) for base in BASES]


@dataclass
class RegionMatrix:
    """
    The TF x region matrix of a sequence that is cut into tiles: the channel of motif scores.

    Attributes:
        scores: float32 `(M, R)`: best site of each motif in each tile, as a share of the motif's best possible score.
        bits: float32 `(M,)`: log-odds of each motif's best site in the sequence.
        ids, names, families: of the motifs, in the order of the bank.
        edges: float64 `(R + 1,)`: of the tiles, bp.
    """

    scores: np.ndarray
    bits: np.ndarray
    ids: list[str]
    names: list[str]
    families: list[str]
    edges: np.ndarray

    def best(self, number: int) -> list[int]:
        """Rows of the motifs with the strongest sites, one a family, in the order of the bank.

        Strong is what has many bits: a site of a short motif is perfect by chance.
        """
        rows: dict[str, int] = {}
        for row in np.argsort(-self.bits, kind="stable").tolist():
            family = self.families[row]
            rows.setdefault(self.ids[row] if family == "unclassified" else family, row)
        return sorted(list(rows.values())[:number])

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Name -> type of the table's columns: one for each tile, named by its bases (0-based, half-open)."""
        texts = dict.fromkeys(("motif", "name", "family"), pa.string())
        return {**texts, "best_bits": pa.float64(), **dict.fromkeys(self.tiles, pa.float64())}

    @property
    def tiles(self) -> list[str]:
        return [f"{start:g}-{end:g}" for start, end in zip(self.edges[:-1], self.edges[1:], strict=True)]

    @property
    def rows(self) -> list[Row]:
        """A row for each motif."""
        rows: list[Row] = []
        for row, bits in enumerate(self.bits.tolist()):
            texts = {"motif": self.ids[row], "name": self.names[row], "family": self.families[row]}
            rows.append({**texts, "best_bits": bits, **dict(zip(self.tiles, self.scores[row].tolist(), strict=True))})
        return rows


def region_matrix(processor: GeneBertProcessor, sequence: str) -> RegionMatrix:
    """The matrix that the model gets of a sequence alone."""
    extractor = processor.feature_extractor
    bank = extractor.motif_bank
    features = extractor(sequences=[sequence])
    scores = features["region_values"][0, 0, : len(bank)]
    return RegionMatrix(
        scores,
        scores.max(axis=1) * bank.max_scores,
        bank.ids,
        bank.names,
        bank.families,
        np.linspace(0, len(sequence), extractor.num_regions + 1),
    )


def write_table(path: Path, columns: dict[str, pa.DataType], rows: list[Row]) -> Path:
    """Write a CSV file."""
    with open_table(path, columns) as table:
        table.write(rows)
    return path
