"""`predict.py` on places of a genome, variants, bases, and in a cell type."""

# ruff: noqa: F811 (fixtures are imported)
from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.prediction.context import CellTypeContext
from examples.prediction.predictor import shared_bases
from examples.prediction.records import Change
from modeling_genebert import (
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
    average_strands,
    reverse_complement,
)

from .predicting import (  # noqa: F401
    CHR1,
    CHR2,
    checkpoints,
    dna,
    files,
    logits_of,
    make_processor,
    motif_bank,
    run,
    save,
    write_vcf,
)


# Places on a genome


def test_bed(checkpoints, files, tmp_path):
    (tmp_path / "places.bed").write_text(
        "track name=x\n#chrom start end\nchr1\t10\t40\tforward\t0\t+\nchr1\t10\t40\tback\t0\t-\nchr2 100 120\n"
        "chr2\t0\t20\nchr2\t190\t210\nchr7\t0\t10\n"
    )
    rows, report = run(checkpoints["promoter"], tmp_path / "places.bed", "--genome", files / "genome.fa")
    places = [tuple(row.values())[:5] for row in rows]
    assert places == [
        ("chr1", 10, 40, "forward", "+"),
        ("chr1", 10, 40, "back", "-"),
        ("chr2", 100, 120, "chr2:100-120", "."),
    ]
    sequences = [CHR1[10:40], reverse_complement(CHR1[10:40]), CHR2[100:120]]
    expected = logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, sequences).softmax(-1)[:, 1]
    np.testing.assert_allclose([row["probability_yes"] for row in rows], expected, atol=1e-6)
    path = str(tmp_path / "places.bed")
    assert report["examples_of_skipped"] == {
        "no known base": [f"{path}:6: chr2:0-20"],
        "not inside of the chromosome": [f"{path}:7: chr2:190-210; predicted from 190-210 of 200 bp"],
        "chromosome that the genome does not have": [f"{path}:8: chr7:0-10"],
    }


def test_bed_of_one_width(checkpoints, files, tmp_path):
    (tmp_path / "peaks.narrowPeak").write_text("chr1\t100\t300\tpeak\t0\t.\t5.0\t-1\t-1\t20\nchr1\t2\t6\n")
    options = ("--genome", files / "genome.fa", "--width", 31)
    rows, report = run(checkpoints["value"], tmp_path / "peaks.narrowPeak", *options)
    logits = logits_of(checkpoints["value"], GeneBertForSequenceClassification, [CHR1[185:216]])
    expected = {"chrom": "chr1", "start": 185, "end": 216, "id": "peak", "strand": "."}
    assert rows == [{**expected, "prediction": pytest.approx(logits.item(), abs=1e-6)}]
    assert report["skipped"] == {"not inside of the chromosome": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("chr1\t10\n", r"bad.bed:1: found 'chr1\\t10', expected a chromosome, a start and an end"),
        ("chr1\t10\tx\n", "bad.bed:1"),
        ("chr1\t0\t10\nchr1\t10\t10\n", "bad.bed:2"),
        ("1\t0\t10\n", "has none of its chromosomes, such as '1'; '1' here seems to be 'chr1' there"),
    ],
)
def test_bad_bed(checkpoints, files, tmp_path, content, message):
    (tmp_path / "bad.bed").write_text(content)
    with pytest.raises(ValueError, match=message):
        run(checkpoints["promoter"], tmp_path / "bad.bed", "--genome", files / "genome.fa")


# Variants


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """An SNV, a bad REF, three alleles of which one is symbolic, an insertion at the end, and one beyond it."""
    other = {"A": "C", "C": "G", "G": "T", "T": "A"}
    snv, deleted = CHR1[99], CHR1[149:152]
    return write_vcf(
        tmp_path_factory.mktemp("variants") / "variants.vcf",
        ("chr1", 100, "rs1", snv, other[snv]),
        ("chr1", 120, "rs2", other[CHR1[119]], CHR1[119]),
        ("1", 150, ".", deleted, f"{deleted[0]},{deleted}TTT,<DEL>"),
        ("chr1", 300, ".", CHR1[299], CHR1[299] + "TT"),
        ("chr1", 301, ".", "A", "C"),
    )


