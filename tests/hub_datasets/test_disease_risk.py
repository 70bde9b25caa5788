from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest
from datasets import load_dataset

from hub_datasets.disease_risk import DiseaseRisk, build_disease_risk, person_burdens
from hub_datasets.disease_risk.__main__ import main
from hub_datasets.disease_risk.burden import main as burden_main
from hub_datasets.disease_risk.mpra import read_mpra
from hub_datasets.disease_risk.persons import read_sample_labels
from hub_datasets.disease_risk.variants import significance_label
from hub_datasets.genome import Genome
from hub_datasets.task_tables import read_info

from .cards import check_dataset_card


VCF_HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
MPRA_HEADER = "Chrom\tPos\tRef\tAlt\tBarcodes\tDNA\tRNA\tCoefficient\tpValue\tElement\tRelease\n"


def write_vcf(path, records, samples=()):
    """records: (chrom, pos, id, ref, alt, info, *genotypes)."""
    header = VCF_HEADER + "".join(f"\t{name}" for name in (["FORMAT", *samples] if samples else [])) + "\n"
    lines = []
    for chrom, pos, name, ref, alt, info, *genotypes in records:
        lines.append(
            "\t".join([chrom, str(pos), name, ref, alt, ".", ".", info, *(["GT"] if samples else []), *genotypes])
        )
    path.write_text(header + "".join(line + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def genome_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    bases = np.random.default_rng(0).choice(list("ACGT"), size=(3, 200))
    path.write_text("".join(f">chr{number}\n{''.join(row)}\n" for number, row in enumerate(bases, start=1)))
    return path


def base(genome_file, chrom, pos):
    return Genome(genome_file).fetch(chrom, pos - 1, pos)


def other(letter):
    return "C" if letter != "C" else "G"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("Benign", "benign"),
        ("Likely_benign", "benign"),
        ("Benign/Likely_benign", "benign"),
        ("Benign|drug_response", "benign"),
        ("Benign/Likely_benign|other|risk_factor", "benign"),
        ("Pathogenic", "pathogenic"),
        ("Pathogenic/Likely_pathogenic", "pathogenic"),
        ("Pathogenic,_risk_factor", "pathogenic"),
        ("Uncertain_significance", None),
        ("Conflicting_classifications_of_pathogenicity", None),
        ("Conflicting_interpretations_of_pathogenicity", None),
        ("Pathogenic,_low_penetrance", None),
        ("Pathogenic/Likely_pathogenic/Pathogenic,_low_penetrance", None),
        ("Likely_risk_allele", None),
        ("drug_response", None),
        ("not_provided", None),
        ("Benign|Pathogenic", None),
        ("", None),
    ],
)
def test_significance(value, label):
    assert significance_label(value) == label


def test_variants_with_significance(tmp_path, genome_file):
    def at(chrom, pos, info, name="."):
        letter = base(genome_file, f"chr{chrom}", pos)
        return str(chrom), pos, name, letter, other(letter), info

    two = base(genome_file, "chr1", 120)
    vcf = write_vcf(
        tmp_path / "a.vcf",
        [
            at(1, 100, "AF=0.1;CLNSIG=Benign", "rs1"),
            at(1, 110, "CLNSIG=Likely_pathogenic"),
            ("1", 120, "rs9", two, ",".join(letter for letter in "ACGT" if letter != two), "CLNSIG=Benign"),
            at(1, 130, "CLNSIG=Uncertain_significance"),
            at(1, 140, "AF=0.5"),
            at(1, 100, "CLNSIG=Likely_benign"),  # again
            at(1, 110, "CLNSIG=Benign"),  # with another label
            at(2, 50, "CLNSIG=Pathogenic"),
            at(2, 60, "CLNSIG=Benign"),
            at(3, 50, "CLNSIG=Pathogenic"),
            at(3, 60, "CLNSIG=Benign"),
            ("3", 60, ".", other(base(genome_file, "chr3", 60)), "A", "CLNSIG=Benign"),
            at(1, 150, "CLNSIG=Pathogenic"),
        ],
    )
    info = build_disease_risk(
        vcf=vcf,
        genome=genome_file,
        output_dir=tmp_path / "out",
        window_width=20,
        validation_chromosomes=["chr2"],
        test_chromosomes=["chr3"],
    )
    assert info["splits"]["variants"] == {
        "train": {"rows": 5, "labels": {"benign": 4, "pathogenic": 1}},
        "validation": {"rows": 2, "labels": {"benign": 1, "pathogenic": 1}},
        "test": {"rows": 2, "labels": {"benign": 1, "pathogenic": 1}},
    }
    assert info["skipped"] == {
        "label left out: CLNSIG is Uncertain_significance": 1,
        "no label: INFO has no CLNSIG": 1,
        "variant comes again": 1,
        "variant comes with two labels": 2,
        "REF differs from the genome": 1,
    }
    assert info["vcf"]["multi_allelic_records"] == 1 and info["vcf"]["renamed_chromosomes"] == 13
    train = load_dataset(str(tmp_path / "out"))["train"]
    row = train[0]
    genome = Genome(genome_file)
    assert (row["chrom"], row["start"], row["end"], row["id"]) == ("chr1", 89, 109, "rs1")
    assert row["sequence"] == genome.fetch("chr1", 89, 109)
    assert row["alt_sequence"] == row["sequence"][:10] + other(row["sequence"][10]) + row["sequence"][11:]
    ids = train["id"][:]
    assert len(set(ids)) == 5 and f"rs9:chr1-120-{two}-{'A' if two != 'A' else 'C'}" in ids
    assert "public domain" not in (tmp_path / "out" / "README.md").read_text()


