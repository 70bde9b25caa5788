"""The simulated atlas: its bytes repeat, other readers accept its files, and its truth is what the oracle says."""

from __future__ import annotations

import csv
import gzip
import json
import math
import subprocess
from itertools import combinations, pairwise

import numpy as np
import pysam
import pytest
from pyfaidx import Fasta

from hub_datasets.simulated_atlas import AccessibilityOracle, PairRule, simulate_atlas
from hub_datasets.simulated_atlas.__main__ import main
from modeling_genebert.dna_genebert import encode_dna, reverse_complement
from modeling_genebert.motifs_genebert import MotifBank
from tests.running import quick_python


TINY = {
    "num_chromosomes": 3,
    "chromosome_length": 120_000,
    "num_cell_types": 4,
    "num_motifs": 32,
    "num_variants": 100,
}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    return simulate_atlas(tmp_path_factory.mktemp("simulated") / "atlas", **TINY)


@pytest.fixture(scope="module")
def genome(atlas):
    with pysam.FastaFile(str(atlas / "genome.fa")) as file:
        return {name: file.fetch(name) for name in file.references}


@pytest.fixture(scope="module")
def oracle(atlas):
    return AccessibilityOracle.load(atlas)


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def read_peaks(path):
    with gzip.open(path, "rt") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def cell_type_values(rows, prefix, oracle):
    return np.array([[float(row[f"{prefix}_{name}"]) for name in oracle.cell_types] for row in rows])


def region_sequences(rows, genome):
    return [genome[row["chrom"]][int(row["start"]) : int(row["end"])] for row in rows]


# Bytes and folders


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_seed_same_bytes(atlas, tmp_path):
    again = contents(simulate_atlas(tmp_path / "again", **TINY))
    first = {name: content for name, content in contents(atlas).items() if not name.endswith(".fai")}
    assert sorted(again) == sorted(first)
    assert [name for name in first if first[name] != again[name]] == []
    # No time and no name in the gzip headers, or bytes would differ from second to second.
    assert {content[3:8] for name, content in first.items() if name.endswith(".gz")} == {bytes(5)}


def test_other_seed_other_genome_same_motifs(atlas, tmp_path):
    other = simulate_atlas(tmp_path / "other", seed=1, **TINY)
    assert (other / "genome.fa").read_bytes() != (atlas / "genome.fa").read_bytes()
    assert (other / "motifs.safetensors").read_bytes() == (atlas / "motifs.safetensors").read_bytes()
    assert len(MotifBank.load(atlas / "motifs.safetensors")) == 32