def windows_of_variants():
    """Windows of 31 bp with both alleles of those variants that can be used."""
    snv = {"A": "C", "C": "G", "G": "T", "T": "A"}[CHR1[99]]
    inserted = CHR1[:152] + "TTT" + CHR1[152:]
    return [
        (CHR1[84:115], CHR1[84:99] + snv + CHR1[100:115]),
        (CHR1[136:167], CHR1[136:150] + CHR1[152:169]),
        (CHR1[137:168], inserted[137:168]),
        (CHR1[285:300], (CHR1[285:300] + "TT")[:15]),
    ]


def test_variants(checkpoints, files, variants):
    options = ("--genome", files / "genome.fa", "--width", 31)
    rows, report = run(checkpoints["effect"], variants, *options)
    deleted = CHR1[149:152]
    assert [tuple(row.values())[:5] for row in rows] == [
        ("chr1", 100, "rs1", CHR1[99], {"A": "C", "C": "G", "G": "T", "T": "A"}[CHR1[99]]),
        ("chr1", 150, f"chr1-150-{deleted}-{deleted[0]}", deleted, deleted[0]),
        ("chr1", 150, f"chr1-150-{deleted}-{deleted}TTT", deleted, f"{deleted}TTT"),
        ("chr1", 300, f"chr1-300-{CHR1[299]}-{CHR1[299]}TT", CHR1[299], f"{CHR1[299]}TT"),
    ]
    reference, alternate = map(list, zip(*windows_of_variants(), strict=True))
    logits = logits_of(checkpoints["effect"], GeneBertForVariantEffect, reference, alt_sequences=alternate)
    np.testing.assert_allclose([row["prediction"] for row in rows], logits[:, 0], atol=1e-6)
    assert report["skipped"] == {
        "REF differs from the genome": 1,
        "symbolic allele (such as <DEL>)": 1,
        "position outside of the chromosome": 1,
    }
    (example,) = report["examples_of_skipped"]["REF differs from the genome"]
    assert example.startswith(f"{variants.name}:4: chr1-120-")
    assert (report["read"], report["predicted"]) == (7, 4)

    rows, _ = run(checkpoints["risk"], variants, *options, "--average_strands")
    model, processor = (
        GeneBertForVariantEffect.from_pretrained(checkpoints["risk"]),
        GeneBertProcessor.from_pretrained(checkpoints["risk"]),
    )
    logits = average_strands(model, processor, reference, alt_sequences=alternate).logits
    np.testing.assert_allclose([row["probability_pathogenic"] for row in rows], logits.softmax(-1)[:, 1], atol=1e-6)
    assert {row["prediction"] for row in rows} <= {"benign", "pathogenic"}


def test_a_model_of_sequences_scores_both_alleles(checkpoints, files, variants):
    rows, _ = run(checkpoints["promoter"], variants, "--genome", files / "genome.fa", "--width", 31)
    reference, alternate = map(list, zip(*windows_of_variants(), strict=True))
    ref, alt = (
        logits_of(checkpoints["promoter"], GeneBertForSequenceClassification, alleles)
        for alleles in (reference, alternate)
    )
    np.testing.assert_allclose([row["ref_yes"] for row in rows], ref.softmax(-1)[:, 1], atol=1e-6)
    np.testing.assert_allclose([row["alt_yes"] for row in rows], alt.softmax(-1)[:, 1], atol=1e-6)
    log_odds = (alt[:, 1] - alt[:, 0]) - (ref[:, 1] - ref[:, 0])
    np.testing.assert_allclose([row["effect_yes"] for row in rows], log_odds, atol=1e-5)
    np.testing.assert_allclose([row["effect_no"] for row in rows], -log_odds, atol=1e-5)

    rows, _ = run(checkpoints["value"], variants, "--genome", files / "genome.fa", "--width", 31)
    assert list(rows[0])[5:] == ["ref_prediction", "alt_prediction", "effect_prediction"]
    assert rows[0]["effect_prediction"] == pytest.approx(rows[0]["alt_prediction"] - rows[0]["ref_prediction"])