def test_another_field_as_label_and_as_number(tmp_path, genome_file):
    letter = base(genome_file, "chr1", 50)
    records = [
        ("chr1", 50, ".", letter, alt, f"STATUS={value};EFFECT={effect}")
        for alt, value, effect in zip(
            [x for x in "ACGT" if x != letter], ["hit", "none", "?"], ["0.5", "-1e-1", "x"], strict=True
        )
    ]
    vcf = write_vcf(tmp_path / "a.vcf", records)
    common = {"vcf": vcf, "genome": genome_file, "window_width": 12}
    build_disease_risk(
        **common, label_field="STATUS", label_values=["none=other", "hit=case"], output_dir=tmp_path / "classes"
    )
    rows = load_dataset(str(tmp_path / "classes"), split="train")
    assert rows.features["label"].names == ["other", "case"] and rows["label"][:] == [1, 0]
    info = build_disease_risk(**common, label_field="EFFECT", regression=True, output_dir=tmp_path / "numbers")
    assert load_dataset(str(tmp_path / "numbers"), split="train")["label"][:] == [0.5, np.float32(-0.1)]
    assert info["skipped"] == {"label left out: EFFECT is not a number": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_field": "STATUS"}, "label_field='STATUS': say what its values mean with label_values"),
        ({"label_field": "STATUS", "label_values": ["a"]}, "label_values: found 'a', expected VALUE=LABEL"),
        ({"label_field": "S", "label_values": ["a=b"]}, "label_values: found only the label 'b'"),
        ({"label_field": "S", "label_values": ["a=b", "a=c"]}, "label_values: 'a' is given the labels 'b' and 'c'"),
        ({"regression": True, "label_values": ["a=b"]}, "regression and label_values"),
        ({"window_width": 1}, "window_width=1: expected at least 2 bp"),
        (
            {"label_field": "NONE", "regression": True},
            "no variant with a label in 1 records; skipped: no label: INFO has no",
        ),
        ({}, "all 1 rows have the label 'benign', expected two or more"),
        ({"test_chromosomes": ["chr9"]}, "test_chromosomes: no rows on 'chr9'"),
        ({"test_chromosomes": ["chr1"]}, "no chromosome is left for training"),
        ({"genome": None}, "expected vcf and genome, source and genome, or mpra alone; found vcf"),
        ({"mpra": "x"}, "expected vcf and genome, source and genome, or mpra alone; found vcf, mpra, genome"),
        ({"vcf": None, "source": "clinvar"}, "source: no 'clinvar'; there is clinvar_grch38, clinvar_grch37"),
        ({"vcf": None, "genome": None, "mpra": "x", "sample_labels": "y"}, "sample_labels belong to the genotypes"),
    ],
)
def test_bad_options(tmp_path, genome_file, options, message):
    letter = base(genome_file, "chr1", 50)
    vcf = write_vcf(tmp_path / "a.vcf", [("chr1", 50, ".", letter, other(letter), "CLNSIG=Benign")])
    with pytest.raises(ValueError) as error:
        build_disease_risk(**{"vcf": vcf, "genome": genome_file, "output_dir": tmp_path / "out", **options})
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_clinvar_is_declared(tmp_path, genome_file):
    letter, next_letter = base(genome_file, "chr1", 50), base(genome_file, "chr2", 50)
    vcf = write_vcf(
        tmp_path / "x.vcf",
        [
            ("1", 50, "7", letter, other(letter), "CLNSIG=Benign"),
            ("2", 50, "8", next_letter, other(next_letter), "CLNSIG=Pathogenic"),
        ],
    )
    folder = tmp_path / "clinvar"
    folder.mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"has no clinvar_GRCh37.vcf.gz \(https://ftp.ncbi.nlm.nih.gov/pub/clin"
    ):
        build_disease_risk(source="clinvar_grch37", source_dir=folder, genome=genome_file, output_dir=tmp_path / "out")
    (folder / "clinvar_GRCh37.vcf.gz").write_bytes(gzip.compress(vcf.read_bytes()))
    info = build_disease_risk(
        source="clinvar_grch37", source_dir=folder, genome=genome_file, output_dir=tmp_path / "out"
    )
    assert info["splits"]["variants"]["train"]["rows"] == 2
    card = check_dataset_card(tmp_path / "out").text
    assert "public domain" in card and "vcf_GRCh37/clinvar.vcf.gz" in card and info["inputs"]["vcf"]["sha256"] in card


