"""Regions per second on one core: the best score of every motif in every region, beside other motif libraries.

    python -m benchmarks.motif_matrix

JASPAR2026 CORE vertebrates (1019 motifs, both strands) on random regions of 500 bp. Needs `genebert[motifs]` and the
peers: lightmotif, memelite and MOODS-python. Results are compared first: with the definition of the score, in double
precision from the counts, and with those of the peers. Then all are timed in turns, on one core and one thread, in
CPU time. Each `..._per_second` is the median of the rounds, each `..._per_second_best` the fastest one.

- `regions_per_second`: `MotifBank.score(codes)`; `without_numba_regions_per_second`: the same where numba is missing;
  `tiled_regions_per_second`: `MotifBank.score(codes, num_tiles=32)` of 256-bp segments, in batches of 64.
- Peers with equal output: `lightmotif_regions_per_second`: its dense scores of 32 stripes, which are regions, reduced
  by `torch.amax`; `torch_conv1d_regions_per_second`: convolution of one-hot bases, one for each motif width.
  `ratio_to_fastest_peer`: `regions_per_second` to the faster of them.
- Hit scanners, which give less (sites with p < 1e-4 only): `lightmotif_scan_...`, `memelite_fimo_...` and
  `moods_regions_per_second`; `ratio_to_fastest_hit_scanner`: `regions_per_second` to the fastest of them.
- `largest_difference_bits`: between our scores and the definition, before they are divided by the motif's best.
"""

from __future__ import annotations

import argparse
import warnings
from importlib.metadata import version
from unittest import mock

import lightmotif
import memelite
import MOODS.scan
import MOODS.tools
import numba
import numpy as np
import torch

from modeling_genebert import MotifBank, decode_dna
from modeling_genebert.motifs_genebert import MOTIF_BASES

from .report import RESULTS, write_report
from .tokenizer import per_second, use_one_core


SEGMENT_LENGTH, NUM_TILES, BATCH_SIZE = 256, 32, 64
P_VALUE = 1e-4
STRIPES = 32  # of lightmotif's vectors
LIGHTMOTIF_CHUNK, CONV1D_CHUNK = 128, 1  # regions at once: the fastest sizes that we found
CHECKED_REGIONS = 2
TOLERANCE = 1e-4  # bits


def one_hot_bases(codes: np.ndarray) -> np.ndarray:
    """int8 array of shape `(N, 4, L)`, rows A, C, G, T."""
    code_of_base = np.array(["ATCG".index(base) for base in MOTIF_BASES])
    return (codes[:, None] == code_of_base[:, None]).astype(np.int8)


def score_by_definition(bank: MotifBank, codes: np.ndarray) -> np.ndarray:
    """Bits of the best site, array of shape `(N, M)`: site after site, in double precision from the counts."""
    forward = one_hot_bases(codes).transpose(0, 2, 1).astype(np.float64)
    best = np.zeros((len(codes), len(bank)))
    for column, matrix in enumerate(bank.counts):
        counts = matrix.astype(np.float64) + bank.pseudocount * np.array(bank.background)
        log_odds = np.log2(counts / counts.sum(axis=1, keepdims=True) / np.array(bank.background))
        for strand in (forward, forward[:, ::-1, ::-1]):
            for start in range(codes.shape[1] - len(log_odds) + 1):
                scores = (strand[:, start : start + len(log_odds)] * log_odds).sum(axis=(1, 2))
                best[:, column] = np.maximum(best[:, column], scores)
    return best