# Start of each window, 0-based, and its bases that both alleles have, in the reference and in the alternate window.
SHARED = [
    (84, range(31), range(31)),
    (136, [*range(14), *range(16, 31)], [*range(14), *range(14, 29)]),
    (137, range(28), [*range(15), *range(18, 31)]),
    (285, range(15), range(15)),
]


def test_a_model_per_base_gives_gains_and_losses(checkpoints, files, variants):
    rows, _ = run(checkpoints["splice"], variants, "--genome", files / "genome.fa", "--width", 31)
    for row, alleles, (start, ref_bases, alt_bases) in zip(rows, windows_of_variants(), SHARED, strict=True):
        ref, alt = (
            logits_of(checkpoints["splice"], GeneBertForTokenClassification, [allele]).softmax(-1)[0, :, 1].numpy()
            for allele in alleles
        )
        change = alt[list(alt_bases)] - ref[list(ref_bases)]
        positions = np.array(ref_bases) + start + 1
        assert row["gain_donor"] == pytest.approx(max(0, change.max()), abs=1e-6)
        assert row["loss_donor"] == pytest.approx(max(0, -change.min()), abs=1e-6)
        assert (row["gain_donor_pos"], row["loss_donor_pos"]) == (
            positions[change.argmax()],
            positions[change.argmin()],
        )


def test_bases_that_both_alleles_have():
    def pairs(change, ref_length, alt_length):
        return [array.tolist() for array in shared_bases(change, ref_length, alt_length)]

    assert pairs(Change(2, 1, 1), 5, 5) == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert pairs(Change(2, 2, 1), 6, 6) == [[0, 1, 2, 4, 5], [0, 1, 2, 3, 4]]  # base 3 deleted
    assert pairs(Change(2, 1, 3), 6, 6) == [[0, 1, 2, 3], [0, 1, 2, 5]]  # two bases inserted after base 2
    assert pairs(Change(0, 1, 1), 3, 3) == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize(
    ("records", "arguments", "message"),
    [
        ([("chr1", 1, ".", CHR1[0], "N")], [], "pass --width, the bp round a variant that the model was trained on"),
        ([("chrX", 1, ".", "A", "C")], ["--width", 31], "has none of its chromosomes: found chrX"),
        ([("chr1", 50, ".", CHR1[49], f"{CHR1[49]}A")], ["--width", 99], "99 bp, expected at most 40 bp. Alleles are"),
    ],
)
def test_bad_variants(checkpoints, files, tmp_path, records, arguments, message):
    path = write_vcf(tmp_path / "bad.vcf", *records)
    with pytest.raises(ValueError, match=message):
        run(checkpoints["effect"], path, "--genome", files / "genome.fa", *arguments)


def test_alleles_longer_than_the_window_are_skipped(checkpoints, files, tmp_path):
    path = write_vcf(tmp_path / "long.vcf", ("chr1", 50, ".", CHR1[49], CHR1[49] + "A" * 50))
    rows, report = run(checkpoints["effect"], path, "--genome", files / "genome.fa", "--width", 31)
    assert rows == []
    assert report["skipped"] == {"allele longer than the window takes": 1}


# Bases