def test_folder_is_refused_replaced_or_left_alone(atlas, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="no simulated atlas"):
        simulate_atlas(foreign, overwrite=True, **TINY)
    with pytest.raises(FileExistsError, match="already holds an atlas"):
        simulate_atlas(atlas, **TINY)

    replaced = tmp_path / "replaced"
    replaced.mkdir()
    (replaced / "simulation.json").write_text("{}")
    (replaced / "old.txt").write_text("old")
    simulate_atlas(replaced, overwrite=True, **TINY)
    assert json.loads((replaced / "simulation.json").read_text())["parameters"]["num_motifs"] == 32
    assert not (replaced / "old.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "replaced"]


def test_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="num_variants=10000000: there is room for"):
        simulate_atlas(tmp_path / "atlas", **{**TINY, "chromosome_length": 50_000, "num_variants": 10_000_000})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_motifs": 28}, "num_motifs=28 must be larger than num_specific_tfs=24"),
        ({"num_active_tfs": 25}, "num_active_tfs=25 must be at most num_specific_tfs=24"),
        ({"num_cell_types": 1}, "num_cell_types=1, expected at least 2"),
        ({"chromosome_length": 1000}, "chromosome_length=1000, expected at least 50000"),
        ({"open_share": 1.0}, "open_share=1.0, expected a number between 0 and 1"),
        ({"num_motifs": 5000}, "num_motifs=5000: JASPAR2026 CORE vertebrates has only"),
    ],
)
def test_numbers_that_do_not_fit(wrong, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        simulate_atlas(tmp_path / "atlas", **{**TINY, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path, capsys):
    arguments = [
        f"--output_dir={tmp_path / 'atlas'}",
        "--seed=5",
        *[f"--{name}={value}" for name, value in TINY.items()],
    ]
    command = [*quick_python(), "-m", "hub_datasets.simulated_atlas", *arguments]
    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    parameters = json.loads((tmp_path / "atlas" / "simulation.json").read_text())["parameters"]
    assert parameters == {
        "seed": 5,
        "num_specific_tfs": 24,
        "num_ubiquitous_tfs": 4,
        "num_active_tfs": 10,
        "num_binding_tfs": 8,
        "open_share": 0.36,
        **TINY,
    }
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "already holds an atlas" in error


# Genome


def test_fasta(atlas, genome):
    assert {name: len(sequence) for name, sequence in genome.items()} == dict.fromkeys(
        ["chr1", "chr2", "chr3"], 120_000
    )
    other_reader = Fasta(str(atlas / "genome.fa"), as_raw=True)
    assert other_reader["chr2"][59_990:60_010] == genome["chr2"][59_990:60_010]
    lines = (atlas / "genome.fa").read_text().splitlines()
    assert {len(line) for line in lines if not line.startswith(">")} == {60}
    for sequence in genome.values():
        assert set(sequence) == set("ACGTN")
        assert sequence.startswith("N" * 10_000) and sequence[10_000] != "N"
        assert sequence.count("N") == 12_000 and "N" * 2_000 in sequence[40_000:]


def test_background_composition(atlas, genome):
    regions = read_table(atlas / "truth" / "regions.tsv")
    background = {name: bytearray(sequence, "ascii") for name, sequence in genome.items()}
    for row in regions:
        background[row["chrom"]][int(row["start"]) : int(row["end"])] = b"N" * 500
    text = b"".join(background.values()).replace(b"N", b"")
    gc = (text.count(b"C") + text.count(b"G")) / len(text)
    cpg = text.count(b"CG") * len(text) / (text.count(b"C") * text.count(b"G"))
    assert 0.38 < gc < 0.54
    assert 0.2 < cpg < 0.35

    by_kind = {"promoter": [], "enhancer": [], "decoy": []}
    for row, sequence in zip(regions, region_sequences(regions, genome), strict=True):
        by_kind[row["kind"]].append((sequence.count("C") + sequence.count("G")) / 500)
    mean_gc = {kind: np.mean(values) for kind, values in by_kind.items()}
    assert mean_gc["promoter"] > mean_gc["enhancer"] + 0.05
    assert abs(mean_gc["enhancer"] - mean_gc["decoy"]) < 0.03


def test_regions_lie_apart_and_off_n(atlas, genome):
    regions = read_table(atlas / "truth" / "regions.tsv")
    assert 80 < len(regions) < 140
    assert all("N" not in genome[row["chrom"]][int(row["start"]) - 1000 : int(row["end"]) + 1000] for row in regions)
    for before, after in pairwise(regions):
        assert before["chrom"] < after["chrom"] or int(after["start"]) - int(before["start"]) >= 800


# Truth and oracle


def test_oracle_on_the_written_genome_gives_the_written_truth(atlas, genome, oracle):
    regions = read_table(atlas / "truth" / "regions.tsv")
    logits = oracle.logits(region_sequences(regions, genome))
    np.testing.assert_allclose(logits, cell_type_values(regions, "logit", oracle), rtol=0, atol=1e-6)

    accessibility = cell_type_values(regions, "accessibility", oracle)
    is_open = cell_type_values(regions, "open", oracle)
    clear = np.abs(accessibility - 0.5) > 1e-5
    assert np.array_equal(is_open[clear], (accessibility > 0.5)[clear])
    noise = np.log(accessibility / (1 - accessibility)) - logits
    assert noise[(accessibility > 0.01) & (accessibility < 0.99)].std() == pytest.approx(0.75, abs=0.1)


def test_planted_sites_are_there(atlas, genome):
    bank = MotifBank.load(atlas / "motifs.safetensors")
    sites = read_table(atlas / "truth" / "sites.tsv")
    assert len(sites) > 300
    for row in sites:
        motif = bank.ids.index(row["motif_id"])
        codes = encode_dna(genome[row["chrom"]][int(row["start"]) : int(row["end"])])
        site = codes if row["strand"] == "+" else reverse_complement(codes)
        log_odds = bank.log_odds[motif][:, [0, 3, 1, 2]]
        assert log_odds[np.arange(len(site)), site].sum() >= 0.85 * bank.max_scores[motif] - 1e-3


def hand_made_oracle(rules=()):
    """Two TFs: AACCGGA, active in one and two, and TTGCTAC, active in two."""
    counts = [np.eye(4)[["ACGT".index(letter) for letter in site]] * 20 for site in ("AACCGGA", "TTGCTAC")]
    bank = MotifBank(["M1", "M2"], ["ONE", "TWO"], ["x", "x"], counts)
    return AccessibilityOracle(bank, ["ONE", "TWO"], ["one", "two"], [[1.0, 0.5], [0.0, 1.0]], rules, intercept=-1.0)


def test_logit_by_hand():
    oracle = hand_made_oracle()
    # A perfect site adds 2 * activity, on either strand, as often as it comes; cut short or broken by N it is none.
    sequences = ["", "AACCGG", "TTTAACCGGATTT", "TTTTCCGGTTTTT", "AACCGGACCCAACCGGA", "CCCTTGCTACCC", "AANCGGANNN"]
    expected = [[-1, -1], [-1, -1], [1, 0], [1, 0], [3, 1], [-1, 1], [0.4296875, -0.28515625]]
    logits = oracle.logits(sequences)
    np.testing.assert_array_equal(logits[:-1], expected[:-1])
    # One unknown base of 7 leaves 6/7 of the score: s = (6/7 - 0.8) / 0.2 = 0.2857, on the grid of 1/1024 293/1024.
    np.testing.assert_array_equal(logits[-1], [-1 + 2 * 293 / 1024, -1 + 293 / 1024])
    sites = oracle.find_sites(sequences)
    assert sites.sequence.tolist() == [2, 3, 4, 4, 5, 6]
    assert sites.start.tolist() == [3, 3, 0, 10, 3, 0]
    assert sites.strand.tolist() == [1, -1, 1, 1, 1, 1]


def test_pair_rule_by_hand():
    oracle = hand_made_oracle([PairRule("ONE", "TWO", same_strand=True, spacing=4, bonus=3.0)])
    without_pair = 2 * 0.5 + 2 * 1.0 - 1
    with_pair = without_pair + 3 * 0.5
    forward = "GG" + "AACCGGA" + "CCCC" + "TTGCTAC" + "GG"
    backward = "GG" + "GTAGCAA" + "CCCC" + "TCCGGTT" + "GG"
    wrong_order = "GG" + "TTGCTAC" + "CCCC" + "AACCGGA" + "GG"
    wrong_strand = "GG" + "AACCGGA" + "CCCC" + "GTAGCAA" + "GG"
    near, far = forward.replace("CCCC", "CCCCC"), forward.replace("CCCC", "CCCCCC")
    logits = oracle.logits([forward, backward, near, far, wrong_order, wrong_strand])
    assert logits[:, 1].tolist() == [with_pair] * 3 + [without_pair] * 3
    assert logits[:, 0].tolist() == [1.0] * 6


def test_binding_by_hand():
    oracle = hand_made_oracle()
    # ONE bound: -6 + 8 * 1 * activity + logit; without a site: -6 + logit.
    assert oracle.binding_logits(["CCCAACCGGACCC"]).tolist() == [[[3.0, -2.0], [-5.0, -6.0]]]


def test_open_shares_and_overlaps(atlas, oracle):
    is_open = cell_type_values(read_table(atlas / "truth" / "regions.tsv"), "open", oracle).astype(bool)
    assert is_open.mean() == pytest.approx(0.36, abs=0.01)
    assert all(0.25 < share < 0.5 for share in is_open.mean(axis=0))
    for one, other in combinations(is_open.T, 2):
        assert 0.2 < (one & other).sum() / (one | other).sum() < 0.65


def test_truth_is_learnable_but_not_from_position(atlas, oracle):
    regions = read_table(atlas / "truth" / "regions.tsv")
    logits, is_open = cell_type_values(regions, "logit", oracle), cell_type_values(regions, "open", oracle)
    for column in range(4):
        higher = logits[is_open[:, column] == 1, column][:, None] - logits[is_open[:, column] == 0, column]
        assert (higher > 0).mean() + (higher == 0).mean() / 2 > 0.93
    before, after = is_open[:-1] - is_open[:-1].mean(axis=0), is_open[1:] - is_open[1:].mean(axis=0)
    correlation = (before * after).mean() / math.sqrt((before**2).mean() * (after**2).mean())
    assert abs(correlation) < 3 / math.sqrt(is_open.size)


# Peaks


def check_peaks(path, genome):
    peaks = read_peaks(path)
    order = [(peak[0], int(peak[1]), int(peak[2])) for peak in peaks]
    assert peaks and order == sorted(order)
    for number, peak in enumerate(peaks, start=1):
        assert len(peak) == 10
        start, end, summit = int(peak[1]), int(peak[2]), int(peak[9])
        assert 0 <= start < end <= len(genome[peak[0]]) and 0 <= summit < end - start
        assert peak[3].endswith(f"_peak_{number}") and 0 <= int(peak[4]) <= 1000 and peak[5] == "."
        assert all(float(value) >= 0 for value in peak[6:9])
        assert genome[peak[0]][start + summit] != "N"
    return peaks


def test_peaks_are_the_open_regions_and_some_noise(atlas, genome, oracle):
    regions = read_table(atlas / "truth" / "regions.tsv")
    assert sorted(path.name for path in (atlas / "peaks").iterdir()) == [
        f"sim0{n}.narrowPeak.gz" for n in (1, 2, 3, 4)
    ]
    num_noise, signals, logits = 0, [], []
    for cell_type in oracle.cell_types:
        peaks = check_peaks(atlas / "peaks" / f"{cell_type}.narrowPeak.gz", genome)
        hit = set()
        for peak in peaks:
            summit = int(peak[1]) + int(peak[9])
            rows = [
                index
                for index, row in enumerate(regions)
                if row["chrom"] == peak[0] and abs(int(row["start"]) + 250 - summit) <= 121
            ]
            num_noise += not rows
            hit.update(rows)
            if rows:
                signals.append(float(peak[6]))
                logits.append(float(regions[rows[0]][f"logit_{cell_type}"]))
        assert hit == {index for index, row in enumerate(regions) if row[f"open_{cell_type}"] == "1"}
    assert num_noise <= 15
    assert np.corrcoef(np.log(signals), logits)[0, 1] > 0.7


def test_summits_differ_between_cell_types(atlas):
    summits = {}
    for cell_type in ("sim01", "sim02"):
        for peak in read_peaks(atlas / "peaks" / f"{cell_type}.narrowPeak.gz"):
            summits.setdefault(cell_type, []).append((peak[0], int(peak[1]) + int(peak[9])))
    differences = [
        abs(one - other)
        for chrom, one in summits["sim01"]
        for other_chrom, other in summits["sim02"]
        if chrom == other_chrom and abs(one - other) < 400
    ]
    assert len(differences) > 10
    assert 15 < np.median(differences) < 80


def test_binding_peaks_follow_the_truth(atlas, genome, oracle):
    regions = read_table(atlas / "truth" / "regions.tsv")
    binding = read_table(atlas / "truth" / "binding.tsv")
    rows = [int(row["region"]) for row in binding]
    tfs = [oracle.tf_names.index(row["tf"]) for row in binding]
    written = cell_type_values(binding, "bound", oracle)
    # The oracle has no noise: what it calls bound is mostly bound, and what is bound has a site, an active TF.
    expected = oracle.binding_logits(region_sequences(regions, genome))[rows, tfs]
    assert ((expected > 0) == (written > 0)).mean() > 0.9
    assert (oracle.activities[tfs][written > 0] > 0).all()
    assert len(set(tfs)) == 8 and written.sum() > 50

    for name in json.loads((atlas / "simulation.json").read_text())["binding_tfs"]:
        for cell_type in oracle.cell_types:
            peaks = check_peaks(atlas / "tf_binding" / f"{name}.{cell_type}.narrowPeak.gz", genome)
            bound = [row for row in binding if row["tf"] == name and row[f"bound_{cell_type}"] == "1"]
            assert len(peaks) == len(bound) + 3  # one noise peak on each chromosome
            for row in bound:
                region = regions[int(row["region"])]
                summits = [int(peak[1]) + int(peak[9]) for peak in peaks if peak[0] == region["chrom"]]
                assert any(int(region["start"]) - 60 <= summit < int(region["end"]) + 60 for summit in summits)


# Genes


def test_gtf_introns_and_promoters(atlas, genome):
    exons, genes = {}, {}
    for line in (atlas / "genes.gtf").read_text().splitlines()[1:]:
        chrom, source, feature, start, end, score, strand, frame, tags = line.split("\t")
        tags = dict(item.split(" ", 1) for item in tags.rstrip(";").split("; "))
        tags = {key: value.strip('"') for key, value in tags.items()}
        assert source == "simulated_atlas" and score == frame == "." and 1 <= int(start) <= int(end) <= 120_000
        if feature == "gene":
            genes[tags["gene_id"]] = (chrom, int(start), int(end), strand)
        elif feature == "exon":
            exons.setdefault((tags["transcript_id"], chrom, strand), []).append((int(start), int(end)))

    introns = 0
    for (_, chrom, strand), intervals in exons.items():
        intervals.sort()
        for (_, end), (start, _) in pairwise(intervals):
            intron = genome[chrom][end : start - 1]
            assert len(intron) >= 80
            assert (intron[:2], intron[-2:]) == (("GT", "AG") if strand == "+" else ("CT", "AC"))
            introns += 1
    assert introns > 15
    for (chrom, _, end, _), (next_chrom, start, _, _) in pairwise(sorted(genes.values())):
        assert chrom != next_chrom or end < start
    assert {strand for _, _, _, strand in genes.values()} == {"+", "-"}

    # A splice site in the truth is the first or last base of an intron.
    for row in read_table(atlas / "truth" / "splice_sites.tsv"):
        chrom, position, forward = row["chrom"], int(row["position"]), row["strand"] == "+"
        donor = row["site"] == "donor"
        pair = (
            genome[chrom][position : position + 2] if donor == forward else genome[chrom][position - 1 : position + 1]
        )
        assert (
            pair
            == {(True, True): "GT", (True, False): "AC", (False, True): "AG", (False, False): "CT"}[donor, forward]
        )

    promoters = [line.split("\t") for line in (atlas / "promoters.bed").read_text().splitlines()]
    assert len(promoters) == len(genes)
    for chrom, start, end, name, _, strand in promoters:
        gene, kind = name.split("_")
        tss = int(start) + 150  # 0-based
        first, last = genes[gene][1] - 1, genes[gene][2] - 1
        assert (chrom, strand, tss, int(end) - int(start)) == (
            *genes[gene][::3],
            first if strand == "+" else last,
            300,
        )
        around = encode_dna(genome[chrom][tss - 100 : tss + 101])
        box = (around if strand == "+" else reverse_complement(around))[100 - 31 : 100 - 31 + 4]
        assert kind in ("TATA", "nonTATA")
        if kind == "TATA":
            assert box.tolist() == encode_dna("TATA").tolist()


# Variants


def test_variants_have_the_effect_of_the_exchanged_allele(atlas, genome, oracle):
    regions = read_table(atlas / "truth" / "regions.tsv")
    truth = read_table(atlas / "truth" / "variants.tsv")
    effects = cell_type_values(truth, "effect", oracle)
    with pysam.VariantFile(str(atlas / "variants.vcf")) as file:
        records = list(file)
    assert [record.id for record in records] == [row["id"] for row in truth] and len(records) == 100
    lengths = {len(record.ref) - len(record.alts[0]) for record in records}
    assert 0 in lengths and min(lengths) < 0 < max(lengths)

    zeros = 0
    for record, row, effect in zip(records, truth, effects, strict=True):
        alt = record.alts[0]
        assert genome[record.chrom][record.start : record.stop] == record.ref == row["ref"] != alt
        if len(record.ref) != len(alt):
            assert record.ref[0] == alt[0] and record.ref[-1] != alt[-1]  # left-aligned, as short as can be
        region = regions[int(row["region"])]
        start, end = int(region["start"]), int(region["end"])
        reference = genome[record.chrom][start:end]
        alternate = reference[: record.start - start] + alt + genome[record.chrom][record.stop : end]
        change = np.diff(oracle.logits([reference, alternate]), axis=0)[0]
        np.testing.assert_allclose(effect, change, rtol=0, atol=1e-6)
        strongest = oracle.cell_types.index(record.info["CELLTYPE"])
        assert record.info["EFFECT"] == pytest.approx(change[strongest], abs=1e-6)
        assert abs(change[strongest]) == np.abs(change).max()
        size = abs(change[strongest])
        expected = "Pathogenic" if size >= 0.5 else "Benign" if size <= 0.05 else "Uncertain_significance"
        assert record.info["CLNSIG"] == expected

        before, after = oracle.find_sites([reference]), oracle.find_sites([alternate])
        if len(reference) == len(alternate) and all(
            np.array_equal(getattr(before, field), getattr(after, field))
            for field in ("tf", "start", "strand", "strength")
        ):
            assert change.tolist() == [0.0] * 4
            assert [row[f"effect_{name}"] for name in oracle.cell_types] == ["0"] * 4
            zeros += 1
    assert 20 < zeros < 80