# The simulated atlas, from end to end


@pytest.fixture(scope="module")
def atlas_with_variants(tmp_path_factory):
    from hub_datasets.simulated_atlas import simulate_atlas

    return simulate_atlas(
        tmp_path_factory.mktemp("variants") / "atlas",
        num_chromosomes=3,
        chromosome_length=120_000,
        num_cell_types=4,
        num_motifs=32,
        num_variants=100,
    )


def test_simulated_variants(atlas_with_variants, tmp_path):
    vcf, genome = atlas_with_variants / "variants.vcf", atlas_with_variants / "genome.fa"
    options = ["--vcf", str(vcf), "--genome", str(genome), "--window_width", "128", "--test_chromosomes", "chr3"]
    main([*options, "--output_dir", str(tmp_path / "classes")])
    main([*options, "--label_field", "EFFECT", "--regression", "--output_dir", str(tmp_path / "effects")])
    lines = [line for line in vcf.read_text().splitlines() if not line.startswith("#")]
    significance = [line.split("CLNSIG=")[1].split(";")[0] for line in lines]
    for name in ("classes", "effects"):
        check_dataset_card(tmp_path / name)
    info = read_info(tmp_path / "classes")
    labels = [count["labels"] for count in info["splits"]["variants"].values()]
    skipped = sum(info["skipped"].values())
    assert sum(counts["pathogenic"] for counts in labels) == significance.count("Pathogenic") > 5
    assert sum(counts["benign"] for counts in labels) == significance.count("Benign") > 5
    assert skipped == significance.count("Uncertain_significance") == 100 - sum(sum(c.values()) for c in labels)

    effects = load_dataset(str(tmp_path / "effects"))
    assert len(effects["train"]) + len(effects["test"]) == 100 and set(effects["test"]["chrom"]) == {"chr3"}
    truth = {line.split("\t")[2]: float(line.split("EFFECT=")[1].split(";")[0]) for line in lines}
    genome_of_atlas = Genome(genome)
    indels = 0
    for row in [*effects["train"], *effects["test"]]:
        assert row["label"] == pytest.approx(truth[row["id"]])
        assert row["sequence"] == genome_of_atlas.fetch(row["chrom"], row["start"], row["end"])
        assert len(row["sequence"]) == len(row["alt_sequence"]) == 128 and row["sequence"] != row["alt_sequence"]
        indels += sum(a != b for a, b in zip(row["sequence"], row["alt_sequence"], strict=True)) > 1
    assert indels > 5