def test_summary_and_sites(checkpoints, files, tmp_path):
    (tmp_path / "places.bed").write_text("chr1\t10\t40\tforward\t0\t+\nchr1\t10\t40\tback\t0\t-\n")
    options = ("--genome", files / "genome.fa")
    rows, _ = run(checkpoints["splice"], tmp_path / "places.bed", *options)
    sites, report = run(
        checkpoints["splice"], tmp_path / "places.bed", *options, "--per_base", "sites", "--min_probability", 0.4
    )
    sequences = [CHR1[10:40], reverse_complement(CHR1[10:40])]
    probabilities = logits_of(checkpoints["splice"], GeneBertForTokenClassification, sequences).softmax(-1).numpy()
    expected = []
    for row, own, position in zip(rows, probabilities, (lambda base: 10 + base, lambda base: 39 - base), strict=True):
        assert row["bases_donor"] == (own.argmax(-1) == 1).sum()
        assert row["max_acceptor"] == pytest.approx(own[:, 2].max(), abs=1e-6)
        assert row["max_start_acceptor"] == position(own[:, 2].argmax())
        for base in range(30):
            for label, name in ((1, "donor"), (2, "acceptor")):
                if own[base, label] >= 0.4:
                    start, probability = position(base), pytest.approx(own[base, label], abs=1e-6)
                    place = {"chrom": "chr1", "start": start, "end": start + 1, "id": row["id"]}
                    site = {"strand": row["strand"], "prediction": name, "probability": probability}
                    expected.append({**place, **site})
    assert sites == expected
    assert (report["predicted"], report["rows"]) == (2, len(expected))


# Cell types


@pytest.fixture(scope="module")
def binding(atac, tmp_path_factory):
    """A classifier that reads the motifs of the tiny atlas."""
    processor = make_processor(atac.motif_bank)
    folder = tmp_path_factory.mktemp("binding")
    return save(folder, GeneBertForSequenceClassification, processor, ["free", "bound"])


def test_context_is_that_of_training(atac_folder, atac):
    windows, region_ids = atac.windows("train")
    store = atac.regions
    for cell_type, name in enumerate(atac.cell_types[:3]):
        context = CellTypeContext(str(atac_folder), name, num_regions=8, region_width=500)
        for row in np.flatnonzero(windows.cell_type == cell_type)[::40]:
            ids = region_ids.row(row)
            ids = ids[ids >= 0]
            anchor = int(windows.anchor[row])
            chrom = store.chromosomes[store.chrom[anchor]]
            found = context.around(chrom, int(store.centre[anchor]), "A")
            assert found.positions == store.centre[ids].tolist()
            assert found.regions == [store.sequences.row(index).tobytes().decode() for index in ids]
            assert found.anchor == ids.tolist().index(anchor)
            np.testing.assert_array_equal(
                np.array(found.accessibility, dtype=np.float32), store.accessibility.take(ids)[:, cell_type]
            )


def test_context_where_nothing_is_open(atac_folder, atac):
    context = CellTypeContext(str(atac_folder), "sim01", num_regions=8, region_width=500)
    store = atac.regions
    closed = int(np.flatnonzero(~store.is_open[:, atac.cell_types.index("sim01")])[0])
    found = context.around(store.chromosomes[store.chrom[closed]], int(store.start[closed]), "A")
    assert found.accessibility[found.anchor] == 0.0
    assert found.positions[found.anchor] == store.centre[closed]
    assert len(found.regions) > 1
    gap = int(np.flatnonzero(np.diff(store.start[store.chrom == 0]) > 1200)[0])
    middle = int(store.start[gap]) + 700
    sequence = dna(601)
    found = context.around(store.chromosomes[0], middle, sequence)
    assert found.regions[found.anchor] == sequence[50:550]
    assert (found.accessibility[found.anchor], found.positions[found.anchor]) == (0.0, middle)
    assert context.around("chrUn", 5, "ACGT").regions == ["ACGT"]