class LightMotif:
    """lightmotif's dense scores, and its hits. Its sequence is cut into 32 stripes, of as many regions each."""

    def __init__(self, bank: MotifBank):
        matrices = [dict(zip(MOTIF_BASES, log_odds.T.tolist(), strict=True)) for log_odds in bank.log_odds]
        self.strands = [(matrix, matrix.reverse_complement()) for matrix in map(lightmotif.ScoringMatrix, matrices)]
        self.thresholds = [matrix.score(P_VALUE) for matrix, _ in self.strands]

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Bits of the best site: array of shape `(N, M)`."""
        chunks = [codes[begin : begin + LIGHTMOTIF_CHUNK] for begin in range(0, len(codes), LIGHTMOTIF_CHUNK)]
        return np.concatenate([self._score(chunk) for chunk in chunks])

    def _score(self, codes: np.ndarray) -> np.ndarray:
        num_regions, length = codes.shape
        sequence = lightmotif.stripe(decode_dna(codes.reshape(-1)))
        best = torch.zeros(len(self.strands), num_regions // STRIPES, STRIPES)
        for best_of_motif, strands in zip(best, self.strands, strict=True):
            for matrix in strands:
                # (stripes, positions of a stripe) -> (regions of a stripe, positions of a region, stripes)
                scores = torch.from_numpy(np.asarray(memoryview(matrix.calculate(sequence))).T)
                scores = scores[: num_regions // STRIPES * length].view(-1, length, STRIPES)
                torch.maximum(best_of_motif, scores[:, : length - len(matrix) + 1].amax(dim=1), out=best_of_motif)
        return best.permute(2, 1, 0).reshape(num_regions, -1).numpy()

    def scan(self, sequence: str) -> list[list[tuple[int, float]]]:
        """Hits of each motif: 0-based positions in the regions joined to one sequence, and scores."""
        striped = lightmotif.stripe(sequence)
        return [
            [(hit.position, hit.score) for matrix in strands for hit in lightmotif.scan(matrix, striped, threshold=t)]
            for strands, t in zip(self.strands, self.thresholds, strict=True)
        ]


class TorchConv1d:
    """Convolutions of one-hot bases, one for all motifs of a width."""

    def __init__(self, bank: MotifBank):
        widths = np.array([len(log_odds) for log_odds in bank.log_odds])
        self.num_motifs = len(bank)
        self.groups = []
        for width in np.unique(widths):
            motifs = np.flatnonzero(widths == width)
            forward = np.stack([bank.log_odds[motif].T for motif in motifs])
            self.groups.append((motifs, torch.from_numpy(np.concatenate([forward, forward[:, ::-1, ::-1]]))))

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Bits of the best site: array of shape `(N, M)`."""
        best = np.empty((len(codes), self.num_motifs), dtype=np.float32)
        for begin in range(0, len(codes), CONV1D_CHUNK):
            rows = slice(begin, begin + CONV1D_CHUNK)
            bases = torch.from_numpy(one_hot_bases(codes[rows])).float()
            for motifs, weight in self.groups:
                scores = torch.nn.functional.conv1d(bases, weight).amax(dim=2)
                best[rows, motifs] = scores.view(len(bases), 2, -1).amax(dim=1).clamp(min=0)
        return best


class Moods:
    """MOODS' hits, with thresholds given for each motif."""

    def __init__(self, bank: MotifBank, thresholds: list[float]):
        forward = [log_odds.T.astype(float).tolist() for log_odds in bank.log_odds]
        self.num_motifs = len(bank)
        self.scanner = MOODS.scan.Scanner(7)
        self.scanner.set_motifs(
            forward + [MOODS.tools.reverse_complement(matrix) for matrix in forward],
            MOODS.tools.flat_bg(4),
            thresholds + thresholds,
        )

    def scan(self, sequence: str) -> list[list[tuple[int, float]]]:
        """Hits of each motif: 0-based positions in the regions joined to one sequence, and scores."""
        hits = [[(hit.pos, hit.score) for hit in hits] for hits in self.scanner.scan(sequence)]
        return [hits[motif] + hits[motif + self.num_motifs] for motif in range(self.num_motifs)]


def check_scores(found: np.ndarray, expected: np.ndarray, peer: str) -> float:
    """The largest difference in bits; an error where it exceeds 1e-4."""
    difference = float(np.abs(found - expected).max())
    print(f"MotifBank.score and {peer}: {found.size} scores, largest difference {difference:.1e} bits", flush=True)
    if not difference <= TOLERANCE:
        raise AssertionError(f"scores of MotifBank.score and {peer} differ by {difference} bits")
    return difference


def check_hits(
    hits: list[list[tuple[int, float]]],
    bits: np.ndarray,
    widths: list[int],
    length: int,
    thresholds: list[float],
    peer: str,
) -> None:
    """Where a scanner has hits inside a region, the best of them must be our score, and elsewhere ours is lower."""
    best = np.zeros_like(bits)
    for motif, (width, found) in enumerate(zip(widths, hits, strict=True)):
        for position, score in found:
            region, start = divmod(position, length)
            if start + width <= length:
                best[region, motif] = max(best[region, motif], score)
    ours = np.where(bits >= np.array(thresholds), bits, 0)
    # Single precision may put a site right at the threshold on the other side of it.
    clear = np.abs(bits - np.array(thresholds)) > TOLERANCE
    check_scores(ours[clear], best[clear], f"the best hits of {peer}")


