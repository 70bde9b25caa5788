"""TF binding: literal rows of hand-made peaks, agreement with the simulator's truth, splits that share nothing."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import datasets
import numpy as np
import pytest

from hub_datasets.splits import canonical_sequence
from hub_datasets.tf_binding_sites import TfBindingSites, TfBindingSitesOptions, build_tf_binding_sites
from hub_datasets.tf_binding_sites.__main__ import main
from hub_datasets.tf_binding_sites.experiments import PUBLIC_CHIP_SEQ, find_experiments
from hub_datasets.tf_binding_sites.regions import AccessibleRegions, contexts
from modeling_genebert import reverse_complement

from .cards import check_dataset_card


LENGTH = 4000  # bp of each chromosome of the hand-made genome
PEAKS = {
    # (chromosome, start, end, signal, summit)
    "GATA1.K562": [("chr1", 900, 1100, 9.0, 1000), ("chr2", 2000, 2200, 5.0, 2050), ("chr3", 700, 900, 7.0, 800)],
    "GATA1.B": [("chr1", 950, 1150, 4.0, 1020), ("chr1", 3000, 3200, 8.0, 3100)],
    "SPI1.B": [("chr1", 2900, 3200, 3.0, 3105), ("chr2", 1000, 1200, 6.0, 1100), ("chr3", 1500, 1700, 2.0, 1600)],
}
OPTIONS = {"validation_chromosomes": ["chr2"], "test_chromosomes": ["chr3"], "max_gc_difference": 0.2}


def write_peaks(file: Path, peaks: list) -> Path:
    lines = [
        f"{chrom}\t{start}\t{end}\tpeak\t0\t.\t{signal}\t-1\t-1\t{summit - start if summit >= 0 else -1}\n"
        for chrom, start, end, signal, summit in peaks
    ]
    file.write_text("".join(lines))
    return file


@pytest.fixture(scope="module")
def genome():
    rng = random.Random(0)
    return {name: "".join(rng.choices("ACGT", k=LENGTH)) for name in ("chr1", "chr2", "chr3")}


@pytest.fixture(scope="module")
def files(genome, tmp_path_factory):
    """A folder with genome.fa, chip/ and atac/."""
    folder = tmp_path_factory.mktemp("tf")
    (folder / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in genome.items()))
    (folder / "chip").mkdir()
    for name, peaks in PEAKS.items():
        write_peaks(folder / "chip" / f"{name}.narrowPeak", peaks)
    (folder / "atac").mkdir()
    write_peaks(folder / "atac" / "K562.narrowPeak", [("chr1", 800, 1200, 1.0, 1000), *others(2.0)])
    write_peaks(folder / "atac" / "B.narrowPeak", [("chr1", 2900, 3300, 1.0, 3100), *others(2.0)])
    return folder


def others(signal: float) -> list:
    return [("chr1", 1800, 2200, signal, 2000), ("chr2", 900, 1300, signal, 1100), ("chr3", 1400, 1800, signal, 1600)]


@pytest.fixture(scope="module")
def windows(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows") / "set"
    info = build_tf_binding_sites(
        chip_seq=files / "chip", genome=files / "genome.fa", output_dir=folder, seed=1, **OPTIONS
    )
    return folder, info


@pytest.fixture(scope="module")
def regions(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("regions") / "set"
    info = build_tf_binding_sites(
        chip_seq=files / "chip",
        genome=files / "genome.fa",
        atac_seq_peaks=files / "atac",
        output_dir=folder,
        num_regions=4,
        validation_chromosomes=["chr2"],
        test_chromosomes=["chr3"],
        held_out_cell_types=["B"],
    )
    return folder, info


def load(folder: Path, config: str) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), config)


@pytest.mark.parametrize("name", ["windows", "regions"])
def test_cards(name, request):
    folder, _ = request.getfixturevalue(name)
    assert "chip-seq" in check_dataset_card(folder).data.tags


# Windows round summits


def test_bound_windows_are_cut_round_the_strongest_summits(windows, genome):
    rows = load(windows[0], "single_GATA1")
    assert set(rows) == {"train", "validation", "test"}
    bound = [row for row in rows["train"] if row["label"] == 1]
    # K562's peak at 1000 is the strongest of its file, so B's at 1020 lies in its window and makes none of its own.
    assert [(row["chrom"], row["start"], row["end"]) for row in bound] == [("chr1", 950, 1051), ("chr1", 3050, 3151)]
    assert bound[0]["sequence"] == genome["chr1"][950:1051]
    assert rows["train"].features["label"].names == ["not_bound", "bound"]


def test_negatives_are_like_the_bound_windows_and_apart_from_all_peaks(windows, genome):
    peaks = [peak for name in ("GATA1.K562", "GATA1.B") for peak in PEAKS[name]]
    for rows in load(windows[0], "single_GATA1").values():
        for row in rows:
            assert row["sequence"] == genome[row["chrom"]][row["start"] : row["end"]]
            if row["label"] == 0:
                assert all(
                    chrom != row["chrom"] or row["end"] <= start or end <= row["start"]
                    for chrom, start, end, *_ in peaks
                )
        share = [np.mean([base in "GC" for base in row["sequence"]]) for row in rows]
        labels = np.array(rows["label"])
        assert (labels == 0).sum() == (labels == 1).sum()
        assert abs(np.mean(np.array(share)[labels == 0]) - np.mean(np.array(share)[labels == 1])) <= 0.2


def test_multi_label_rows_say_what_is_bound_and_what_was_not_measured(windows):
    rows = load(windows[0], "multi_label")["train"]
    names = rows.features["label"].feature.names
    assert names == ["GATA1", "SPI1"]
    found = [
        (row["cell_type"], row["start"], [names[i] for i in row["label"]], [names[i] for i in row["unmeasured"]])
        for row in rows
    ]
    # The place at 3100: GATA1 of B has the best rank in its file (1.0), so its summit is the centre.
    assert found == [
        ("B", 950, ["GATA1"], []),
        ("B", 3050, ["GATA1", "SPI1"], []),
        ("K562", 950, ["GATA1"], ["SPI1"]),
        ("K562", 3050, [], ["SPI1"]),
    ]


def test_what_is_skipped_is_counted(files, tmp_path):
    peaks = [*PEAKS["SPI1.B"], ("chr1", 0, 40, 1.0, 20), ("chrUn", 10, 50, 1.0, 20), ("chr1", 3950, 4500, 1.0, 3970)]
    file = write_peaks(tmp_path / "SPI1.B.narrowPeak", peaks)
    info = build_tf_binding_sites(chip_seq=file, genome=files / "genome.fa", output_dir=tmp_path / "set", **OPTIONS)
    assert info["skipped"]["single_SPI1: peaks: unknown chromosome"] == 1
    assert info["skipped"]["single_SPI1: peaks: past chromosome end"] == 2
    assert info["peaks"]["single_SPI1"]["SPI1.B"]["used"] == 3


def test_the_same_inputs_give_the_same_bytes(windows, files, tmp_path):
    build_tf_binding_sites(
        chip_seq=files / "chip", genome=files / "genome.fa", output_dir=tmp_path / "again", seed=1, **OPTIONS
    )
    names = sorted(str(file.relative_to(windows[0])) for file in windows[0].rglob("*") if file.is_file())
    assert len(names) > 5
    for name in names:
        assert (windows[0] / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_bound_windows_are_those_of_the_simulators_truth(atlas_folder, tmp_path):
    build_tf_binding_sites(
        chip_seq=atlas_folder / "tf_binding", genome=atlas_folder / "genome.fa", output_dir=tmp_path / "set"
    )
    places = read_table(atlas_folder / "truth" / "regions.tsv")
    for config in datasets.get_dataset_config_names(str(tmp_path / "set")):
        if not config.startswith("single_"):
            continue
        tf = config.removeprefix("single_")
        truth = {
            int(row["region"])
            for row in read_table(atlas_folder / "truth" / "binding.tsv")
            if row["tf"] == tf and any(row[f"bound_sim0{number}"] == "1" for number in range(1, 5))
        }
        rows = load(tmp_path / "set", config)["train"]
        found, elsewhere = [], 0
        for row in rows.filter(lambda row: row["label"] == 1):
            centre = (row["start"] + row["end"]) // 2
            inside = [
                int(place["region"])
                for place in places
                if place["chrom"] == row["chrom"] and int(place["start"]) <= centre < int(place["end"])
            ]
            found += inside
            elsewhere += not inside
        assert sorted(found) == sorted(truth), tf  # each bound region once
        assert elsewhere <= 12  # the simulator's noise: a peak on each of 3 chromosomes in each of 4 cell types


# Accessible regions of cell types


def test_regions_are_labelled_by_summits_and_split_by_cell_type(regions):
    folder, info = regions
    splits = load(folder, "multi_label")
    assert set(splits) == {
        f"{split}{suffix}" for split in ("train", "validation", "test") for suffix in ("", "_unseen_cell_types")
    }
    train, unseen = splits["train"], splits["train_unseen_cell_types"]
    names = train.features["label"].feature.names
    assert [
        (row["cell_type"], row["start"], row["end"], [names[i] for i in row["label"]], row["unmeasured"])
        for row in train
    ] == [("K562", 750, 1250, ["GATA1"], [1]), ("K562", 1750, 2250, [], [1]), ("K562", 2850, 3350, [], [1])]
    assert [(row["cell_type"], row["start"], [names[i] for i in row["label"]]) for row in unseen] == [
        ("B", 750, ["GATA1"]),
        ("B", 1750, []),
        ("B", 2850, ["GATA1", "SPI1"]),
    ]
    assert info["peaks"]["GATA1.K562"] == {"read": 3, "used": 1}
    assert info["skipped"]["ChIP-seq peaks: summit outside of the accessible regions"] == 2


def test_rows_come_with_the_open_regions_of_their_cell_type(regions, genome):
    folder, _ = regions
    stored = load(folder, "regions")["train"]
    assert [(row["chrom"], row["start"]) for row in stored] == [
        ("chr1", 750),
        ("chr1", 1750),
        ("chr1", 2850),
        ("chr2", 850),
        ("chr3", 1350),
    ]
    assert stored[2]["sequence"] == genome["chr1"][2850:3350]
    for split in load(folder, "multi_label").values():
        for row in split:
            own = row["region_ids"][row["anchor"]]
            assert stored[own]["sequence"] == row["sequence"] and stored[own]["start"] == row["start"]
            assert all(stored[other]["chrom"] == row["chrom"] for other in row["region_ids"])
    closed = load(folder, "multi_label")["train"][2]  # 2850 is closed in K562
    assert closed["region_ids"] == [1, 2] and closed["anchor"] == 1
    assert closed["accessibility"] == [np.float32(2.5 / 4 + 0.125), 0.0]  # mid-rank of three equal signals of four


def test_contexts_literally():
    # Two chromosomes; open: 0, 1, 3 and 4.
    made = AccessibleRegions(
        chromosomes=["chr1", "chr2"],
        chrom=np.array([0, 0, 0, 0, 1]),
        start=np.array([0, 1000, 2000, 9000, 100]),
        width=500,
        sequences=["A" * 500] * 5,
        cell_types=["x"],
        accessibility=np.array([[0.5], [1.0], [0.0], [np.nan], [0.25]], dtype=np.float32),
    )
    (block,) = contexts(made, "x", np.arange(5), num_regions=6, max_span=15_000)
    assert block["region_ids"].to_pylist() == [[0, 1], [0, 1], [0, 1, 2, 3], [3], [4]]
    assert block["anchor"].to_pylist() == [0, 1, 2, 0, 0]
    accessibility = block["accessibility"].to_pylist()
    assert accessibility[0] == [0.5, 1.0] and accessibility[4] == [0.25]
    assert accessibility[2][:3] == [0.5, 1.0, 0.0] and np.isnan(accessibility[2][3])
    (block,) = contexts(made, "x", np.array([2]), num_regions=2, max_span=15_000)  # none before, one after
    assert block["region_ids"].to_pylist() == [[2, 3]]


def test_regions_of_a_built_set_agree_with_the_simulators_truth(atlas_folder, atac_folder, tmp_path):
    build_tf_binding_sites(
        chip_seq=atlas_folder / "tf_binding",
        atac_seq_dir=atac_folder,
        output_dir=tmp_path / "set",
        num_regions=8,
        test_chromosomes=["chr3"],
        held_out_cell_types=["sim04"],
    )
    splits = load(tmp_path / "set", "multi_label")
    assert set(splits["train"]["cell_type"]) == {"sim01", "sim02", "sim03"}
    assert set(splits["test_unseen_cell_types"]["cell_type"]) == {"sim04"}
    assert set(splits["test_unseen_cell_types"]["chrom"]) == {"chr3"}
    assert not {"chr3"} & set(splits["train"]["chrom"])
    centres = {
        (place["chrom"], (int(place["start"]) + int(place["end"])) // 2): int(place["region"])
        for place in read_table(atlas_folder / "truth" / "regions.tsv")
    }
    binding = read_table(atlas_folder / "truth" / "binding.tsv")
    bound = {
        (int(row["region"]), row["tf"], name)
        for row in binding
        for name in ("sim01", "sim04")
        if row[f"bound_{name}"] == "1"
    }
    names = splits["train"].features["label"].feature.names
    agree = total = bound_in_both = 0
    for split in splits.values():
        for row in split:
            centre = (row["start"] + row["end"]) // 2
            nearest = min(
                (abs(at - centre), region) for (chrom, at), region in centres.items() if chrom == row["chrom"]
            )
            if nearest[0] > 150 or row["cell_type"] not in ("sim01", "sim04"):
                continue  # a noise peak between the simulator's regions
            for index, tf in enumerate(names):
                truth = (nearest[1], tf, row["cell_type"]) in bound
                agree += truth == (index in row["label"])
                bound_in_both += truth and index in row["label"]
                total += 1
    assert total > 800 and bound_in_both > 10
    assert agree / total > 0.997  # a summit at the edge of a region may fall outside


# Splits


def test_a_sequence_on_two_chromosomes_stays_in_one_split(genome, tmp_path):
    repeated = genome["chr3"][750:851]
    chr1 = genome["chr1"][:950] + reverse_complement(repeated) + genome["chr1"][1051:]
    (tmp_path / "genome.fa").write_text(f">chr1\n{chr1}\n>chr2\n{genome['chr2']}\n>chr3\n{genome['chr3']}\n")
    file = write_peaks(tmp_path / "GATA1.K562.narrowPeak", [*PEAKS["GATA1.K562"], ("chr1", 3000, 3200, 8.0, 3100)])
    info = build_tf_binding_sites(chip_seq=file, genome=tmp_path / "genome.fa", output_dir=tmp_path / "set", **OPTIONS)
    assert info["skipped"]["single_GATA1: train: sequence also in test"] == 1
    splits = load(tmp_path / "set", "single_GATA1")
    assert [row["start"] for row in splits["train"] if row["label"] == 1] == [3050]
    assert repeated in splits["test"]["sequence"]
    seen = [{canonical_sequence(sequence) for sequence in rows["sequence"]} for rows in splits.values()]
    assert not any(seen[i] & seen[j] for i in range(3) for j in range(i))


# Inputs


def test_gue_layout(tmp_path):
    for number in ("0", "1"):
        (tmp_path / "tf" / number).mkdir(parents=True)
        for name in ("train", "dev", "test"):
            (tmp_path / "tf" / number / f"{name}.csv").write_text("sequence,label\nACGTA,1\nTTTTT,0\n")
    build_tf_binding_sites(gue_dir=tmp_path / "tf", output_dir=tmp_path / "set")
    check_dataset_card(tmp_path / "set")
    assert datasets.get_dataset_config_names(str(tmp_path / "set")) == ["tf_0", "tf_1"]
    rows = load(tmp_path / "set", "tf_1")
    assert rows["validation"][0] == {"sequence": "ACGTA", "label": 1}
    assert rows["train"].features["label"].names == ["not_bound", "bound"]


def test_sample_sheet_and_names(files, tmp_path):
    sheet = tmp_path / "sheet.csv"
    file = files / "chip" / "SPI1.B.narrowPeak"
    sheet.write_text(f"cell_type,path,tf\nB,{file},PU.1\n")
    (experiment,) = find_experiments(sheet)
    assert (experiment.tf, experiment.cell_type, experiment.file) == ("PU.1", "B", file)
    assert [experiment.name for experiment in find_experiments(files / "chip")] == ["GATA1.B", "GATA1.K562", "SPI1.B"]


def test_public_source_from_a_folder(files, tmp_path):
    for name in PUBLIC_CHIP_SEQ["encode_tf"].urls:
        write_peaks(tmp_path / name.removesuffix(".gz"), PEAKS["SPI1.B"]).rename(tmp_path / name)
    found = find_experiments("encode_tf", source_dir=tmp_path)
    assert ("CTCF", "K562") in [(experiment.tf, experiment.cell_type) for experiment in found]
    with pytest.raises(FileNotFoundError, match="has no CTCF.GM12878.narrowPeak.gz"):
        find_experiments("encode_tf", source_dir=files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"summit": -1}, r"GATA1.B.narrowPeak: peak 2 \(chr1:3000-3200\) has no summit, as 1 of its 2 peaks"),
        ({"duplicate": True}, r"GATA1 comes a second time for cell type 'B', after .*keep one"),
        ({"name": "GATA1.narrowPeak"}, "expected a name like TF.CELLTYPE.narrowPeak.gz"),
        ({"held_out_cell_types": ["B"]}, "without their accessible regions nothing tells cell types apart"),
        ({"test_chromosomes": ["chr9"]}, "test_chromosomes: no rows on 'chr9'; there are rows on chr1"),
        ({"test_chromosomes": ["chr1"]}, "no chromosome is left for training"),
        ({"gue_dir": "x"}, "give either gue_dir or chip_seq, found"),
        ({"window_width": 0}, "window_width=0: expected at least 1"),
        ({"genome": None}, "chip_seq needs the genome"),
    ],
)
def test_bad_input(files, tmp_path, change, message):
    options = {"chip_seq": [tmp_path / "one"], "genome": files / "genome.fa", "max_gc_difference": 0.2}
    (tmp_path / "one").mkdir()
    peaks = [*PEAKS["GATA1.B"]]
    if "summit" in change:
        peaks[1] = (*peaks[1][:4], change.pop("summit"))
    write_peaks(tmp_path / "one" / change.pop("name", "GATA1.B.narrowPeak"), peaks)
    if change.pop("duplicate", False):
        options["chip_seq"].append(files / "chip")
    with pytest.raises(ValueError, match=message):
        build_tf_binding_sites(output_dir=tmp_path / "set", **{**options, **change})
    assert not (tmp_path / "set").exists()


def test_a_cell_type_without_accessible_regions(files, atac_folder, tmp_path):
    with pytest.raises(ValueError, match="no accessible regions of cell type 'B', which ChIP-seq is given for; there"):
        build_tf_binding_sites(chip_seq=files / "chip", atac_seq_dir=atac_folder, output_dir=tmp_path / "set")
    file = write_peaks(tmp_path / "GATA1.sim01.narrowPeak", [("chr1", 15_000, 15_200, 1.0, 15_050)])
    with pytest.raises(ValueError, match="held_out_cell_types: no 'K562'; ChIP-seq is given for sim01"):
        build_tf_binding_sites(
            chip_seq=file, atac_seq_dir=atac_folder, output_dir=tmp_path / "set", held_out_cell_types=["K562"]
        )
    with pytest.raises(ValueError, match="held_out_cell_types: all of sim01; keep at least one"):
        build_tf_binding_sites(
            chip_seq=file, atac_seq_dir=atac_folder, output_dir=tmp_path / "set", held_out_cell_types=["sim01"]
        )
    with pytest.raises(ValueError, match="none of the summits of 1 ChIP-seq files lies in an accessible region"):
        build_tf_binding_sites(chip_seq=file, atac_seq_dir=atac_folder, output_dir=tmp_path / "set")


def test_one_class(files, tmp_path):
    """Alone, a TF of one class is an error; beside other TFs it is left out, and that is said."""
    options = {"genome": files / "genome.fa", "atac_seq_peaks": files / "atac", "num_regions": 4}
    file = write_peaks(tmp_path / "YY1.K562.narrowPeak", [("chr2", 1000, 1200, 1.0, 1100)])
    with pytest.raises(ValueError, match="config 'single_YY1', split 'train': all 4 rows have the label 'not_bound'"):
        build_tf_binding_sites(chip_seq=file, output_dir=tmp_path / "a", test_chromosomes=["chr2"], **options)
    info = build_tf_binding_sites(
        chip_seq=[file, files / "chip" / "GATA1.K562.narrowPeak"],
        output_dir=tmp_path / "b",
        validation_chromosomes=["chr2"],
        **options,
    )
    assert "single_YY1" not in info["splits"]
    assert list(info["splits"]["single_GATA1"]) == ["train"]
    assert info["skipped"]["single_YY1: left out, its training rows are of one class"] == 5
    assert info["skipped"]["single_GATA1: validation left out, its rows are of one class"] == 1


# Builder and command line


def test_builder(files, tmp_path):
    def builder(config: str, **changes) -> TfBindingSites:
        options = {"chip_seq": files / "chip", "genome": files / "genome.fa", **OPTIONS, **changes}
        return TfBindingSites(config_name=config, cache_dir=str(tmp_path / "cache"), **options)

    made = builder("multi_label")
    made.download_and_prepare()
    rows = made.as_dataset()
    assert rows["train"].num_rows == 4 and rows["train"].features["label"].feature.names == ["GATA1", "SPI1"]
    changed = builder("multi_label", seed=5)
    assert changed.cache_dir != made.cache_dir
    with pytest.raises(ValueError, match="config 'single_CTCF': not in this set, which has multi_label, single_GATA1"):
        builder("single_CTCF").download_and_prepare()


def test_builder_gives_the_splits_of_unseen_cell_types(files, tmp_path):
    builder = TfBindingSites(
        config_name="multi_label",
        cache_dir=str(tmp_path),
        chip_seq=files / "chip",
        genome=files / "genome.fa",
        atac_seq_peaks=files / "atac",
        num_regions=4,
        test_chromosomes=["chr3"],
        held_out_cell_types=["B"],
    )
    builder.download_and_prepare()
    assert set(builder.as_dataset()["test_unseen_cell_types"]["cell_type"]) == {"B"}


def test_command_line(files, tmp_path, capsys):
    arguments = ["--chip_seq", str(files / "chip"), "--genome", str(files / "genome.fa"), "--max_gc_difference", "0.2"]
    main([*arguments, "--output_dir", str(tmp_path / "set"), "--test_chromosomes", "chr2", "chr3"])
    assert "single_GATA1: train 4 (not_bound 2, bound 2)" in capsys.readouterr().out
    info = json.loads((tmp_path / "set" / "info.json").read_text())
    assert info["options"]["test_chromosomes"] == ["chr2", "chr3"]
    assert info["inputs"]["ChIP-seq SPI1.B"]["file"] == "SPI1.B.narrowPeak"
    with pytest.raises(SystemExit, match="error: .*exists; give another output_dir, or overwrite"):
        main([*arguments, "--output_dir", str(tmp_path / "set")])


def test_options_are_checked():
    with pytest.raises(ValueError, match="num_regions=1: expected at least 2"):
        TfBindingSitesOptions(num_regions=1)
    with pytest.raises(ValueError, match="max_gc_difference=2: expected 0 <= difference <= 1"):
        TfBindingSitesOptions(max_gc_difference=2)


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