def test_a_cell_type(binding, atac_folder, atac, atlas_folder, tmp_path):
    store = atac.regions
    places = [(store.chromosomes[store.chrom[row]], int(store.centre[row])) for row in (3, 11, 20)]
    lines = [f"{chrom}\t{centre - 20}\t{centre + 20}\n" for chrom, centre in places]
    (tmp_path / "places.bed").write_text("".join(lines))
    genome = ("--genome", atlas_folder / "genome.fa")
    cells = {}
    for cell_type in ("sim01", "sim04"):
        options = ("--atac_seq_dir", atac_folder, "--cell_type", cell_type)
        rows, _ = run(binding, tmp_path / "places.bed", *genome, *options)
        cells[cell_type] = [row["probability_bound"] for row in rows]
    assert cells["sim01"] != cells["sim04"]

    context = CellTypeContext(str(atac_folder), "sim04", num_regions=8, region_width=500)
    found = [context.around(chrom, centre, "") for chrom, centre in places]
    sequences = [store.sequences.row(row).tobytes().decode()[230:270] for row in (3, 11, 20)]
    names = ("regions", "positions", "accessibility", "anchor")
    inputs = {name: [getattr(one, name) for one in found] for name in names}
    logits = logits_of(binding, GeneBertForSequenceClassification, sequences, **inputs)
    np.testing.assert_allclose(cells["sim04"], logits.softmax(-1)[:, 1], atol=1e-6)


def test_a_table_with_context_of_its_own(binding, tmp_path):
    regions = {"chrom": ["chr1"] * 4, "start": [0, 100, 300, 500], "end": [50, 150, 350, 550]}
    regions["sequence"] = [dna(50, number) for number in range(4)]
    pq.write_table(pa.table(regions), tmp_path / "regions.parquet")
    table = {"sequence": [dna(30), dna(35)], "region_ids": [[0, 1, 2], [3]], "anchor": [1, 0]}
    table["accessibility"] = [[0.5, float("nan"), 0.0], [1.0]]
    pq.write_table(pa.table(table), tmp_path / "table.parquet")
    text = "sequence\tregion_ids\tanchor\taccessibility\n"
    text += f"{dna(30)}\t0;1;2\t1\t0.5;nan;0\n{dna(35)}\t3\t\t1\n"
    (tmp_path / "table.tsv").write_text(text)
    inputs = {
        "regions": [regions["sequence"][:3], regions["sequence"][3:]],
        "positions": [[25, 125, 325], [525]],
        "accessibility": [[0.5, None, 0.0], [1.0]],
        "anchor": [1, 0],
    }
    logits = logits_of(binding, GeneBertForSequenceClassification, [dna(30), dna(35)], **inputs)
    for name in ("table.parquet", "table.tsv"):
        rows, _ = run(binding, tmp_path / name, "--regions_file", tmp_path / "regions.parquet")
        np.testing.assert_allclose([row["probability_bound"] for row in rows], logits.softmax(-1)[:, 1], atol=1e-6)
    (tmp_path / "bad.tsv").write_text(f"sequence\tregion_ids\n{dna(30)}\t4\n")
    with pytest.raises(ValueError, match=r"bad.tsv:2: region_ids \[4\], expected row numbers from 0 to 3"):
        run(binding, tmp_path / "bad.tsv", "--regions_file", tmp_path / "regions.parquet")


def test_cell_types_that_cannot_be_used(binding, atac_folder, files, tmp_path):
    options = ("--atac_seq_dir", atac_folder, "--cell_type")
    with pytest.raises(ValueError, match="no cell type 'B', it has sim01, sim02, sim03, sim04"):
        run(binding, files / "sequences.fa", *options, "B")
    with pytest.raises(ValueError, match=r"sequences.fa:1: record 's0': no place on the genome, expected chrom"):
        run(binding, files / "sequences.fa", *options, "sim01")
    model = GeneBertForSequenceClassification.from_pretrained(binding)
    model.config.update({"with_context": True})
    model.save_pretrained(tmp_path)
    GeneBertProcessor.from_pretrained(binding).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="was trained with the open regions round each sequence: pass --atac_seq_dir"):
        run(tmp_path, files / "sequences.fa")
    with pytest.raises(SystemExit):
        run(binding, files / "sequences.fa", "--cell_type", "sim01")
    narrow = make_processor(GeneBertProcessor.from_pretrained(binding).feature_extractor.motif_bank, region_width=200)
    save(tmp_path, GeneBertForSequenceClassification, narrow, ["free", "bound"])
    with pytest.raises(ValueError, match="its regions are 500 bp wide, but the model takes at most 200 bp"):
        run(tmp_path, files / "sequences.fa", *options, "sim01")
