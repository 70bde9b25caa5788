"""How a set is built: in shards, by any executor, again after a kill, and what happens when something goes wrong."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from hub_datasets.atac_seq import build as build_module
from hub_datasets.atac_seq import build_atac_seq, shards
from hub_datasets.atac_seq.__main__ import main


ROWS_PER_SHARD = {"regions": 3, "windows": 20, "background": 10}
# Processes that start with everything imported, because that takes longest.
FORKSERVER = get_context("forkserver")
FORKSERVER.set_forkserver_preload([__name__])


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", ROWS_PER_SHARD)


@pytest.fixture(scope="module")
def inputs(atlas_folder):
    return {
        "genome": str(atlas_folder / "genome.fa"),
        "peaks": str(atlas_folder / "peaks"),
        "motifs": str(atlas_folder / "motifs.safetensors"),
        "num_regions": 8,
        "validation_chromosomes": ["chr3"],
        "held_out_cell_types": ["sim04"],
    }


@pytest.fixture(scope="module")
def expected(inputs, tmp_path_factory):
    """What an uninterrupted build in one process writes."""
    folder = tmp_path_factory.mktemp("expected") / "set"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(shards, "ROWS_PER_SHARD", ROWS_PER_SHARD)
        build_atac_seq(**inputs, output_dir=folder)
    content = digests(folder)
    assert len(parquet_files(folder)) > 20
    return content


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def parquet_files(folder):
    return sorted(file for file in folder.glob("*/*.parquet") if not file.name.startswith("."))


def work_folder(output_dir):
    return output_dir.with_name(f".{output_dir.name}.partial")


def run_command(arguments, errors):
    os.setsid()
    with open(errors, "w") as stream:
        os.dup2(stream.fileno(), 2)
    shards.ROWS_PER_SHARD = ROWS_PER_SHARD
    main(arguments)


def start(inputs, output_dir, num_workers=1):
    """Start the command in a process of its own; what it writes to standard error goes to the file `errors`."""
    arguments = ["--output_dir", str(output_dir), "--num_workers", str(num_workers)]
    for name, value in inputs.items():
        arguments += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    process = FORKSERVER.Process(target=run_command, args=(arguments, str(output_dir.parent / "errors")))
    process.start()
    return process


def wait_for_files(output_dir, number, process=None):
    """Wait until so many files of the set are there; whether that was so before the build came to its end."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not output_dir.exists():
        if len(parquet_files(work_folder(output_dir) / "set")) >= number:
            return True
        if process is not None and not process.is_alive():
            break
        time.sleep(0.001)
    return False


def test_killed_at_random_moments_and_started_again_ends_with_the_same_bytes(inputs, expected, tmp_path):
    output_dir = tmp_path / "set"
    kept = {}
    rng = random.Random(0)
    for number_of_files, num_workers in ((1, 1), (rng.randrange(4, 10), 2), (rng.randrange(12, 20), 1)):
        process = start(inputs, output_dir, num_workers)
        assert wait_for_files(output_dir, number_of_files, process)
        time.sleep(rng.random() * 0.03)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.join()
        psutil.wait_procs(workers, timeout=20)
        assert not any(worker.is_running() for worker in workers)  # none of them waits for work for ever
        assert not output_dir.exists()
        finished = {file: file.stat().st_mtime_ns for file in parquet_files(work_folder(output_dir) / "set")}
        assert kept.items() <= finished.items()  # what was finished is not done again
        kept = finished
    process = start(inputs, output_dir)
    process.join()
    assert digests(output_dir) == expected
    assert sorted(file.name for file in tmp_path.iterdir()) == ["errors", "set"]