def test_builder_and_folder_give_the_same_rows(atlas_with_variants, tmp_path):
    inputs = {"vcf": atlas_with_variants / "variants.vcf", "genome": atlas_with_variants / "genome.fa"}
    build_disease_risk(**inputs, window_width=64, output_dir=tmp_path / "folder")
    builder = DiseaseRisk(
        config_name="variants",
        cache_dir=str(tmp_path / "cache"),
        window_width=64,
        **{k: str(v) for k, v in inputs.items()},
    )
    builder.download_and_prepare()
    built = builder.as_dataset(split="train")
    folder = load_dataset(str(tmp_path / "folder"), split="train")
    assert built.features == folder.features and built.to_dict() == folder.to_dict()
    with pytest.raises(ValueError, match="out: exists and is not a disease_risk set|exists; give another"):
        build_disease_risk(**inputs, output_dir=tmp_path / "folder")


# MPRA


def mpra_line(pos, ref, alt, element, *, chrom="1", effect="0.25", barcodes=20, release="GRCh37"):
    return f"{chrom}\t{pos}\t{ref}\t{alt}\t{barcodes}\t1\t1\t{effect}\t0.01\t{element}\t{release}\n"


SMALL_MPRA = (
    MPRA_HEADER
    + "".join(mpra_line(101 + place, ref, "-", "E1", effect=str(place / 10)) for place, ref in enumerate("ACGTACGT"))
    + mpra_line(104, "T", "A", "E1", effect="-1.5")
    + mpra_line(105, "A", "C", "E1", barcodes=9)
    + mpra_line(106, "C", "T", "E1", effect="NA")
    + mpra_line("NA", "NA", "NA", "E1")
    + mpra_line(1, "C", "-", "E1", release="GRCh38")
    + "".join(mpra_line(105 + place, ref, "T", "E1-flip") for place, ref in enumerate("ACG"))  # overlaps E1
    + "".join(mpra_line(101 + place, ref, "T", "E0", chrom="X") for place, ref in enumerate("CC"))
    + mpra_line(104, "G", "T", "E0", chrom="X")  # the base before is not in the table
)


def write_mpra(folder, text=SMALL_MPRA):
    path = folder / "mpra.tsv"
    path.write_text(text)
    return path


def test_mpra_elements_are_rebuilt(tmp_path):
    table = read_mpra(write_mpra(tmp_path))
    assert {name: (e.chrom, e.start, e.end, e.sequence, e.group) for name, e in table.elements.items()} == {
        "E0": ("X", 100, 104, "CCNG", "E0"),
        "E1": ("1", 100, 108, "ACGTACGT", "E1"),
        "E1-flip": ("1", 104, 107, "ACG", "E1"),
    }
    assert len(table) == 15 and table.skipped == {
        "fewer barcodes than min_barcodes": 1,
        "Coefficient is NA": 1,
        "Pos or alleles are NA": 1,
    }
    assert len(read_mpra(tmp_path / "mpra.tsv", min_barcodes=0)) == 16
    assert [v.alt for v in table.variants()][:9] == [""] * 8 + ["A"]


