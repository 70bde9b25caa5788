from __future__ import annotations

import gzip
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_datasets.genome import Genome
from hub_datasets.vcf import Variant, VcfCounts, allele_windows, read_vcf, vcf_samples


HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
CHROMOSOME = "ACGTACGTTTGGGACCAGTA"  # 20 bp


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(f">chr1\n{CHROMOSOME.lower()}\n>2\n{CHROMOSOME[::-1]}\n>n\nNNNN\n")
    return Genome(path)


def write(folder, *records, header=HEADER, name="a.vcf"):
    path = folder / name
    path.write_text(header + "".join("\t".join(map(str, record)) + "\n" for record in records))
    return path


def record(chrom, pos, ref, alt, info=".", name="."):
    return chrom, pos, name, ref, alt, ".", "PASS", info


def plain(variants):
    return [(v.chrom, v.position, v.ref, v.alt) for v in variants]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_records(tmp_path, genome, compress, newline):
    path = write(
        tmp_path,
        record("chr1", 1, "A", "C", "CLNSIG=Benign;DB;AF=0.1,0.2", "rs1"),
        record("1", 3, "g", "a"),
        record("chr1", 9, "TTG", "T"),
        record("chr2", 1, "A", "ATT"),
    )
    path.write_bytes(compress(path.read_text().replace("\n", newline).encode()))
    counts = VcfCounts()
    variants = list(read_vcf(path, genome, counts))
    assert plain(variants) == [
        ("chr1", 0, "A", "C"),
        ("chr1", 2, "G", "A"),
        ("chr1", 8, "TTG", "T"),
        ("2", 0, "A", "ATT"),
    ]
    assert variants[0].info == {"CLNSIG": "Benign", "DB": "", "AF": "0.1,0.2"}
    assert [v.id for v in variants] == ["rs1", "chr1-3-G-A", "chr1-9-TTG-T", "2-1-A-ATT"]
    assert [v.line for v in variants] == [3, 4, 5, 6]
    assert (counts.records, counts.variants, counts.renamed, dict(counts.skipped)) == (4, 4, 2, {})


def test_bgzip(tmp_path, genome):
    pysam = pytest.importorskip("pysam")
    path = write(tmp_path, record("chr1", 1, "A", "C"))
    pysam.tabix_compress(str(path), str(tmp_path / "a.vcf.gz"))
    assert plain(read_vcf(tmp_path / "a.vcf.gz", genome)) == [("chr1", 0, "A", "C")]
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes((tmp_path / "a.vcf.gz").read_bytes()[:-28])
    with pytest.raises(ValueError, match="truncated bgzip file"):
        list(read_vcf(cut, genome))


def test_every_skip_is_counted_with_its_place(tmp_path, genome):
    path = write(
        tmp_path,
        record("chr1", 1, "A", "<DEL>"),
        record("chr1", 1, "A", "A[chr2:5["),
        record("chr1", 1, "A", ".A"),
        record("chr1", 1, "A", "*"),
        record("chr1", 1, "A", "."),
        record("chr1", 1, "A", "N"),
        record("chr1", 1, "A", "a"),
        record("chr1", 1, "C", "T"),
        record("chr1", 0, "A", "T"),
        record("chr1", 20, "AC", "A"),
        record("chr7", 1, "A", "T"),
        record("n", 1, "N", "A"),
        record("chr1", "x", "A", "T"),
        record("chr1", 1, "", "T"),
        record("chr1", 1, "A", ""),
        ("chr1", 1, ".", "A"),
        record("chr1", 1, "ACGTACG", "A"),
        record("chr1", 2, "C", "G"),
    )
    counts = VcfCounts()
    assert plain(read_vcf(path, genome, counts, max_allele_length=5)) == [("chr1", 1, "C", "G")]
    assert counts.skipped == {
        "symbolic allele (such as <DEL>)": 1,
        "breakend": 2,
        "deletion that another record describes (ALT is '*')": 1,
        "no alternate allele (ALT is '.')": 1,
        "allele with letters other than A, C, G, T": 2,
        "ALT equals REF": 1,
        "REF differs from the genome": 1,
        "position outside of the chromosome": 2,
        "chromosome that the genome does not have": 1,
        "malformed line": 4,
        "allele longer than the window takes": 1,
    }
    assert counts.examples["REF differs from the genome"] == [f"{path.name}:10: chr1-1-C-T; the genome has A"]
    assert counts.examples["breakend"] == [f"{path.name}:4: chr1-1-A-A[chr2:5[", f"{path.name}:5: chr1-1-A-.A"]
    assert counts.examples["malformed line"] == [
        f"{path.name}:15: found POS 'x', expected a whole number",
        f"{path.name}:16: found REF '', expected bases",
        f"{path.name}:17: found an empty CHROM or ALT",
    ]  # three at most
    assert counts.records == 18 and counts.as_dict()["skipped"] == dict(counts.skipped)
    assert "  4 skipped: malformed line; first: " in str(counts)


