"""Bad input through the builders' commands: one line that says what is wrong, and nothing dropped unsaid."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hub_datasets.disease_risk.__main__ import main as disease_risk
from hub_datasets.files import read_line_blocks
from hub_datasets.promoters.__main__ import main as promoters
from hub_datasets.splice_sites.__main__ import main as splice_sites
from hub_datasets.tf_binding_sites.__main__ import main as tf_binding_sites


BYTE_ORDER_MARK = "\ufeff"
MPRA_HEADER = "Chrom\tPos\tRef\tAlt\tBarcodes\tDNA\tRNA\tCoefficient\tpValue\tElement\tRelease\n"
HELD_OUT = ["--validation_chromosomes", "chr2", "--test_chromosomes", "chr3"]


def random_genome(seed):
    """Three chromosomes of 8 kb, each with four introns of 100 bp at 1,100, 2,600, ..."""
    rng = np.random.default_rng(seed)
    genome = {}
    for name in ("chr1", "chr2", "chr3"):
        bases = rng.choice(list("ACGT"), 8000)
        for start in range(1100, 7000, 1500):
            bases[start : start + 2], bases[start + 98 : start + 100] = ["G", "T"], ["A", "G"]
        genome[name] = "".join(bases)
    return genome


GENOME = random_genome(0)


def vcf_lines(change=lambda chrom: chrom):
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for chrom, bases in GENOME.items():
        for number, place in enumerate(range(500, 7500, 500)):
            ref = bases[place]
            alt = "C" if ref == "A" else "A"
            label = "Benign" if number % 2 else "Pathogenic"
            lines.append(f"{change(chrom)}\t{place + 1}\t.\t{ref}\t{alt}\t.\t.\tCLNSIG={label}")
    return lines


def gtf_lines():
    return [
        f'{chrom}\tx\texon\t{first}\t{last}\t.\t+\t.\tgene_id "{chrom}{start}"; transcript_id "{chrom}{start}";'
        for chrom in GENOME
        for start in range(1000, 7000, 1500)
        for first, last in ((start + 1, start + 100), (start + 201, start + 300))
    ]


def promoter_lines():
    return [f"{chrom}\t{at}\t{at + 1}\t{chrom}:{at}\t0\t+" for chrom in GENOME for at in range(800, 7600, 700)]


def peak_lines():
    return [
        f"{chrom}\t{at}\t{at + 100}\t{chrom}:{at}\t9\t.\t{1 + at}\t3\t2\t50"
        for chrom in GENOME
        for at in range(800, 7600, 700)
    ]


@pytest.fixture()
def run(tmp_path, monkeypatch):
    """A command on files of lines beside `genome.fa`; gives what it wrote about itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in GENOME.items()))

    def call(command, option, name, text, *more):
        (tmp_path / name).write_text(text if isinstance(text, str) else "\n".join(text) + "\n", encoding="utf-8")
        command([option, name, "--output_dir", "set", "--overwrite", *more])
        return json.loads((tmp_path / "set" / "info.json").read_text())

    return call


COMMANDS = [
    (disease_risk, "--vcf", "a.vcf", vcf_lines, []),
    (splice_sites, "--gtf", "a.gtf", gtf_lines, ["--window_size", "40", "--base_window_size", "80"]),
    (promoters, "--promoters", "a.bed", promoter_lines, ["--tata", "none", "--min_tss_distance", "50"]),
    (tf_binding_sites, "--chip_seq", "CTCF.K562.narrowPeak", peak_lines, []),
]


@pytest.mark.parametrize(
    ("command", "option", "name", "lines", "more"), COMMANDS, ids=["vcf", "gtf", "promoters", "peaks"]
)
def test_a_byte_order_mark_and_crlf_change_nothing(command, option, name, lines, more, run):
    more = ["--genome", "genome.fa", *HELD_OUT, *more]
    if command in (promoters, tf_binding_sites):
        more += ["--max_gc_difference", "0.5"]
    plain = run(command, option, name, lines(), *more)
    marked = run(command, option, name, BYTE_ORDER_MARK + "\r\n".join(lines()) + "\r\n", *more)
    assert plain["splits"] == marked["splits"] and plain["skipped"] == marked["skipped"]
    assert plain["files"] == marked["files"]


