"""From a seed to a folder: draw the world, read it with the oracle, write the files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME

from . import export
from .grammar import REGION_KINDS
from .world import NOISE_DEVIATION, draw_world
from .writers import write_fasta, write_lines


VERSION = "1"
SETTINGS_FILE_NAME = "simulation.json"


def simulate_atlas(
    output_dir: str | os.PathLike,
    *,
    seed: int = 0,
    num_chromosomes: int = 8,
    chromosome_length: int = 750_000,
    num_cell_types: int = 8,
    num_motifs: int = 64,
    num_specific_tfs: int = 24,
    num_ubiquitous_tfs: int = 4,
    num_active_tfs: int = 10,
    num_binding_tfs: int = 8,
    num_variants: int = 600,
    open_share: float = 0.36,
    overwrite: bool = False,
) -> Path:
    """Write a simulated genome with cell types, in the formats of real data, with the truth beside it.

    The model and all files are described in the data set's card (README.md, which is also written to the folder). The
    same arguments give the same bytes. The folder appears whole or not at all.

    Args:
        output_dir: folder to write.
        seed: seed of all randomness.
        num_chromosomes: number of chromosomes, named chr1, chr2, ...
        chromosome_length: length of each chromosome in bp, at least 50,000; about one region in 2.9 kb.
        num_cell_types: number of cell types, named sim01, sim02, ...; at least 2. Neighbours are related.
        num_motifs: motifs in the bank; those of no acting TF are decoys.
        num_specific_tfs: TFs whose activity differs between cell types.
        num_ubiquitous_tfs: TFs active everywhere, which make promoters accessible.
        num_active_tfs: specific TFs active in each cell type.
        num_binding_tfs: specific TFs with ChIP-seq peaks in each cell type.
        num_variants: variants in the VCF.
        open_share: mean share of the regions that are open in a cell type; sets the intercept of the logit.
        overwrite: replace an atlas that is already in `output_dir`.

    Returns:
        `output_dir` as an absolute path.

    Raises:
        FileExistsError: `output_dir` is not empty, and `overwrite` is not set or it holds no simulated atlas.
        ValueError: numbers that do not fit together.
    """
    parameters = {key: value for key, value in locals().items() if key not in ("output_dir", "overwrite")}
    _check(parameters)
    output_dir = Path(output_dir).resolve()
    _check_folder(output_dir, overwrite)

    partial = output_dir.with_name(f".{output_dir.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        _write_atlas(partial, parameters)
        if output_dir.exists():
            replaced = output_dir.with_name(f".{output_dir.name}.{os.getpid()}.replaced")
            output_dir.rename(replaced)
            partial.rename(output_dir)
            shutil.rmtree(replaced)
        else:
            partial.rename(output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output_dir


def _check(parameters: dict[str, Any]) -> None:
    least = {"num_chromosomes": 1, "chromosome_length": 50_000, "num_cell_types": 2, "num_specific_tfs": 2}
    least |= {"num_ubiquitous_tfs": 1, "num_active_tfs": 1, "num_binding_tfs": 0, "num_variants": 0, "seed": 0}
    for name, smallest in least.items():
        if parameters[name] < smallest:
            raise ValueError(f"{name}={parameters[name]}, expected at least {smallest}")
    specific, ubiquitous = parameters["num_specific_tfs"], parameters["num_ubiquitous_tfs"]
    if parameters["num_motifs"] <= specific + ubiquitous:
        raise ValueError(
            f"num_motifs={parameters['num_motifs']} must be larger than num_specific_tfs={specific} + "
            f"num_ubiquitous_tfs={ubiquitous}: the others are decoys, and there must be one"
        )
    for name in ("num_active_tfs", "num_binding_tfs"):
        if parameters[name] > specific:
            raise ValueError(f"{name}={parameters[name]} must be at most num_specific_tfs={specific}")
    if not 0 < parameters["open_share"] < 1:
        raise ValueError(f"open_share={parameters['open_share']}, expected a number between 0 and 1")


def _check_folder(output_dir: Path, overwrite: bool) -> None:
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not (output_dir / SETTINGS_FILE_NAME).is_file():
        raise FileExistsError(f"{output_dir}: exists and is no simulated atlas; choose another output_dir")
    if not overwrite:
        raise FileExistsError(f"{output_dir}: already holds an atlas; choose another output_dir, or set overwrite")


def _write_atlas(folder: Path, parameters: dict[str, Any]) -> None:
    rng = np.random.default_rng(parameters["seed"])
    world = draw_world(parameters, rng)
    (folder / "truth").mkdir()
    world.bank.save(folder / MOTIFS_FILE_NAME)
    write_fasta(folder / "genome.fa", world.chromosomes)
    export.export_model_truth(folder, world)
    export.export_region_truth(folder, world)
    export.export_peaks(folder, world, rng)
    export.export_binding(folder, world, rng)
    export.export_genes(folder, world)
    export.export_variants(folder, world, parameters["num_variants"], rng)

    oracle = world.oracle
    summary = {
        "format": "simulated_atlas",
        "version": VERSION,
        "parameters": parameters,
        "intercept": oracle.intercept,
        "noise_deviation": NOISE_DEVIATION,
        "cell_types": oracle.cell_types,
        "binding_tfs": [oracle.tf_names[tf] for tf in world.binding_tfs],
        "motif_source": world.bank.source,
        "motif_fingerprint": world.bank.fingerprint,
        "num_regions": {kind: sum(region.kind == kind for region in world.regions) for kind in REGION_KINDS},
        "open_share": dict(zip(oracle.cell_types, world.is_open.mean(axis=0).round(4).tolist(), strict=True)),
        "num_genes": len(world.genes),
    }
    write_lines(folder / SETTINGS_FILE_NAME, [json.dumps(summary, indent=2)])
    write_lines(folder / "README.md", [_card(summary)])


def _card(summary: dict[str, Any]) -> str:
    """The package's card, with what is in this copy."""
    lines = [Path(__file__).with_name("README.md").read_text().rstrip(), "", "## This copy", ""]
    lines += ["| | |", "|---|---|"]
    lines += [f"| `{name}` | {value} |" for name, value in summary["parameters"].items()]
    lines += [f"| {kind} regions | {count} |" for kind, count in summary["num_regions"].items()]
    lines += [f"| open in {name} | {share:.1%} of the regions |" for name, share in summary["open_share"].items()]
    return "\n".join(lines)
