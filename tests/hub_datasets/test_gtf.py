from __future__ import annotations

import gzip

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_datasets import gtf as gtf_module
from hub_datasets.files import read_line_blocks
from hub_datasets.gtf import read_exons


ENSEMBL = (
    "#!genome-build GRCh38\n"
    'chr1\thavana\tgene\t11\t60\t.\t+\t.\tgene_id "G1"; gene_name "A";\n'
    'chr1\thavana\texon\t11\t20\t.\t+\t.\tgene_id "G1"; transcript_id "T1"; exon_number "1";\n'
    "\n"
    "# a comment between\n"
    "   \t\n"
    'chr2\tStringTie\texon\t7\t7\t1000\t.\t.\ttranscript_id "T 2"; note "gene_id fake; x"; gene_id G2;\n'
    "X\tucsc\texon\t1\t2147483646\t0\t-\t0\tgene_id G3 ; transcript_id T3"
)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("block_size", [10, 1 << 24])
def test_exons(tmp_path, monkeypatch, compress, newline, block_size):
    monkeypatch.setattr(gtf_module, "read_line_blocks", lambda path: read_line_blocks(path, block_size))
    path = tmp_path / "a.gtf"
    path.write_bytes(compress(ENSEMBL.replace("\n", newline).encode()))
    exons = read_exons(path)
    assert exons["chrom"].tolist() == ["chr1", "chr2", "X"]
    assert exons["start"].tolist() == [10, 6, 0]
    assert exons["end"].tolist() == [20, 7, 2147483646]
    assert exons["strand"].tolist() == ["+", ".", "-"]
    assert exons["gene_id"].tolist() == ["G1", "G2", "G3"]
    assert exons["transcript_id"].tolist() == ["T1", "T 2", "T3"]


def test_bgzip(tmp_path):
    pysam = pytest.importorskip("pysam")
    (tmp_path / "a.gtf").write_text(ENSEMBL)
    pysam.tabix_compress(str(tmp_path / "a.gtf"), str(tmp_path / "a.gtf.gz"))
    assert len(read_exons(tmp_path / "a.gtf.gz")) == 3
    whole = (tmp_path / "a.gtf.gz").read_bytes()
    (tmp_path / "cut.gtf.gz").write_bytes(whole[:-28])
    with pytest.raises(ValueError, match="cut.gtf.gz: truncated bgzip file"):
        read_exons(tmp_path / "cut.gtf.gz")


GOOD = 'chr1\tx\texon\t1\t9\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1 x exon 1 9 . + . gene_id", ":3: found 1 tab-separated columns, expected the 9 of GTF"),
        (GOOD.replace("\t1\t", "\t0\t"), ":3: found start '0', end '9', expected 1 <= start <= end"),
        (GOOD.replace("\t1\t", "\t10\t"), ":3: found start '10', end '9'"),
        (GOOD.replace("\t1\t", "\t0x1\t"), ":3: found start '0x1'"),
        (GOOD.replace("\t9\t", "\t1e3\t"), ":3: found start '1', end '1e3'"),
        (GOOD.replace("\t9\t", "\t99999999999999999999\t"), ":3: found start '1', end '99999999999999999999'"),
        (GOOD.replace("\t9\t", "\t2147483648\t"), ":3: found start '1', end '2147483648'"),
        (GOOD.replace("+", "?"), r":3: found strand '\?', expected '\+', '-' or '\.'"),
        (GOOD.replace("chr1", ""), ":3: found no chromosome name"),
        (GOOD.replace("gene_id", "Gene_id"), ':3: an exon without gene_id: .* expected gene_id "ID";'),
        (GOOD.replace('"T"', '""'), ":3: an exon without transcript_id"),
        (GOOD.replace('gene_id "G"; transcript_id "T";', "ID=e1;Parent=t1"), ":3: an exon without gene_id: .* GFF3"),
        (GOOD.replace("chr1\t", "chr1\r\t"), ":3: found a carriage return"),
        (GOOD.replace('"G"', '"\udcff"'), ":3: found bytes that are not UTF-8"),
    ],
)
def test_malformed_line(tmp_path, line, message):
    path = tmp_path / "a.gtf"
    path.write_bytes((GOOD + "# x\n" + line.rstrip("\n") + "\n" + GOOD).encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        read_exons(path)


def test_line_number_in_a_later_block(tmp_path, monkeypatch):
    monkeypatch.setattr(gtf_module, "read_line_blocks", lambda path: read_line_blocks(path, 100))
    path = tmp_path / "a.gtf"
    path.write_text(GOOD * 30 + "bad\n" + GOOD)
    with pytest.raises(ValueError, match="a.gtf:31: found 1 tab-separated"):
        read_exons(path)


def test_no_exons(tmp_path):
    path = tmp_path / "a.gtf"
    path.write_text(GOOD.replace("exon", "CDS") * 3 + GOOD.replace("exon", "gene"))
    with pytest.raises(ValueError, match=r"a.gtf: no exons in the file: found CDS \(3\), gene \(1\), expected lines"):
        read_exons(path)
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="no exons in the file: found no features"):
        read_exons(path)


def test_gff3_and_missing_file(tmp_path):
    path = tmp_path / "a.gff3"
    path.write_text("##gff-version 3\nchr1\tx\texon\t1\t9\t.\t+\t.\tID=e1;Parent=t1\n")
    with pytest.raises(ValueError, match="is GFF3 .* convert it with `gffread"):
        read_exons(path)
    with pytest.raises(FileNotFoundError, match="nowhere.gtf: no such file"):
        read_exons(tmp_path / "nowhere.gtf")


NAMES = st.text("abcXYZ019._:-", min_size=1, max_size=8)


@st.composite
def gtf_line(draw):
    start = draw(st.integers(1, 2**31 - 2))
    end = draw(st.integers(start, 2**31 - 1))
    chrom, gene, transcript = draw(NAMES), draw(NAMES), draw(NAMES)
    strand = draw(st.sampled_from("+-."))
    attributes = [
        f'gene_id "{gene}"',
        f"transcript_id {transcript}",
        *draw(st.lists(st.sampled_from(["tag \"gene_id 'q'; x\"", "level 2", 'transcript_ids "no"']), max_size=3)),
    ]
    attributes = draw(st.permutations(attributes))
    text = f"{chrom}\tsrc\texon\t{start}\t{end}\t.\t{strand}\t.\t{'; '.join(attributes)};"
    return text, (chrom, start - 1, end, strand, gene, transcript)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(gtf_line(), min_size=1, max_size=6), block_size=st.integers(1, 300))
def test_what_is_written_is_read(tmp_path, lines, block_size):
    path = tmp_path / "random.gtf"
    path.write_text("".join(f"{text}\n" for text, _ in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gtf_module, "read_line_blocks", lambda path: read_line_blocks(path, block_size))
        exons = read_exons(path)
    names = ["chrom", "start", "end", "strand", "gene_id", "transcript_id"]
    assert [tuple(row) for row in exons[names].astype(object).to_numpy()] == [expected for _, expected in lines]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from(list('\t\t\t\n"; exon+-.19gtf_id\r#x')), max_size=80))
def test_anything_is_read_or_refused_with_its_place(tmp_path, text):
    path = tmp_path / "any.gtf"
    path.write_bytes((GOOD + text).encode())
    try:
        assert len(read_exons(path)) >= 1
    except ValueError as error:
        assert str(error).startswith(f"{path}:")
        assert "not understood" not in str(error)
