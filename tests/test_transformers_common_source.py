"""How the common tests of transformers are got; no network."""

from __future__ import annotations

import io
import tarfile

import pytest

from .transformers_common import __main__ as command
from .transformers_common import source


def write_archive(path, names):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"text"))
        link = tarfile.TarInfo("transformers-9.9.9/tests/test_link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)


def test_only_test_files_are_extracted(tmp_path):
    names = [
        "tests/test_a_common.py",
        "tests/../../test_up.py",
        "tests/models/test_b.py",
        "setup.py",
        "tests/data.json",
    ]
    write_archive(tmp_path / "archive.tar.gz", [f"transformers-9.9.9/{name}" for name in names] + ["/tests/test_c.py"])
    source._extract_tests(tmp_path / "archive.tar.gz", tmp_path / "root")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [
        "archive.tar.gz",
        "root/src/transformers/__init__.py",
        "root/tests/__init__.py",
        "root/tests/test_a_common.py",
    ]


@pytest.mark.parametrize(("arguments", "code"), [([], 75), (["--skip_if_offline"], 0)])
def test_offline_is_said(arguments, code, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert command.main(arguments) == code
    printed = capsys.readouterr().err
    assert printed.startswith("transformers' common tests were NOT run: the source distribution of transformers==")
    assert len(printed.splitlines()) == 1
    assert list((tmp_path / "genebert").iterdir()) == []  # nothing half-made stays