def test_ctrl_c_says_how_to_go_on(inputs, expected, tmp_path):
    output_dir = tmp_path / "set"
    process = start(inputs, output_dir, num_workers=2)
    assert wait_for_files(output_dir, 3, process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    process.join()
    errors = (tmp_path / "errors").read_text()
    assert process.exitcode == 130
    assert "Traceback" not in errors
    assert f"files are in {work_folder(output_dir)}. Start the same build again and it goes on from there" in errors
    assert "Start the same build again" in (work_folder(output_dir) / "READ_ME.txt").read_text()
    build_atac_seq(**inputs, output_dir=output_dir)
    assert digests(output_dir) == expected


@contextmanager
def killed_when_work_has_begun(output_dir, process_id):
    """A thread that kills a process as soon as the first file is there."""

    def kill():
        if wait_for_files(output_dir, 1):
            os.kill(process_id, signal.SIGKILL)
            killed.append(process_id)

    killed: list[int] = []
    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    thread.join()


def test_a_worker_of_a_process_pool_that_dies(inputs, expected, tmp_path, capsys):
    output_dir = tmp_path / "set"
    with ProcessPoolExecutor(1, mp_context=FORKSERVER) as pool:
        process_id = pool.submit(os.getpid).result()
        with (
            killed_when_work_has_begun(output_dir, process_id),
            pytest.raises(ChildProcessError, match="a worker process died: .* start the same build again"),
        ):
            build_atac_seq(**inputs, output_dir=output_dir, executor=pool)
    assert "Not finished: " in capsys.readouterr().err
    build_atac_seq(**inputs, output_dir=output_dir)
    assert digests(output_dir) == expected


def test_a_dask_cluster_of_which_a_worker_dies(inputs, expected, tmp_path):
    distributed = pytest.importorskip("distributed")
    output_dir = tmp_path / "set"
    with (
        pytest.importorskip("dask").config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        process_ids = client.run(os.getpid)
        assert len(set(process_ids.values()) | {os.getpid()}) == 3
        with killed_when_work_has_begun(output_dir, next(iter(process_ids.values()))) as killed:
            build_atac_seq(**inputs, output_dir=output_dir, executor=client.get_executor())
        assert killed
    assert digests(output_dir) == expected


def test_threads_will_do_too(inputs, expected, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        build_atac_seq(**inputs, output_dir=tmp_path / "set", executor=executor)
        with pytest.raises(ValueError, match="num_workers=2 and an executor: give one of the two"):
            build_atac_seq(**inputs, output_dir=tmp_path / "set", executor=executor, num_workers=2)
    assert digests(tmp_path / "set") == expected


def fail_at(monkeypatch, number, error):
    """The number-th Parquet file breaks off in the middle of writing."""
    write = shards.pq.write_table
    calls = []

    def write_table(table, stream, **options):
        calls.append(stream)
        if len(calls) != number:
            return write(table, stream, **options)
        stream.write(b"PAR1 half a fi")
        raise error

    monkeypatch.setattr(shards.pq, "write_table", write_table)


def unfinished(inputs, output_dir, number=4):
    """Leave a build that stopped at its number-th file."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        fail_at(monkeypatch, number, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            build_atac_seq(**inputs, output_dir=output_dir)


def test_disk_full(inputs, expected, tmp_path, monkeypatch, capsys):
    output_dir = tmp_path / "set"
    with monkeypatch.context() as patch:
        fail_at(patch, 4, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        with pytest.raises(
            OSError, match=r"regions/train-00003-of-\d+.parquet: cannot be written \(No space left on device\)"
        ):
            build_atac_seq(**inputs, output_dir=output_dir)
    assert "Not finished: 3 of " in capsys.readouterr().err
    assert not output_dir.exists()
    assert len(list((work_folder(output_dir) / "set" / "regions").iterdir())) == 3
    build_atac_seq(**inputs, output_dir=output_dir)
    assert digests(output_dir) == expected


def test_disk_full_before_any_work_leaves_nothing_behind(inputs, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match=r"genome: cannot be written \(File too large\)"):
            build_atac_seq(**inputs, output_dir=tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(inputs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/.set.partial: cannot be written \(.*\); give another output_dir"):
        build_atac_seq(**inputs, output_dir=tmp_path / "file" / "set")

    def read_only(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(OSError, match=r".set.partial: cannot be written \(Read-only file system\); give another"):
        build_atac_seq(**inputs, output_dir=tmp_path / "set")


def copy_of_peaks(inputs, folder):
    folder.mkdir()
    for file in Path(inputs["peaks"]).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return {**inputs, "peaks": str(folder)}


def test_an_input_that_vanishes_or_changes_while_it_is_read(inputs, tmp_path, monkeypatch):
    inputs = copy_of_peaks(inputs, tmp_path / "peaks")
    victim = sorted((tmp_path / "peaks").iterdir())[1]
    content = victim.read_bytes()
    read_genome, make_consensus = build_module.Genome, build_module.build_consensus

    def unlink_then_read(*arguments, **options):
        victim.unlink()
        return read_genome(*arguments, **options)

    monkeypatch.setattr(build_module, "Genome", unlink_then_read)
    with pytest.raises(FileNotFoundError, match=f"{victim.name}: no such file"):
        build_atac_seq(**inputs, output_dir=tmp_path / "set")
    assert not work_folder(tmp_path / "set").exists()
    monkeypatch.setattr(build_module, "Genome", read_genome)

    def make_then_change(*arguments):
        consensus = make_consensus(*arguments)
        victim.write_bytes(content + b"\n")
        return consensus

    victim.write_bytes(content)
    monkeypatch.setattr(build_module, "build_consensus", make_then_change)
    with pytest.raises(ValueError, match=f"{victim.name}: was changed while it was read; start the build again"):
        build_atac_seq(**inputs, output_dir=tmp_path / "set")
    assert not work_folder(tmp_path / "set").exists()


def test_an_input_that_vanishes_once_it_was_read_is_not_needed(inputs, expected, tmp_path, monkeypatch):
    inputs = copy_of_peaks(inputs, tmp_path / "peaks")
    write = build_module.write_shards

    def unlink_then_write(*arguments, **options):
        for file in (tmp_path / "peaks").iterdir():
            file.unlink()
        write(*arguments, **options)

    monkeypatch.setattr(build_module, "write_shards", unlink_then_write)
    build_atac_seq(**inputs, output_dir=tmp_path / "set")
    assert digests(tmp_path / "set") == expected


def test_two_builds_into_one_folder(inputs, tmp_path):
    work_folder(tmp_path / "set").mkdir()
    with (
        FileLock(work_folder(tmp_path / "set") / "lock"),
        pytest.raises(ValueError, match="set: is being built by another process; wait for it, or give another"),
    ):
        build_atac_seq(**inputs, output_dir=tmp_path / "set")


def test_a_changed_option_or_input_is_not_mixed_in(inputs, expected, tmp_path, monkeypatch):
    inputs = copy_of_peaks(inputs, tmp_path / "peaks")
    output_dir = tmp_path / "set"
    unfinished(inputs, output_dir)
    before = digests(work_folder(output_dir))
    with pytest.raises(ValueError, match=r"set.partial: holds an unfinished build with other options \(stride\); "):
        build_atac_seq(**inputs, output_dir=output_dir, stride=2)
    with pytest.raises(ValueError, match=r"set.partial: holds an unfinished build with other inputs \(genome\); "):
        changed = tmp_path / "genome.fa"
        changed.write_bytes(Path(inputs["genome"]).read_bytes() + b"A\n")
        build_atac_seq(**{**inputs, "genome": changed}, output_dir=output_dir)
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "version", lambda name: "0.0")
        with pytest.raises(ValueError, match=r"unfinished build with other versions \(datasets, numpy, pyarrow, torc"):
            build_atac_seq(**inputs, output_dir=output_dir)
    assert digests(work_folder(output_dir)) == before

    build_atac_seq(**inputs, output_dir=output_dir, stride=2, overwrite=True)
    assert digests(output_dir) != expected
    # The old set stays until the new one is whole; that goes on, too, from where it was.
    unfinished({**inputs, "overwrite": True}, output_dir)
    half = set(parquet_files(work_folder(output_dir) / "set"))
    assert len(half) == 3 and json.loads((output_dir / "build_info.json").read_text())["options"]["stride"] == 2
    build_atac_seq(**inputs, output_dir=output_dir, overwrite=True)
    assert digests(output_dir) == expected
    assert not work_folder(output_dir).exists()


def test_killed_when_the_set_was_already_in_place(inputs, expected, tmp_path, monkeypatch):
    output_dir = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(build_module.WorkFolder, "clear", lambda self: None)
        build_atac_seq(**inputs, output_dir=output_dir)
    assert work_folder(output_dir).exists()
    build_atac_seq(**inputs, output_dir=output_dir)
    assert [file.name for file in tmp_path.iterdir()] == ["set"]
    assert digests(output_dir) == expected


def test_workers_that_do_not_share_the_folder(tmp_path):
    (shard,) = shards.cut("regions", "train", 2)
    with pytest.raises(
        FileNotFoundError, match="no work is planned there; .* must see output_dir under the same path"
    ):
        shards.write_shard(str(tmp_path / "set"), shard)


def test_cut():
    assert [(shard.first, shard.last, shard.file) for shard in shards.cut("regions", "train", 7)] == [
        (0, 3, "regions/train-00000-of-00003.parquet"),
        (3, 6, "regions/train-00001-of-00003.parquet"),
        (6, 7, "regions/train-00002-of-00003.parquet"),
    ]
    assert shards.cut("windows", "test", 0) == []


def test_the_command_shows_errors_of_the_system_as_one_line(inputs, tmp_path, monkeypatch):
    fail_at(monkeypatch, 1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    names = ("genome", "peaks", "motifs")
    arguments = [word for name in names for word in (f"--{name}", inputs[name])]
    with pytest.raises(SystemExit, match="error: .*train-00000-of-.*: cannot be written .No space left on device"):
        main([*arguments, "--output_dir", str(tmp_path / "set")])
