"""What all tests share: caches of their own, no network, and a tiny simulated atlas with the set built from it."""

from __future__ import annotations

import os
import shutil
import tempfile


# Before transformers and datasets are imported, which read them once.
_HOME = tempfile.mkdtemp(prefix="genebert-tests-")
os.environ["HF_HOME"] = _HOME
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE", "HF_HUB_CACHE"):
    os.environ.pop(_name, None)

# Two workers of pytest-xdist with two OpenMP threads each on two cores wait for each other: 15 times as slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402
import torch  # noqa: E402


torch.set_num_threads(1)  # the models are tiny: more threads only cost time


def pytest_unconfigure(config):
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def atlas_folder(tmp_path_factory):
    """A simulated atlas: chr1 to chr3 of 120 kb, cell types sim01 to sim04, 32 motifs."""
    from hub_datasets.simulated_atlas import simulate_atlas

    return simulate_atlas(
        tmp_path_factory.mktemp("atlas") / "atlas",
        num_chromosomes=3,
        chromosome_length=120_000,
        num_cell_types=4,
        num_motifs=32,
        num_variants=0,
    )


@pytest.fixture(scope="session")
def atac_folder(atlas_folder, tmp_path_factory):
    """The set built from the atlas: windows of 8 regions, chr3 for validation, sim04 held out."""
    from hub_datasets.atac_seq import build_atac_seq

    folder = tmp_path_factory.mktemp("atac") / "atac"
    build_atac_seq(
        genome=atlas_folder / "genome.fa",
        peaks=atlas_folder / "peaks",
        motifs=atlas_folder / "motifs.safetensors",
        output_dir=folder,
        num_regions=8,
        validation_chromosomes=["chr3"],
        held_out_cell_types=["sim04"],
    )
    return folder


@pytest.fixture(scope="session")
def atac(atac_folder):
    from hub_datasets.atac_seq.reader import AtacSeqSet

    return AtacSeqSet.load(atac_folder)


@pytest.fixture(scope="session")
def pretrained(atac_folder, tmp_path_factory):
    """What examples/pretrain.py leaves after six steps on the tiny set, with checkpoints at 3 and 6."""
    from .running import SMALL_RUN, run_example

    output = tmp_path_factory.mktemp("pretrained") / "run"
    run_example(
        "pretrain.py",
        *("--dataset_name_or_path", str(atac_folder), "--output_dir", str(output), "--max_train_steps", "6"),
        *("--checkpointing_steps", "3", "--eval_steps", "3", "--logging_steps", "2", *SMALL_RUN),
    )
    return output
