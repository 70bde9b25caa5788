from __future__ import annotations

import csv

import numpy as np
import pytest
from datasets import load_dataset

from hub_datasets.genome import Genome
from hub_datasets.gtf import read_exons
from hub_datasets.splice_sites import SpliceSites, build_splice_sites
from hub_datasets.splice_sites.__main__ import main
from hub_datasets.splice_sites.sites import (
    ACCEPTOR,
    DONOR,
    LABELS,
    annotated_sites,
    border,
    has_dinucleotide,
    is_known,
    keep_spliced,
    tile_genes,
)
from hub_datasets.task_tables import read_info
from modeling_genebert.dna_genebert import encode_dna, reverse_complement

from .cards import check_dataset_card


def write_gtf(path, transcripts):
    """transcripts: (chrom, strand, gene, transcript, exons as 0-based half-open)."""
    path.write_text(
        "".join(
            f'{chrom}\tx\texon\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{name}";\n'
            for chrom, strand, gene, name, exons in transcripts
            for start, end in exons
        )
    )
    return path


def write_genome(path, **chromosomes):
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in chromosomes.items()))
    return path


@pytest.fixture(scope="module")
def built(atlas_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("splice") / "set"
    build_splice_sites(
        gtf=atlas_folder / "genes.gtf",
        genome=atlas_folder / "genome.fa",
        output_dir=folder,
        window_size=80,
        base_window_size=256,
        decoy_ratio=2,
        empty_ratio=0.5,
        test_chromosomes=["chr3"],
    )
    return folder


def test_the_atlas_true_sites_are_found_exactly(atlas_folder):
    exons, left_out = keep_spliced(read_exons(atlas_folder / "genes.gtf"), Genome(atlas_folder / "genome.fa"))
    sites, short = annotated_sites(exons, min_intron_length=30)
    with (atlas_folder / "truth" / "splice_sites.tsv").open() as file:
        truth = list(csv.DictReader(file, delimiter="\t"))
    assert len(truth) == 34
    found = sites[["gene_id", "label", "chrom", "position", "strand"]].itertuples(index=False)
    expected = [(row["gene_id"], row["site"], row["chrom"], int(row["position"]), row["strand"]) for row in truth]
    assert sorted((gene, LABELS[label], *place) for gene, label, *place in found) == sorted(expected)
    assert not any(left_out.values())
    assert not any(short.values())


def test_sites_of_transcripts(tmp_path):
    genome = Genome(write_genome(tmp_path / "g.fa", c="A" * 1000, d="A" * 1000))
    gtf = write_gtf(
        tmp_path / "a.gtf",
        [
            ("c", "+", "G1", "T1", [(100, 150), (300, 350), (500, 550)]),
            ("c", "+", "G1", "T2", [(500, 550), (120, 150)]),  # in no order; skips an exon
            ("c", "-", "G2", "T3", [(100, 200), (300, 400)]),
            ("d", "-", "G2", "T3", [(100, 200), (210, 250), (600, 700)]),  # the same names elsewhere; a gap of 10 bp
            ("d", "+", "G3", "T4", [(100, 200)]),
            ("d", "+", "G4", "T5", [(100, 200), (150, 400)]),
            ("d", ".", "G5", "T6", [(100, 200), (300, 400)]),
            ("d", "+", "G6", "T7", [(10, 20), (100, 110), (100, 110)]),
            ("unplaced", "+", "G7", "T8", [(10, 20), (100, 110)]),
        ],
    )
    exons, left_out = keep_spliced(read_exons(gtf), genome)
    sites, short = annotated_sites(exons, 30)
    assert [tuple(row) for row in sites.astype(object).to_numpy()] == [
        ("c", 150, "+", DONOR, "G1"),
        ("c", 200, "-", ACCEPTOR, "G2"),
        ("c", 299, "+", ACCEPTOR, "G1"),
        ("c", 299, "-", DONOR, "G2"),
        ("c", 350, "+", DONOR, "G1"),
        ("c", 499, "+", ACCEPTOR, "G1"),
        ("d", 20, "+", DONOR, "G6"),
        ("d", 99, "+", ACCEPTOR, "G6"),
        ("d", 250, "-", ACCEPTOR, "G2"),
        ("d", 599, "-", DONOR, "G2"),
    ]
    assert left_out == {
        "exons: chromosome not in the genome": 2,
        "exons: strand unknown": 2,
        "exons: line stands twice": 1,
        "transcripts: exons overlap": 1,
    }
    assert short == {"introns: shorter than 30 bp": 1}


def test_dinucleotides_and_windows_respect_the_strand():
    #                   0123456789
    codes = encode_dna("AAGTAAAGAA")
    positions = np.arange(1, 9)
    assert positions[has_dinucleotide(codes, positions, "+", DONOR)].tolist() == [2]
    assert positions[has_dinucleotide(codes, positions, "+", ACCEPTOR)].tolist() == [2, 7]
    opposite = encode_dna(reverse_complement("AAGTAAAGAA"))  # base i there is base 9 - i here
    assert positions[has_dinucleotide(opposite, positions, "-", DONOR)].tolist() == [7]
    assert positions[has_dinucleotide(opposite, positions, "-", ACCEPTOR)].tolist() == [2, 7]
    # An intron at 40 to 59.
    assert border(np.array([40]), "+", DONOR)[0] == border(np.array([40]), "-", ACCEPTOR)[0] == 40
    assert border(np.array([59]), "+", ACCEPTOR)[0] == border(np.array([59]), "-", DONOR)[0] == 60


def test_known_windows():
    runs = np.array([[0, 10], [50, 52]])
    starts = np.array([-1, 9, 10, 45, 46, 49, 51, 52, 95, 96])
    assert starts[is_known(starts, 5, 100, runs)].tolist() == [10, 45, 52, 95]
    assert is_known(np.array([0, 95, 96]), 5, 100, np.empty((0, 2), int)).tolist() == [True, True, False]


def test_tiles_cover_each_transcribed_base_once(tmp_path):
    genome = Genome(write_genome(tmp_path / "g.fa", c="A" * 5000))
    gtf = write_gtf(
        tmp_path / "a.gtf",
        [
            ("c", "+", "G1", "T1", [(100, 150), (250, 350)]),
            ("c", "+", "G2", "T2", [(320, 330), (390, 420)]),
            ("c", "+", "G3", "T3", [(401, 450)]),
            ("c", "+", "G4", "T4", [(1000, 1001)]),
            ("c", "-", "G5", "T5", [(130, 240)]),
        ],
    )
    tiles = tile_genes(keep_spliced(read_exons(gtf), genome)[0], 100)
    assert [tuple(row) for row in tiles.astype(object).to_numpy()] == [
        ("c", 100, 200, "+"),
        ("c", 130, 230, "-"),
        ("c", 200, 300, "+"),
        ("c", 230, 330, "-"),
        ("c", 300, 400, "+"),
        ("c", 400, 500, "+"),
        ("c", 1000, 1100, "+"),
    ]


def test_sequences_of_the_atlas(built, atlas_folder):
    genome = Genome(atlas_folder / "genome.fa")
    splits = load_dataset(str(built), "sequences")
    assert set(splits) == {"train", "test"}
    chroms = {split: set(table["chrom"]) for split, table in splits.items()}
    assert chroms == {"train": {"chr2"}, "test": {"chr3"}}
    truth = {}
    with (atlas_folder / "truth" / "splice_sites.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            truth[row["chrom"], int(row["position"]), row["strand"]] = row["site"]
    num_sites = 0
    for table in splits.values():
        assert table.features["label"].names == ["acceptor", "donor", "neither"]
        labels = np.array(table["label"])
        assert (labels == 2).sum() == 2 * (labels != 2).sum()
        for row in table:
            sequence = genome.fetch(row["chrom"], row["start"], row["end"])
            assert row["sequence"] == (sequence if row["strand"] == "+" else reverse_complement(sequence))
            gene, kind, place = (
                row["id"].split(" ", 1)[0],
                row["id"].split(" ", 1)[1].rsplit(" ", 1)[0],
                row["id"][-30:],
            )
            position = int(place.rsplit(":", 1)[1].split("(")[0])
            assert gene.startswith("SIMG")
            if row["label"] == 2:
                assert (row["chrom"], position, row["strand"]) not in truth
            else:
                assert truth[row["chrom"], position, row["strand"]] == LABELS[row["label"]] == kind
                num_sites += 1
            if kind in ("donor", "GT decoy"):
                assert row["sequence"][40:42] == "GT"
            else:
                assert kind in ("acceptor", "AG decoy")
                assert row["sequence"][38:40] == "AG"
        assert len(set(table["id"])) == len(table)
    assert num_sites == len(truth)


def test_labels_of_bases(built, atlas_folder):
    genome = Genome(atlas_folder / "genome.fa")
    truth = {}
    with (atlas_folder / "truth" / "splice_sites.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            truth[row["chrom"], int(row["position"]), row["strand"]] = row["site"]
    found = {}
    for table in load_dataset(str(built), "per_base").values():
        names = table.features["base_labels"].feature.names
        assert names == ["neither", "acceptor", "donor"]
        has_site = np.array([max(row) > 0 for row in table["base_labels"]])
        assert 0 < (~has_site).sum() < has_site.sum()
        for row in table:
            sequence = genome.fetch(row["chrom"], row["start"], row["end"])
            forward = row["strand"] == "+"
            assert row["sequence"] == (sequence if forward else reverse_complement(sequence))
            assert len(row["base_labels"]) == 256
            for offset in np.flatnonzero(row["base_labels"]).tolist():
                position = row["start"] + offset if forward else row["end"] - 1 - offset
                found[row["chrom"], position, row["strand"]] = names[row["base_labels"][offset]]
                assert row["sequence"][offset] == "G"
    assert found == truth


def test_info_and_card(built):
    info = read_info(built)
    assert info["sites"]["of these GT or AG"] == info["sites"]["sites"] == info["sites"]["sites with a known window"]
    assert info["inputs"]["gtf"]["file"] == "genes.gtf"
    card = check_dataset_card(built).text
    assert "100.0% of these are GT (donors) or AG (acceptors)" in card
    assert "validation none; test chr3" in card
    assert "decoys, 2 for each site" in card


def test_same_bytes_again_and_builder(built, atlas_folder, tmp_path):
    options = {"window_size": 80, "base_window_size": 256, "decoy_ratio": 2, "empty_ratio": 0.5}
    options |= {"test_chromosomes": ["chr3"]}
    builder = SpliceSites(
        config_name="sequences",
        cache_dir=str(tmp_path / "cache"),
        gtf=str(atlas_folder / "genes.gtf"),
        genome=str(atlas_folder / "genome.fa"),
        **options,
    )
    builder.download_and_prepare()
    table = builder.as_dataset(split="test")
    expected = load_dataset(str(built), "sequences", split="test")
    assert table.features == expected.features
    assert table.to_list() == expected.to_list()
    (folder,) = [path for path in (tmp_path / "cache" / "splice_sites_sets").iterdir() if path.is_dir()]
    assert read_info(folder)["files"] == read_info(built)["files"]


def exon_and_intron(rng, donor="GT", acceptor="AG"):
    """50 bp of exon, 100 bp of intron, 50 bp of exon."""
    bases = "".join(rng.choice(list("ACGT"), 200))
    return bases[:50] + donor + bases[52:148] + acceptor + bases[150:]


def small_inputs(tmp_path, **introns):
    """A gene in each of the chromosomes, 500 bp each; intron at 200 to 299."""
    rng = np.random.default_rng(0)
    flanks = {name: "".join(rng.choice(list("ACGT"), 300)) for name in introns}
    bases = {
        name: flanks[name][:150] + exon_and_intron(rng, *sides) + flanks[name][150:] for name, sides in introns.items()
    }
    genome = write_genome(tmp_path / "g.fa", **bases)
    transcripts = [(name, "+", f"G{name}", f"T{name}", [(110, 200), (300, 390)]) for name in introns]
    return {"gtf": write_gtf(tmp_path / "a.gtf", transcripts), "genome": genome}


SMALL = {"window_size": 20, "base_window_size": 40}


def test_noncanonical_sites(tmp_path):
    inputs = small_inputs(tmp_path, c=("GT", "AG"), d=("GC", "AG"), e=("AT", "AC"))
    info = build_splice_sites(**inputs, output_dir=tmp_path / "left_out", **SMALL)
    assert info["skipped"]["sites: not GT or AG"] == 3
    assert info["splits"]["sequences"]["train"]["labels"] == {"acceptor": 2, "donor": 1, "neither": 3}
    assert info["splits"]["per_base"]["train"]["labels"]["donor"] == 1
    assert info["skipped"]["per_base: window with a site that was left out"] == 3
    assert info["sites"]["of these GT or AG"] == 3
    info = build_splice_sites(**inputs, output_dir=tmp_path / "kept", keep_noncanonical=True, **SMALL)
    assert info["skipped"]["sites: not GT or AG"] == 0
    assert info["splits"]["sequences"]["train"]["labels"] == {"acceptor": 3, "donor": 3, "neither": 6}


def test_duplicates_do_not_straddle_splits(tmp_path):
    inputs = small_inputs(tmp_path, c=("GT", "AG"), d=("GT", "AG"))
    chrom = Genome(inputs["genome"]).fetch("c", 0, 500)
    write_genome(inputs["genome"], c=chrom, d=Genome(inputs["genome"]).fetch("d", 0, 500), e=chrom)
    with inputs["gtf"].open("a") as file:
        file.write(inputs["gtf"].read_text().splitlines()[0].replace("c\t", "e\t").replace('c"', 'e"') + "\n")
        file.write(inputs["gtf"].read_text().splitlines()[1].replace("c\t", "e\t").replace('c"', 'e"') + "\n")
    info = build_splice_sites(**inputs, output_dir=tmp_path / "set", test_chromosomes=["e"], decoy_ratio=0, **SMALL)
    assert info["splits"]["sequences"]["train"]["labels"] == {"acceptor": 1, "donor": 1, "neither": 0}
    assert info["skipped"]["sequences: train: sequence also in test"] == 2
    tables = load_dataset(str(tmp_path / "set"), "sequences")
    assert not set(tables["train"]["sequence"]) & set(tables["test"]["sequence"])


def test_windows_past_the_end_and_unknown_bases(tmp_path):
    inputs = small_inputs(tmp_path, c=("GT", "AG"), d=("GT", "AG"))
    genome = Genome(inputs["genome"])
    whole = genome.fetch("c", 0, 500)
    write_genome(inputs["genome"], c=whole[:192] + "N" + whole[193:], d=genome.fetch("d", 0, 306))
    info = build_splice_sites(**inputs, output_dir=tmp_path / "set", **SMALL)
    assert info["skipped"]["sites: window past the chromosome's end or with unknown bases"] == 2
    assert info["splits"]["sequences"]["train"]["labels"] == {"acceptor": 1, "donor": 1, "neither": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_size": 21}, "window_size=21: expected an even number"),
        ({"decoy_ratio": -1}, "decoy_ratio=-1: expected at least 0"),
        ({"decoy_ratio": float("inf")}, "decoy_ratio=inf: expected a finite number"),
        ({"test_chromosomes": ["1"]}, "no rows on '1'; there are rows on c"),
        ({"test_chromosomes": ["c"]}, "no chromosome is left for training"),
        ({"window_size": 600}, r"none of its 2 splice sites can be used \(2 sites: window past"),
        ({"base_window_size": 400}, "no window of 400 bp along the transcripts holds a usable site"),
        ({"split_dev": True}, "split_dev is for GUE's files"),
        ({"gue_dir": "x"}, "give one of gtf .* found gtf, gue_dir"),
        ({"genome": None}, "gtf and genome go together"),
        ({"gtf": None, "genome": None, "source": "nowhere"}, "source: no 'nowhere'; there is gencode_v47"),
        ({"gtf": None, "genome": None}, "found none"),
    ],
)
def test_bad_options(tmp_path, change, message):
    inputs = small_inputs(tmp_path, c=("GT", "AG"))
    with pytest.raises(ValueError, match=message):
        build_splice_sites(**{**inputs, **SMALL, **change}, output_dir=tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_bad_annotation(tmp_path):
    inputs = small_inputs(tmp_path, chr1=("GT", "AG"))
    text = inputs["gtf"].read_text()
    inputs["gtf"].write_text(text.replace("chr1\t", "1\t"))
    with pytest.raises(
        ValueError, match=r"none of the exons' chromosomes \(1\) is in the genome.*'1' here seems to be"
    ):
        build_splice_sites(**inputs, output_dir=tmp_path / "set")
    inputs["gtf"].write_text(text.splitlines()[0] + "\n")
    with pytest.raises(ValueError, match="the annotation has no introns: found 1 usable exons of 1 transcripts"):
        build_splice_sites(**inputs, output_dir=tmp_path / "set")


def test_source_dir_without_the_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no gencode.v47.annotation.gtf.gz \(https://ftp.ebi.ac.uk"):
        build_splice_sites(source="gencode_v47", source_dir=tmp_path, output_dir=tmp_path / "set")


def test_public_source_from_a_folder(tmp_path):
    inputs = small_inputs(tmp_path, c=("GT", "AG"))
    inputs["gtf"].rename(tmp_path / "gencode.v47.annotation.gtf.gz")  # told by the content
    inputs["genome"].rename(tmp_path / "GRCh38.primary_assembly.genome.fa.gz")
    build_splice_sites(source="gencode_v47", source_dir=tmp_path, output_dir=tmp_path / "set", **SMALL)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "release_47/gencode.v47.annotation.gtf.gz" in card
    assert "not verified: the files were never downloaded here" in card


def write_gue(folder, **splits):
    folder.mkdir()
    for name, rows in splits.items():
        lines = "".join(f"{sequence},{label}\n" for sequence, label in rows)
        (folder / f"{name}.csv").write_text(f"sequence,label\n{lines}")
    return folder


def gue_rows(count, seed):
    rng = np.random.default_rng(seed)
    return [("".join(rng.choice(list("ACGT"), 30)), number % 3) for number in range(count)]


def test_gue_dev_split(tmp_path):
    dev, test = gue_rows(50, 0), gue_rows(20, 1)
    test[3] = (reverse_complement(dev[7][0]), dev[7][1])
    test[5] = dev[9]
    folder = write_gue(tmp_path / "gue", dev=dev, test=test)
    with pytest.raises(FileNotFoundError, match="no train.csv; put it there, or give split_dev"):
        build_splice_sites(gue_dir=folder, output_dir=tmp_path / "set")
    info = build_splice_sites(gue_dir=folder, split_dev=True, output_dir=tmp_path / "set")
    assert {split: count["rows"] for split, count in info["splits"]["sequences"].items()} == {
        "train": 40,
        "validation": 10,
        "test": 18,
    }
    assert info["skipped"] == {"test: sequence also in GUE's dev": 2}
    tables = load_dataset(str(tmp_path / "set"))
    assert tables["test"]["sequence"][:] == [row[0] for number, row in enumerate(test) if number not in (3, 5)]
    both = {*tables["train"]["sequence"], *tables["validation"]["sequence"]}
    assert both == {sequence for sequence, _ in dev}
    card = check_dataset_card(tmp_path / "set").text
    assert "**Not comparable with published figures**" in card
    assert "without the 2\nof its rows that stand in its dev too" in card
    other = build_splice_sites(gue_dir=folder, split_dev=True, seed=1, output_dir=tmp_path / "other")
    assert other["files"] != info["files"]


def test_gue_as_published(tmp_path):
    train, dev, test = gue_rows(30, 0), gue_rows(10, 1), gue_rows(10, 2)
    test[0] = train[0]
    folder = write_gue(tmp_path / "gue", train=train, dev=dev, test=test)
    info = build_splice_sites(gue_dir=folder, output_dir=tmp_path / "set")
    assert {split: count["rows"] for split, count in info["splits"]["sequences"].items()} == {
        "train": 30,
        "validation": 10,
        "test": 10,
    }
    assert info["test_rows_in_other_splits"] == 1
    assert "1 rows of the test stand in train or dev too" in (tmp_path / "set" / "README.md").read_text()
    with pytest.raises(ValueError, match="has train.csv, so its dev need not be split"):
        build_splice_sites(gue_dir=folder, split_dev=True, output_dir=tmp_path / "other")


def test_command(tmp_path, capsys):
    inputs = small_inputs(tmp_path, c=("GT", "AG"), d=("GT", "AG"))
    files = ["--gtf", str(inputs["gtf"]), "--genome", str(inputs["genome"]), "--output_dir", str(tmp_path / "set")]
    main([*files, "--window_size", "20", "--base_window_size", "40", "--test_chromosomes", "d"])
    assert "sequences: train 4 (acceptor 1, donor 1, neither 2); test 4" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="error: .*set: exists; give another output_dir, or overwrite"):
        main([*files, "--window_size", "20", "--base_window_size", "40"])
