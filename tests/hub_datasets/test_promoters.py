from __future__ import annotations

import gzip

import numpy as np
import pytest
from datasets import load_dataset

from hub_datasets.genome import Genome
from hub_datasets.promoters import PromoterOptions, Promoters, build_promoters
from hub_datasets.promoters.__main__ import main
from hub_datasets.promoters.build import WINDOWS
from hub_datasets.promoters.tata import tata_by_motif, tata_by_name
from hub_datasets.promoters.tss import Promoter, fetch, read_promoters
from modeling_genebert.dna_genebert import reverse_complement

from .cards import check_dataset_card


CHROMOSOME_LENGTH = 60_000
SPLITS = {"validation_chromosomes": ["chr2"], "test_chromosomes": ["chr3"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """chr1 to chr3 of 60 kb with N at 20,000 to 21,000, in lower case; on each 10 promoters rich in GC, TSSs of 1 bp.

    They lie on both strands, and every third has a TATA box.
    """
    folder = tmp_path_factory.mktemp("promoters")
    rng = np.random.default_rng(0)
    genome, bed = [], []
    for chrom in ("chr1", "chr2", "chr3"):
        is_gc = rng.random(CHROMOSOME_LENGTH) < np.repeat(rng.uniform(0.4, 0.7, CHROMOSOME_LENGTH // 500), 500)
        bases = np.where(is_gc, rng.choice(list("cg"), CHROMOSOME_LENGTH), rng.choice(list("at"), CHROMOSOME_LENGTH))
        for number in range(10):
            tss, strand = 1_000 + 1_200 * number, "+-"[number % 2]
            name = f"{chrom}.{number}_{'nonTATA' if number % 3 else 'TATA'}"
            bed.append(f"{chrom}\t{tss}\t{tss + 1}\t{name}\t900\t{strand}")
            site = Promoter(name, chrom, tss, strand)
            start, end = site.window(249, 50)
            bases[start:end] = rng.choice(list("acgt"), end - start, p=[0.22, 0.28, 0.28, 0.22])
            if number % 3 == 0:
                start, end = site.window(32, -23)  # GTATAAAAGG: the first T at -31
                bases[start:end] = list("gtataaaagg" if strand == "+" else reverse_complement("gtataaaagg"))
        bases[20_000:21_000] = "n"
        genome += [f">{chrom}", *("".join(bases[at : at + 60]) for at in range(0, CHROMOSOME_LENGTH, 60))]
    (folder / "genome.fa").write_text("\n".join(genome) + "\n")
    (folder / "tss.bed").write_text("\n".join(bed) + "\n")
    return folder


@pytest.fixture(scope="module")
def built(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "promoters"
    build_promoters(genome=data / "genome.fa", promoters=data / "tss.bed", output_dir=folder, **SPLITS)
    return folder


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def gc(sequence):
    return sum(base in "GC" for base in sequence) / len(sequence)


# Reading TSSs


def test_epdnew(tmp_path):
    """Lines of EPDnew: 60 bp, of which 49 are upstream of the TSS; the thick part begins at the TSS."""
    text = (
        "track name=EPDnew\n"
        "chr1\t894625\t894685\tNOC2L_1\t900\t-\t894625\t894636\n"
        "chr1 960583 960643 KLHL17_1 900 + 960632 960643\r\n\n"
    )
    promoters = read_promoters(write(tmp_path / "epd.bed.gz", gzip.compress(text.encode())))
    assert promoters == [Promoter("NOC2L_1", "chr1", 894635, "-"), Promoter("KLHL17_1", "chr1", 960632, "+")]
    assert promoters[0].window(49, 10) == (894625, 894685) and promoters[1].window(49, 10) == (960583, 960643)


@pytest.mark.parametrize(
    ("tss_position", "expected"), [("centre", [150, 450]), ("start", [0, 599]), ("thick", [10, 419])]
)
def test_tss_positions(tmp_path, tss_position, expected):
    text = "chr1\t0\t300\ta\t0\t+\t10\t20\nchr1\t300\t600\tb\t0\t-\t400\t420\n"
    found = read_promoters(write(tmp_path / "x.bed", text), tss_position)
    assert [promoter.tss for promoter in found] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "chr1\t0\t300\ta\t0\t+\n",
            r"x.bed: where is the TSS\? Records of 300 to 300 bp .* give tss_position: centre",
        ),
        ("chr1\t0\t300\ta\t0\n", r"x.bed:1: found 5 columns, expected 'chromosome start end name score strand'"),
        ("chr1\t5\t6\ta\t0\t.\n", r"x.bed:1: found strand '.' in column 6, expected \+ or -"),
        ("#x\nchr1\tx\t6\ta\t0\t+\n", r"x.bed:2: found 'chr1.*', expected whole numbers in columns 2, 3, 7 and 8"),
        ("chr1\t6\t6\ta\t0\t+\n", r"x.bed:1: found start 6, end 6, expected 0 <= start < end"),
        ("chr1\t5\t6\ta\t0\t+\nchr1\t7\t8\ta\t0\t+\n", r"x.bed:2: 'a' is the name in line 1 too"),
        ("chr1\t5\t6\t\t0\t+\n", r"x.bed:1: no name; fill the column"),
        ("#nothing\n", r"x.bed: no promoters in the file, expected lines 'chromosome start end name score strand'"),
    ],
)
def test_bad_bed(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_promoters(write(tmp_path / "x.bed", text))


def test_thick_without_a_thick_part(tmp_path):
    file = write(tmp_path / "x.bed", "chr1\t0\t60\ta\t0\t+\t49\t60\nchr1\t100\t160\tb\t0\t+\t100\t100\n")
    with pytest.raises(ValueError, match=r"x.bed:2: no thickStart and thickEnd within the record, in columns 7 and 8"):
        read_promoters(file, "thick")


def test_windows_on_both_strands(tmp_path):
    genome = Genome(write(tmp_path / "genome.fa", ">chr1\nAACCGGTTTA\n"))
    # The TSS is the first G on the forward strand, and the last G's partner C on the reverse strand.
    assert fetch(Promoter("a", "chr1", 4, "+"), genome, upstream=2, downstream=3) == "CCGGTT"
    assert fetch(Promoter("a", "chr1", 5, "-"), genome, upstream=2, downstream=3) == "AACCGG"
    assert {name: sum(sides) + 1 for name, sides in WINDOWS.items()} == {"core": 70, "300": 300}


# TATA boxes


def test_tata_by_name():
    names = ["a_TATA", "b_nonTATA", "c-tata", "d_noTATA", "e_non-TATA"]
    assert tata_by_name([Promoter(name, "chr1", 0, "+") for name in names]) == [True, False, True, False, False]
    with pytest.raises(
        ValueError, match=r"promoter 'NOC2L_1': expected a name that ends in _TATA or _nonTATA; give tata"
    ):
        tata_by_name([Promoter("NOC2L_1", "chr1", 0, "+")])


@pytest.mark.parametrize(("upstream", "expected"), [(24, False), (25, True), (31, True), (35, True), (36, False)])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_tata_by_motif(tmp_path, upstream, expected, strand):
    """GTATAAAAGGCGGGG is the best site of JASPAR's POL012.1; its first T lies `upstream` bp before the TSS."""
    sequence = list("C" * 100)
    sequence[60 - upstream - 1 : 60 - upstream + 14] = "GTATAAAAGGCGGGG"
    sequence = "".join(sequence)
    genome = Genome(
        write(tmp_path / "genome.fa", f">chr1\n{sequence if strand == '+' else reverse_complement(sequence)}\n")
    )
    promoter = Promoter("a", "chr1", 60 if strand == "+" else 39, strand)
    assert tata_by_motif([promoter], genome) == [expected]
    assert tata_by_motif([Promoter("a", "chr1", 60 if strand == "-" else 50, "+-"[strand == "+"])], genome) == [False]


def test_both_rules_agree(data):
    genome, promoters = Genome(data / "genome.fa"), read_promoters(data / "tss.bed")
    by_name, by_motif = tata_by_name(promoters), tata_by_motif(promoters, genome)
    assert sum(by_name) == 12
    assert all(motif for name, motif in zip(by_name, by_motif, strict=True) if name)
    assert sum(by_motif) <= 14


# The set


def test_rows(built, data):
    tables = load_dataset(str(built), "300_all")
    assert {split: len(table) for split, table in tables.items()} == {"train": 20, "validation": 20, "test": 20}
    genome = Genome(data / "genome.fa")
    for split, chrom in [("train", "chr1"), ("validation", "chr2"), ("test", "chr3")]:
        for row in tables[split]:
            sequence = genome.fetch(row["chrom"], row["start"], row["end"])
            assert row["sequence"] == (sequence if row["strand"] == "+" else reverse_complement(sequence))
            assert row["chrom"] == chrom and len(row["sequence"]) == 300 and set(row["sequence"]) <= set("ACGT")
    first = tables["train"][0]
    assert (first["id"], first["label"], first["start"], first["end"]) == ("chr1.0_TATA", 1, 751, 1051)
    assert tables["train"][1]["id"] == "chr1.0_TATA_negative" and tables["train"][1]["label"] == 0
    core = load_dataset(str(built), "core_all", split="train")
    assert core[0]["sequence"] == first["sequence"][216:286]
    assert core[0]["sequence"][2:12] == "TATAAAAGGC"[:9] + core[0]["sequence"][11]


def test_tata_configs(built):
    for config, number in [("core_all", 10), ("core_tata", 4), ("core_notata", 6), ("300_tata", 4)]:
        table = load_dataset(str(built), config, split="train")
        assert sum(table["label"]) == number and len(table) == 2 * number
    assert all("_TATA" in name for name in load_dataset(str(built), "300_tata", split="test")["id"])


@pytest.mark.parametrize("config", ["core_all", "300_all"])
def test_negatives_are_matched_and_away(built, data, config):
    tss = {(promoter.chrom, promoter.tss) for promoter in read_promoters(data / "tss.bed")}
    for table in load_dataset(str(built), config).values():
        places = []
        for promoter, negative in zip(
            table.select(range(0, len(table), 2)), table.select(range(1, len(table), 2)), strict=True
        ):
            assert (promoter["label"], negative["label"]) == (1, 0)
            assert abs(gc(promoter["sequence"]) - gc(negative["sequence"])) <= 0.02
            assert (promoter["chrom"], promoter["strand"]) == (negative["chrom"], negative["strand"])
            for chrom, position in tss:
                if chrom == negative["chrom"]:
                    assert position + 1_000 < negative["start"] or negative["end"] <= position - 1_000
            places.append((negative["start"], negative["end"]))
        places.sort()
        assert all(end <= start for (_, end), (start, _) in zip(places, places[1:], strict=False))


def test_card_and_info(built):
    card = check_dataset_card(built)
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == [
        *("core_all", "core_tata", "core_notata"),
        *("300_all", "300_tata", "300_notata"),
    ]
    assert "validation chr2; test chr3" in card.text and "| genome | genome.fa |" in card.text


def test_streaming(built):
    plain = load_dataset(str(built), "core_tata", split="test")
    assert list(load_dataset(str(built), "core_tata", split="test", streaming=True)) == list(plain)


def test_builder_equals_export(built, data, tmp_path):
    builder = Promoters(
        config_name="core_tata",
        genome=str(data / "genome.fa"),
        promoters=str(data / "tss.bed"),
        cache_dir=str(tmp_path),
        **SPLITS,
    )
    builder.download_and_prepare()
    tables, exported = builder.as_dataset(), load_dataset(str(built), "core_tata")
    assert builder.info.features == exported["train"].features
    assert {split: table.to_dict() for split, table in tables.items()} == {
        split: table.to_dict() for split, table in exported.items()
    }


def test_mosaics(data, tmp_path):
    arguments = {"genome": data / "genome.fa", "promoters": data / "tss.bed", "tata": "motif", "negatives": "mosaic"}
    info = build_promoters(output_dir=tmp_path / "out", **arguments, **SPLITS)
    assert "genomic" not in info["options"]["negatives"]
    table = load_dataset(str(tmp_path / "out"), "300_all", split="train")
    assert len(table) == 20
    for promoter, negative in zip(table.select(range(0, 20, 2)), table.select(range(1, 20, 2)), strict=True):
        assert sorted(promoter["sequence"]) == sorted(negative["sequence"])
        assert negative["chrom"] is None and negative["start"] is None
        same = np.array(list(promoter["sequence"])) == np.array(list(negative["sequence"]))
        assert same.reshape(20, 15).all(axis=1).sum() >= 8 and not same.all()


def test_what_is_skipped(data, tmp_path, capsys):
    lines = (data / "tss.bed").read_text()
    lines += (
        "chr1\t100\t101\tfirst_TATA\t0\t+\n"  # 249 bp upstream is before the chromosome
        f"chr2\t{CHROMOSOME_LENGTH - 100}\t{CHROMOSOME_LENGTH - 99}\tlast_TATA\t0\t-\n"
        "chr1\t1000\t1001\tagain_TATA\t0\t+\n"
        "chr1\t1000\t1001\tother.strand_TATA\t0\t-\n"
        "chr3\t20020\t20021\tunknown_TATA\t0\t+\n"
        "chrM\t500\t501\tmitochondrial_TATA\t0\t+\n"
    )
    bed = write(tmp_path / "more.bed", lines)
    info = build_promoters(genome=data / "genome.fa", promoters=bed, output_dir=tmp_path / "out", **SPLITS)
    assert info["skipped"] == {
        "promoter whose 300 bp reach past the chromosome's end": 2,
        "promoter with the TSS of another one": 1,
        "promoter with unknown bases (N) in its 300 bp": 1,
        "promoter on a chromosome that is not in the genome": 1,
    }
    assert info["num_promoters"] == 31
    assert "skipped: promoter with the TSS of another one: 1" in capsys.readouterr().out


def test_promoters_without_a_match_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    chromosomes = []
    for _ in range(2):
        bases = rng.choice(list("AT"), 8_000)
        bases[751:1051] = rng.choice(list("CG"), 300)  # no such GC anywhere else
        chromosomes.append("".join(bases))
    genome = write(tmp_path / "genome.fa", "".join(f">chr{at}\n{bases}\n" for at, bases in enumerate(chromosomes)))
    bed = "".join(f"chr{at}\t{tss}\t{tss + 1}\tp{at}.{tss}\t0\t+\n" for at in range(2) for tss in (1_000, 4_000))
    info = build_promoters(
        genome=genome,
        promoters=write(tmp_path / "tss.bed", bed),
        output_dir=tmp_path / "out",
        tata="none",
        test_chromosomes=["chr1"],
    )
    assert info["skipped"] == {
        "core: promoter without a free window of like GC on its chromosome": 2,
        "300: promoter without a free window of like GC on its chromosome": 2,
    }
    assert list(info["splits"]) == ["core_all", "300_all"]
    assert info["splits"]["300_all"]["test"] == {"rows": 2, "labels": {"non-promoter": 1, "promoter": 1}}


def test_a_repeat_on_two_chromosomes_does_not_straddle(data, tmp_path):
    lines = (data / "genome.fa").read_text().split(">")
    bases = {text.split("\n", 1)[0]: text.split("\n", 1)[1].replace("\n", "") for text in lines[1:]}
    # The first promoter of chr1 with its surroundings, again on chr3, where the eleventh would be.
    bases["chr3"] = bases["chr3"][:25_000] + bases["chr1"][700:1_100] + bases["chr3"][25_400:]
    genome = write(tmp_path / "genome.fa", "".join(f">{name}\n{text}\n" for name, text in bases.items()))
    bed = write(tmp_path / "tss.bed", (data / "tss.bed").read_text() + "chr3\t25300\t25301\trepeat_TATA\t0\t+\n")
    info = build_promoters(genome=genome, promoters=bed, output_dir=tmp_path / "out", tata="none", **SPLITS)
    assert info["skipped"] == {
        "core_all: train: sequence also in test": 1,
        "300_all: train: sequence also in test": 1,
    }
    tables = load_dataset(str(tmp_path / "out"), "core_all")
    assert "chr1.0_TATA" not in tables["train"]["id"][:] and "repeat_TATA" in tables["test"]["id"][:]


def test_splits_without_tata_promoters(data, tmp_path):
    bed = "".join(
        line.replace("_TATA", "_nonTATA") if line.startswith("chr2") else line
        for line in (data / "tss.bed").read_text().splitlines(keepends=True)
    )
    info = build_promoters(
        genome=data / "genome.fa", promoters=write(tmp_path / "x.bed", bed), output_dir=tmp_path / "out", **SPLITS
    )
    assert list(info["splits"]["core_tata"]) == ["train", "test"]
    assert info["left_out"] == ["core_tata, validation: no promoters", "300_tata, validation: no promoters"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genome": None}, r"give gue_dir, or genome and promoters"),
        ({"gue_dir": "x"}, r"gue_dir with genome or promoters: give gue_dir alone"),
        (
            {"source_dir": "x"},
            r"source_dir=x: is for a public source, but promoters is .*tss.bed; those are epdnew_human",
        ),
        ({"tata": "maybe"}, r"tata='maybe': expected one of name, motif, none"),
        ({"min_tss_distance": -1}, r"min_tss_distance=-1: expected at least 0"),
        ({"max_gc_difference": 2}, r"max_gc_difference=2: expected 0 <= share <= 1"),
        ({"validation_chromosomes": ["2"]}, r"validation_chromosomes: no rows on '2'; .* seems to be 'chr2' there"),
    ],
)
def test_bad_arguments(data, tmp_path, changes, message):
    arguments = {"genome": data / "genome.fa", "promoters": data / "tss.bed", **SPLITS, **changes}
    with pytest.raises(ValueError, match=message):
        build_promoters(output_dir=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_chromosomes_named_otherwise(data, tmp_path):
    bed = write(tmp_path / "x.bed", (data / "tss.bed").read_text().replace("chr", ""))
    with pytest.raises(
        ValueError, match=r"x.bed: its chromosomes \(1, 2, 3\) are not in .*'1' here seems to be 'chr1'"
    ):
        build_promoters(genome=data / "genome.fa", promoters=bed, output_dir=tmp_path / "out")


def test_a_public_source_from_a_folder(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no Hs_EPDnew_006_hg38.bed \(https://epd.expasy.org"):
        build_promoters(genome=data / "genome.fa", promoters="epdnew_human", source_dir=tmp_path, output_dir="out")
    write(tmp_path / "Hs_EPDnew_006_hg38.bed", (data / "tss.bed").read_text())
    build_promoters(
        genome=data / "genome.fa", promoters="epdnew_human", source_dir=tmp_path, output_dir=tmp_path / "out", **SPLITS
    )
    assert "| Human promoters of EPDnew, version 006; Dreos et al." in (tmp_path / "out" / "README.md").read_text()


# GUE's files


def write_gue(folder):
    for name, files in {
        "prom_core_all": {
            "train.csv": "sequence,label\nACGTA,1\nCCCCC,0\nGGGTT,1\nTTTTT,0\n",
            "dev.csv": "sequence,label\nAAAAA,0\nGATTA,1\n",
            "test.csv": "sequence,label\nAACCC,0\nTATAT,1\n",
        },
        "prom_300_tata": {
            "train.csv": "sequence,label\nGGTATATGG,1\nCCAACCCAA,0\n",
            "test.csv": "sequence,label\nCCACGTACC,0\nGGGGGGGGG,1\n",
        },
    }.items():
        (folder / name).mkdir(parents=True)
        for file, text in files.items():
            write(folder / name / file, text)


def test_gue(tmp_path, capsys):
    write_gue(tmp_path / "prom")
    info = build_promoters(gue_dir=tmp_path / "prom", output_dir=tmp_path / "out")
    check_dataset_card(tmp_path / "out")
    assert list(info["splits"]) == ["300_tata", "core_all"]
    # GGGTT is the other strand of AACCC, TTTTT that of AAAAA.
    assert info["skipped"] == {
        "core_all: train: sequence also in test": 1,
        "core_all: train: sequence also in validation": 1,
    }
    assert info["overlaps"] == [
        {"train": "300_tata", "test": "core_all", "rows": 2, "shared": 2},
        {"train": "core_all", "test": "300_tata", "rows": 2, "shared": 2},
    ]
    tables = load_dataset(str(tmp_path / "out"), "core_all")
    assert tables["train"].to_dict() == {"sequence": ["ACGTA", "CCCCC"], "label": [1, 0]}
    assert tables["validation"].features["label"].names == ["non-promoter", "promoter"]
    assert "| core_all | 300_tata | 2 of 2 |" in (tmp_path / "out" / "README.md").read_text()
    assert "core_all: train 2 (non-promoter 1, promoter 1)" in capsys.readouterr().out

    builder = Promoters(config_name="core_all", gue_dir=str(tmp_path / "prom"), cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    assert builder.as_dataset()["test"].to_dict() == tables["test"].to_dict()


def test_one_gue_set_with_one_class_only(tmp_path):
    write_gue(tmp_path / "prom")
    write(tmp_path / "prom" / "prom_core_all" / "dev.csv", "sequence,label\nAAAAA,0\nGATTA,0\n")
    with pytest.raises(
        ValueError, match=r"config 'core_all', split 'validation': all 2 rows have the label 'non-prom"
    ):
        build_promoters(gue_dir=tmp_path / "prom" / "prom_core_all", output_dir=tmp_path / "out")


# Commands


def test_command_on_the_simulated_atlas(atlas_folder, tmp_path, capsys):
    command = ["--genome", str(atlas_folder / "genome.fa"), "--promoters", str(atlas_folder / "promoters.bed")]
    command += ["--tss_position", "centre", "--tata", "motif", "--output_dir", str(tmp_path / "out")]
    main([*command, "--test_chromosomes", "chr3", "--max_gc_difference", "0.1"])
    first_line = capsys.readouterr().out.splitlines()[0]
    assert first_line.startswith("core_all: train 6 (non-promoter 3, promoter 3); test 6")
    table = load_dataset(str(tmp_path / "out"), "core_all", split="test")
    # The initiator YYANWYY of the simulated promoters: its A is the TSS, base 34.
    promoters = [row["sequence"] for row in table if row["label"] == 1]
    assert all(sequence[33] == "A" and sequence[32] in "CT" for sequence in promoters)


def test_command_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*nowhere: no such folder"):
        main(["--gue_dir", str(tmp_path / "nowhere"), "--output_dir", str(tmp_path / "out")])


def test_options_are_lists():
    assert PromoterOptions(test_chromosomes=("chr1",)).test_chromosomes == ["chr1"]