def test_several_alternate_alleles_are_split(tmp_path, genome):
    path = write(tmp_path, record("chr1", 1, "A", "C,<NON_REF>,AT", name="rs5"))
    counts = VcfCounts()
    variants = list(read_vcf(path, genome, counts))
    assert plain(variants) == [("chr1", 0, "A", "C"), ("chr1", 0, "A", "AT")]
    assert [v.id for v in variants] == ["rs5", "rs5"]
    assert counts.multi_allelic == 1 and counts.skipped == {"symbolic allele (such as <DEL>)": 1}


def test_without_a_genome_nothing_is_checked_against_it(tmp_path):
    path = write(tmp_path, record("any", 10**9, "A", "C"))
    assert plain(read_vcf(path)) == [("any", 10**9 - 1, "A", "C")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a.vcf: not a VCF file: found the end of the file"),
        ("##fileformat=VCFv4.2\n", "a.vcf: not a VCF file: found the end of the file"),
        ("chr1\t1\t.\tA\tC\n", "a.vcf:1: not a VCF file: found 'chr1"),
        (HEADER.replace("\t", " ") + "chr1 1 . A C . . .\n", "a.vcf:2: not a VCF file: found '#CHROM POS"),
        (HEADER + "chr8\t1\t.\tA\tC\t.\t.\t.\n", "none of its chromosomes: found chr8, expected chr1, 2, n"),
        ("BCF\x02\x02", "a.vcf: is a BCF file, expected VCF text"),
        (HEADER.replace("INFO\n", "INFO\tFORMAT\ts1\ts1\n"), "a.vcf:2: sample 's1' comes twice"),
    ],
)
def test_what_is_fatal(tmp_path, genome, content, message):
    path = tmp_path / "a.vcf"
    path.write_text(content)
    with pytest.raises(ValueError) as error:
        list(read_vcf(path, genome))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_file_without_records_is_empty(tmp_path, genome):
    assert list(read_vcf(write(tmp_path), genome)) == []
    with pytest.raises(FileNotFoundError, match="none.vcf: no such file"):
        list(read_vcf(tmp_path / "none.vcf", genome))


def test_genotypes(tmp_path, genome):
    header = HEADER.replace("INFO\n", "INFO\tFORMAT\ta\tb\tc\td\te\n")
    path = write(
        tmp_path,
        (*record("chr1", 1, "A", "C,G"), "DP:GT", "9:0/1", "8:1|2", "7:2/2", "1:./.", "1"),
        (*record("chr1", 2, "C", "G"), "GT", "1", "./1", "0/3", "0", "."),
        (*record("chr1", 3, "G", "T"), "DP", "1", "1", "1", "1", "1"),
        (*record("chr1", 3, "G", "T"), "GT", "0/1"),
        header=header,
    )
    assert vcf_samples(path) == ["a", "b", "c", "d", "e"]
    counts = VcfCounts()
    variants = list(read_vcf(path, genome, counts, genotypes=True))
    assert plain(variants) == [("chr1", 0, "A", "C"), ("chr1", 0, "A", "G")]
    np.testing.assert_array_equal(variants[0].copies, [1, 1, 0, -1, -1])
    np.testing.assert_array_equal(variants[1].copies, [0, 1, 2, -1, -1])
    assert counts.skipped == {"malformed line": 3}
    assert list(read_vcf(path, genome))[0].copies is None
    with pytest.raises(ValueError, match=":2: no samples, expected columns of genotypes"):
        list(read_vcf(write(tmp_path, record("chr1", 1, "A", "C"), name="b.vcf"), genome, genotypes=True))