def measure(bank: MotifBank, num_regions: int, length: int, repeats: int) -> dict[str, float]:
    """Figures of `MotifBank.score` and its peers."""
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=(num_regions, length), dtype=np.uint8)
    batches = [
        rng.integers(4, size=(min(BATCH_SIZE, num_regions - begin), SEGMENT_LENGTH), dtype=np.uint8)
        for begin in range(0, num_regions, BATCH_SIZE)
    ]
    sequence, one_hot = decode_dna(codes.reshape(-1)), one_hot_bases(codes)
    light, conv1d = LightMotif(bank), TorchConv1d(bank)
    probabilities = [(2.0**log_odds * np.array(bank.background)).T for log_odds in bank.log_odds]
    matrices = dict(zip(bank.ids, probabilities, strict=True))
    moods = Moods(bank, light.thresholds)

    def score_without_numba() -> np.ndarray:
        with mock.patch("modeling_genebert.motif_scoring_genebert._compile", return_value=None):
            return bank.score(codes)

    bits = bank.score(codes)[:, :, 0] * bank.max_scores
    expected = score_by_definition(bank, codes[:CHECKED_REGIONS])
    difference = check_scores(bits[:CHECKED_REGIONS], expected, "the definition")
    check_scores(bits, score_without_numba()[:, :, 0] * bank.max_scores, "itself without numba")
    check_scores(bits, light.score(codes), "lightmotif")
    check_scores(bits, conv1d.score(codes), "torch conv1d")
    widths = [len(log_odds) for log_odds in bank.log_odds]
    check_hits(light.scan(sequence), bits, widths, length, light.thresholds, "lightmotif.scan")
    check_hits(moods.scan(sequence), bits, widths, length, light.thresholds, "MOODS")

    figures = per_second(
        {
            "regions_per_second": lambda: bank.score(codes),
            "lightmotif_regions_per_second": lambda: light.score(codes),
            "torch_conv1d_regions_per_second": lambda: conv1d.score(codes),
            "without_numba_regions_per_second": score_without_numba,
            "tiled_regions_per_second": lambda: [bank.score(batch, num_tiles=NUM_TILES) for batch in batches],
            "lightmotif_scan_regions_per_second": lambda: light.scan(sequence),
            "memelite_fimo_regions_per_second": lambda: memelite.fimo(matrices, one_hot, threshold=P_VALUE),
            "moods_regions_per_second": lambda: moods.scan(sequence),
        },
        count=num_regions,
        repeats=repeats,
    )
    figures["largest_difference_bits"] = difference
    for ratio, peers in (
        ("ratio_to_fastest_peer", ("lightmotif", "torch_conv1d")),
        ("ratio_to_fastest_hit_scanner", ("lightmotif_scan", "memelite_fimo", "moods")),
    ):
        fastest = max(figures[f"{peer}_regions_per_second"] for peer in peers)
        figures[ratio] = figures["regions_per_second"] / fastest
        print(f"{ratio}: {figures[ratio]:.2f}", flush=True)
    return figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motifs", default="JASPAR2026", help="JASPAR release or motif file")
    parser.add_argument("--num_motifs", type=int, help="the first so many of them; all by default")
    parser.add_argument("--num_regions", type=int, default=1024, help=f"a multiple of {STRIPES}")
    parser.add_argument("--length", type=int, default=500, help="of a region in bp")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    parser.add_argument("--output_dir", default=RESULTS)
    options = parser.parse_args(arguments)
    if options.num_regions % STRIPES or options.num_regions < STRIPES:
        parser.error(f"--num_regions must be a multiple of {STRIPES}, found {options.num_regions}")
    use_one_core()
    numba.set_num_threads(1)
    # lightmotif lends its scores as read-only memory, which PyTorch says it cannot know of.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    bank = MotifBank.resolve(options.motifs)
    bank = bank.subset(bank.ids[: options.num_motifs])
    figures = measure(bank, options.num_regions, options.length, options.repeats)
    settings = {
        "motifs": bank.source,
        "num_motifs": len(bank),
        "num_regions": options.num_regions,
        "length": options.length,
        "repeats": options.repeats,
        "clock": "CPU time",
        "segment_length": SEGMENT_LENGTH,
        "num_tiles": NUM_TILES,
        "batch_size": BATCH_SIZE,
        "p_value": P_VALUE,
        "versions": {name: version(name) for name in ("lightmotif", "memelite", "MOODS-python", "numba", "pyjaspar")},
    }
    write_report("motif_matrix", figures, settings, options.output_dir)


if __name__ == "__main__":
    main()