def test_a_byte_order_mark_is_left_out_once(tmp_path):
    (tmp_path / "a").write_text(f"{BYTE_ORDER_MARK}one\n{BYTE_ORDER_MARK}two\n", encoding="utf-8")
    blocks = [block.decode() for block in read_line_blocks(tmp_path / "a", block_size=2)]
    assert blocks == ["one\n", f"{BYTE_ORDER_MARK}two\n"]


def test_variants_of_another_build_are_refused(run):
    """By chance a quarter of them fits."""
    other = "".join(f">{name}\n{bases}\n" for name, bases in random_genome(1).items())
    with open("other.fa", "w") as file:
        file.write(other)
    with pytest.raises(SystemExit) as error:
        run(disease_risk, "--vcf", "a.vcf", vcf_lines(), "--genome", "other.fa", *HELD_OUT)
    assert str(error.value).startswith("error: a.vcf: ")
    assert "of 42 records do not fit the genome other.fa; skipped: REF differs from the genome (" in str(error.value)
    assert str(error.value).endswith("; give the build that the variants were called on")


def test_one_bad_ref_is_counted(run):
    lines = vcf_lines()
    columns = lines[4].split("\t")
    columns[3] = next(base for base in "ACGT" if base not in columns[3:5])
    info = run(
        disease_risk,
        "--vcf",
        "a.vcf",
        [*lines[:4], "\t".join(columns), *lines[5:]],
        "--genome",
        "genome.fa",
        *HELD_OUT,
    )
    assert info["skipped"] == {"REF differs from the genome": 1}
    assert info["splits"]["variants"]["train"]["rows"] == 13


def mpra_line(position, alt="C", effect="0.5"):
    return f"1\t{position}\tA\t{alt}\t20\t1\t1\t{effect}\t0.1\tE\tGRCh37\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.tsv: empty file, expected a header with the columns Chrom, Pos, Ref, Alt"),
        (MPRA_HEADER, "the file has the releases (no lines after the header)"),
        (
            MPRA_HEADER + mpra_line(5) + mpra_line(6) + mpra_line(5, effect="0.7"),
            "a.tsv:4: the variant of element E at Pos 5 to C stands in line 2 too; give each once",
        ),
    ],
)
def test_bad_effect_tables(text, message, run):
    with pytest.raises(SystemExit) as error:
        run(disease_risk, "--mpra", "a.tsv", text)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_effect_table_with_a_byte_order_mark(run):
    rows = MPRA_HEADER + mpra_line(5) + mpra_line(6, effect="0.1")
    assert run(disease_risk, "--mpra", "a.tsv", BYTE_ORDER_MARK + rows)["splits"]["mpra"]["train"]["rows"] == 2


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "a.vcf: no variant with a label in 0 records"),
        (["chr1\t501\t.\tN\tA\t.\t.\tX=1"], "1 of 1 records do not fit the genome genome.fa"),
        ([vcf_lines()[2].replace("CLNSIG=Pathogenic", "X=1")], "skipped: no label: INFO has no CLNSIG (1)"),
        (
            [vcf_lines()[2].replace("Pathogenic", "drug_response")],
            "CLNSIG is drug_response; skipped: label left out: CLNSIG is drug_response (1)",
        ),
        (
            [line for line in vcf_lines()[2:] if line.endswith("Benign")],
            "have the label 'benign', expected two or more",
        ),
        (vcf_lines(lambda chrom: "chr1")[2:16], "validation_chromosomes: no rows on 'chr2'; there are rows on chr1"),
    ],
)
def test_variants_that_make_no_set(records, message, run):
    with pytest.raises(SystemExit) as error:
        run(disease_risk, "--vcf", "a.vcf", [*vcf_lines()[:2], *records], "--genome", "genome.fa", *HELD_OUT)
    assert message in str(error.value) and "\n" not in str(error.value)