def test_mpra_rows(tmp_path):
    write_mpra(tmp_path)
    info = build_disease_risk(
        mpra=tmp_path / "mpra.tsv", output_dir=tmp_path / "out", window_width=6, test_elements=["E1-flip"]
    )
    check_dataset_card(tmp_path / "out")
    assert info["groups"] == {"E0": ["E0"], "E1": ["E1", "E1-flip"]} and info["unknown_bases"] == {"E0": 1}
    splits = load_dataset(str(tmp_path / "out"))
    assert set(splits["test"]["element"]) == {"E1", "E1-flip"} and set(splits["train"]["element"]) == {"E0"}
    names = ("sequence", "alt_sequence", "start", "end", "label", "id")
    rows = [tuple(row[name] for name in names) for row in splits["test"]]
    assert rows[3] == ("ACGTAC", "ACGACG", 100, 106, np.float32(0.3), "E1-104-T--")  # the deleted T, filled up with G
    assert rows[8] == ("ACGTAC", "ACGAAC", 100, 106, -1.5, "E1-104-T-A")
    assert rows[7] == ("ACGT", "ACG", 104, 108, np.float32(0.7), "E1-108-T--")  # at the element's end
    assert rows[9] == ("ACG", "TCG", 104, 107, 0.25, "E1-flip-105-A-T")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b\n1,2\n",
            "mpra.tsv:1: no column Chrom, Pos, Ref, Alt, Barcodes, Coefficient, pValue, Element, Release; found",
        ),
        (MPRA_HEADER, "mpra.tsv: no variant of release 'GRCh37' with 10 or more barcodes"),
        (MPRA_HEADER + mpra_line(5, "A", "C", "E", release="GRCh38"), "the file has the releases GRCh38"),
        (MPRA_HEADER + mpra_line(5, "A", "C", "E") + "1\t2\n", "mpra.tsv:3: found 2 columns, expected 11"),
        (MPRA_HEADER + mpra_line("x", "A", "C", "E"), "mpra.tsv:2: found Pos 'x'"),
        (MPRA_HEADER + mpra_line(5, "A", "CC", "E"), "mpra.tsv:2: found Pos 5, Ref 'A', Alt 'CC'"),
        (MPRA_HEADER + mpra_line(0, "A", "C", "E"), "mpra.tsv:2: found Pos 0"),
        (
            MPRA_HEADER + mpra_line(5, "A", "C", "E") + mpra_line(5, "G", "C", "E"),
            "mpra.tsv:3: Ref of element E at Pos 5 is G, before A",
        ),
        (
            MPRA_HEADER + mpra_line(5, "A", "C", "E") + mpra_line(6, "G", "C", "E", chrom="2"),
            "mpra.tsv:3: element E is on 2, before on 1",
        ),
    ],
)
def test_bad_mpra_tables(tmp_path, text, message):
    with pytest.raises(ValueError) as error:
        read_mpra(write_mpra(tmp_path, text))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_mpra_splits_name_elements(tmp_path):
    mpra = write_mpra(tmp_path)
    with pytest.raises(ValueError, match="test_elements: no element 'E9'; there is E0, E1, E1-flip"):
        build_disease_risk(mpra=mpra, output_dir=tmp_path / "out", test_elements=["E9"])
    with pytest.raises(ValueError, match="E1 and what overlaps it is in both; choose one"):
        build_disease_risk(
            mpra=mpra, output_dir=tmp_path / "out", test_elements=["E1"], validation_elements=["E1-flip"]
        )


# Persons


@pytest.fixture
def cohort(tmp_path, genome_file):
    """Four persons and three variants: a case has the first variant twice."""
    letters = [base(genome_file, "chr1", pos) for pos in (50, 60, 70)]
    alts = [other(letter) for letter in letters]
    vcf = write_vcf(
        tmp_path / "cohort.vcf",
        [
            ("1", 50, "a", letters[0], alts[0], ".", "1/1", "0/1", "0/0", "./.", "0/0"),
            ("1", 60, "b", letters[1], alts[1], ".", "0/0", "0/1", "0/0", "0/1", "0/0"),
            ("1", 70, "c", letters[2], alts[2], ".", "0/1", "0/0", "0/1", "0/1", "1/1"),
        ],
        samples=["p1", "p2", "p3", "p4", "p5"],
    )
    labels = tmp_path / "labels.csv"
    labels.write_text("sample,label\np4,control\np1,case\np2,1\np3,0\np9,case\n")
    predictions = tmp_path / "predictions.csv"
    with predictions.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["chrom", "pos", "id", "ref", "alt", "prediction"])
        writer.writerow(["chr1", 50, "a", letters[0], alts[0], 1.5])
        writer.writerow(["chr1", 60, "b", letters[1], alts[1], -0.25])
        writer.writerow(["chr1", 65, "z", "A", "C", 9])
    return vcf, labels, predictions


