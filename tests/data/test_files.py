import functools
import hashlib
import http.server
import threading

import pytest

from sparse_search.data import files
from sparse_search.data.files import Origin, Remote
from sparse_search.errors import UserError

ORIGIN = Origin("own", "Own", "where it is from")
CONTENT = b"what is published"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The address of a folder that is published on this machine."""
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "file.bin").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=tmp_path / "published")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def require(data_dir, url, content=CONTENT):
    remote = Remote(url, f"md5:{hashlib.md5(content).hexdigest()}")
    return files.require(ORIGIN, files.places(ORIGIN, data_dir), ["file.bin"], remote)


@pytest.mark.parametrize("given", [True, False])
def test_a_download_goes_to_the_data_sets_folder(tmp_path, published, given):
    (tmp_path / "data").mkdir()
    data_dir = tmp_path / "data" if given else ""
    path = require(data_dir, f"{published}/file.bin")
    assert path.read_bytes() == CONTENT and path.parent.name == "own"
    assert not given or path.parent.parent == data_dir
    # Once there, it is found.
    assert require(data_dir, f"{published}/gone/file.bin") == path


def test_a_download_that_fails(tmp_path, published):
    for url, content, words in (
        (f"{published}/other.bin", CONTENT, "(HTTP status 404)"),
        (f"{published}/file.bin", b"else", "(what came has another checksum)"),
    ):
        with pytest.raises(UserError) as caught:
            require(tmp_path, url, content)
        message = str(caught.value)
        assert f"downloading {url} failed {words}: get it from where it is" in message
        assert not (tmp_path / "own" / "file.bin").exists()


def test_the_own_subfolder_comes_first(tmp_path):
    for folder in (tmp_path, tmp_path / "own"):
        folder.mkdir(exist_ok=True)
        (folder / "file.bin").write_bytes(b"")
    assert require(tmp_path, "http://none/") == tmp_path / "own" / "file.bin"
    (tmp_path / "own" / "file.bin").unlink()
    assert require(tmp_path, "http://none/") == tmp_path / "file.bin"
