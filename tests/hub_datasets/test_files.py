import errno
import os

import pytest

from hub_datasets.files import written_whole


def test_written_whole(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old")
    with written_whole(file) as stream:
        stream.write(b"new")
        stream.flush()
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError, r"/file: cannot be written \(No space left on"),
        (FileNotFoundError(errno.ENOENT, "No such file", "input"), FileNotFoundError, "No such file: 'input'"),
    ],
)
def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path, raised, expected, message):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(expected, match=message), written_whole(tmp_path / "file") as stream:
        stream.write(b"half")
        raise raised
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]


def test_no_such_folder(tmp_path):
    with (
        pytest.raises(OSError, match=r"gone/file: cannot be written \(No such file or directory\)"),
        written_whole(tmp_path / "gone" / "file"),
    ):
        raise AssertionError