def test_burden_of_persons(cohort, tmp_path):
    vcf, labels, predictions = cohort
    burdens = person_burdens(predictions, vcf, labels)
    assert burdens.sample == ["p1", "p2", "p3", "p4", "p5"]
    np.testing.assert_allclose(burdens.burden, [3.0, 1.25, 0.0, -0.25, 0.0])
    np.testing.assert_array_equal(burdens.alleles, [2, 2, 0, 1, 0])
    np.testing.assert_array_equal(burdens.not_called, [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(burdens.label, [1, 1, 0, 0, -1])
    assert burdens.auroc == (1.0, 1.0, 1.0)
    assert burdens.counts["variants_summed"] == 2 and burdens.counts["variants_without_prediction"] == 1
    assert burdens.counts["predictions_not_in_vcf"] == 1
    assert burdens.counts["samples"] == {
        "sample of the label table that the VCF does not have": 1,
        "sample of the VCF that the label table does not have": 1,
    }
    burdens.save(tmp_path / "burden.csv")
    lines = (tmp_path / "burden.csv").read_text().splitlines()
    assert lines[:3] == ["sample,burden,alleles,not_called,label", "p1,3,2,0,case", "p2,1.25,2,0,case"]
    assert person_burdens(predictions, vcf).auroc is None


def test_burden_command(cohort, tmp_path, capsys):
    vcf, labels, predictions = map(str, cohort)
    options = ["--predictions", predictions, "--vcf", vcf, "--output_file", str(tmp_path / "burden.csv")]
    burden_main([*options, "--sample_labels", labels])
    printed = capsys.readouterr().out
    assert "5 persons, 2 variants summed, 1 without a prediction" in printed
    assert "AUROC 1.000 (95 % interval 1.000 to 1.000)" in printed
    assert len((tmp_path / "burden.csv").read_text().splitlines()) == 6
    with pytest.raises(SystemExit, match="error: .*no column x; found chrom"):
        burden_main([*options, "--effect_column", "x"])


def test_genotypes_as_rows(cohort, genome_file, tmp_path):
    vcf, labels, _ = cohort
    info = build_disease_risk(
        vcf=vcf, genome=genome_file, sample_labels=labels, window_width=16, output_dir=tmp_path / "out"
    )
    check_dataset_card(tmp_path / "out")
    assert info["splits"]["persons"]["train"] == {"rows": 4, "labels": {"control": 2, "case": 2}}
    persons = load_dataset(str(tmp_path / "out"), "persons", split="train")
    assert persons[0] == {"id": "p1", "label": 1, "variant_rows": [0, 2], "copies": [2, 1], "not_called": 0}
    assert persons[3] == {"id": "p4", "label": 0, "variant_rows": [1, 2], "copies": [1, 1], "not_called": 1}
    variants = load_dataset(str(tmp_path / "out"), "variants", split="train")
    assert variants["pos"][:] == [50, 60, 70] and variants["id"][:] == ["a", "b", "c"]
    assert all(len(row["sequence"]) == len(row["alt_sequence"]) == 16 for row in variants)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person,label\n", "labels.csv:1: no column sample; found person, label"),
        ("", "labels.csv:1: no column sample, label; found an empty file"),
        ("sample,label\np1,case\np2,ill\n", "labels.csv:3: found label 'ill', expected case or control"),
        ("sample,label\np1,case\np1,control\n", "labels.csv:3: sample 'p1' comes twice"),
        ("sample,label\np1,case\np2,case\n", "labels.csv: found 2 samples of one class"),
        ("sample,label\np1\n", "labels.csv:2: found 1 cells, expected 2"),
    ],
)
def test_bad_sample_labels(tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        read_sample_labels(path)
    assert message in str(error.value)


def test_burdens_that_cannot_be(cohort, tmp_path):
    vcf, labels, predictions = cohort
    with pytest.raises(ValueError, match=r"no column effect; found chrom, pos, id, ref, alt, prediction"):
        person_burdens(predictions, vcf, effect_column="effect")
    other_labels = tmp_path / "other.csv"
    other_labels.write_text("sample,label\nq1,case\nq2,control\n")
    with pytest.raises(ValueError, match=r"none of its samples \(q1, q2\) is in .*cohort.vcf"):
        person_burdens(predictions, vcf, other_labels)
    words = tmp_path / "words.csv"
    words.write_text("chrom,pos,ref,alt,prediction\n1,50,A,C,pathogenic\n")
    with pytest.raises(ValueError, match="words.csv:2: found pos '50' and prediction 'pathogenic'"):
        person_burdens(words, vcf)
    words.write_text("chrom,pos,ref,alt,prediction\n1,51,A,C,1\n")
    with pytest.raises(ValueError, match="none of its 3 variants is among the 1 of"):
        person_burdens(words, vcf)


def test_errors_of_the_command_are_one_line(tmp_path, genome_file):
    bad = tmp_path / "bad.vcf"
    bad.write_text("hello\n")
    with pytest.raises(SystemExit) as error:
        main(["--vcf", str(bad), "--genome", str(genome_file), "--output_dir", str(tmp_path / "out")])
    assert str(error.value).startswith("error: ") and "bad.vcf:1: not a VCF file" in str(error.value)