@pytest.mark.parametrize(
    ("position", "ref", "alt", "width", "expected"),
    [
        # chr1 is ACGTACGTTTGGGACCAGTA
        (10, "G", "A", 5, ("TTGGG", "TTAGG", 8, 13)),
        (10, "G", "A", 6, ("TTTGGG", "TTTAGG", 7, 13)),
        (9, "TG", "T", 5, ("TTGGG", "TTGGA", 8, 13)),  # the deletion of base 10: filled up with base 13
        (9, "TGGG", "T", 6, ("TTGGGA", "TTACCA", 8, 14)),
        (10, "G", "GAC", 6, ("TTGGGA", "TTGACG", 8, 14)),  # inserted before base 11, which is the window's fourth
        (0, "A", "T", 6, ("ACG", "TCG", 0, 3)),  # cut where the chromosome begins
        (19, "A", "T", 6, ("AGTA", "AGTT", 16, 20)),  # and where it ends
        (18, "TA", "T", 6, ("AGTA", "AGT", 16, 20)),  # nothing to fill up with
        (0, "AC", "C", 6, ("ACG", "CGT", 0, 3)),
        (19, "A", "AGG", 6, ("GTA", "GTA", 17, 20)),  # inserted after the last base: no place in the window
        (4, "ACGT", "ATTT", 4, ("ACGT", "ATTT", 4, 8)),  # CG becomes TT
    ],
)
def test_windows_of_alleles(genome, position, ref, alt, width, expected):
    assert allele_windows(genome, Variant("chr1", position, ref, alt, "x"), width) == expected


def test_an_allele_that_no_window_holds(genome):
    with pytest.raises(ValueError, match=r"chr1-1-A-AAAAAAA: an allele of 6 bp does not fit a window of 5 bp"):
        allele_windows(genome, Variant("chr1", 0, "A", "A" * 7, "x"), 5)


bases = st.text("ACGT", min_size=1, max_size=4)


@given(position=st.integers(0, 19), length=st.integers(1, 4), alt=bases, width=st.integers(4, 25))
@settings(max_examples=300, deadline=None)
def test_windows_hold_the_chromosome_with_its_allele(genome, position, length, alt, width):
    ref = CHROMOSOME[position : position + length]
    sequence, alt_sequence, start, end = allele_windows(genome, Variant("chr1", position, ref, alt, "x"), width)
    changed = CHROMOSOME[:position] + alt + CHROMOSOME[position + len(ref) :]
    assert sequence == CHROMOSOME[start:end]
    assert alt_sequence == changed[start : start + len(sequence)]
    assert len(sequence) <= width and (len(sequence) == width or start == 0 or end == 20)


cells = st.text(string.printable.replace("\r", "").replace("\n", ""), max_size=6)
records = st.tuples(
    st.sampled_from(["chr1", "1", "2", "chr9", ""]) | cells,
    st.integers(-2, 25).map(str) | cells,
    cells,
    bases | cells,
    st.lists(bases | st.sampled_from(["<DEL>", "*", ".", "G]1:2]", "n"]) | cells, min_size=1, max_size=3).map(
        ",".join
    ),
    cells,
    cells,
    cells,
)


@given(lines=st.lists(st.lists(cells, max_size=9) | records, max_size=5))
@settings(max_examples=300, deadline=None)
def test_no_record_is_fatal_and_none_is_lost(genome, tmp_path_factory, lines):
    path = write(tmp_path_factory.mktemp("any"), record("chr1", 1, "A", "C"), *lines)
    counts = VcfCounts()
    variants = list(read_vcf(path, genome, counts))
    assert len(variants) == counts.variants >= 1
    assert counts.records <= 1 + len(lines)
    assert counts.variants + counts.skipped.total() >= counts.records
    for variant in variants:
        assert genome.fetch(variant.chrom, variant.position, variant.position + len(variant.ref)) == variant.ref
        assert set(variant.ref + variant.alt) <= set("ACGT") and variant.ref != variant.alt
