"""Where data are looked for, what a download must be, and what is said where there are none."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow
import pytest

from ohgw.core.errors import DataError
from ohgw.tasks import _data

CONTENT = b"a miniature file" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.endswith("absent"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path.endswith("cut") else CONTENT)
        self.server.asked.append(self.path)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def directories(tmp_path, monkeypatch):
    """A machine without data: its cache, and a working directory two levels down."""
    monkeypatch.setenv("OHGW_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OHGW_DATA", raising=False)
    here = tmp_path / "work" / "project"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    return tmp_path


def remote(server, path="file.bin", digest=DIGEST):
    url = f"http://127.0.0.1:{server.server_port}/{path}"
    return _data.Remote("sub/file.bin", url, digest, 0.016)


def test_a_download_is_checked_kept_and_not_repeated(server, directories, capsys):
    path = _data.obtain(remote(server))
    assert path == directories / "cache" / "sub" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert _data.obtain(remote(server)) == path
    assert server.asked == ["/file.bin"]
    assert "Downloading sub/file.bin" in capsys.readouterr().err
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("path", ["absent", "cut"])
def test_a_failed_download_names_the_places_and_the_remedy(server, directories, path):
    with pytest.raises(DataError) as caught:
        _data.obtain(remote(server, path), remark="Or do without.")
    message = str(caught.value)
    for part in (*map(str, _data.places()), "OHGW_DATA", "sub/file.bin", "Or do without."):
        assert part in message
    assert ("404" if path == "absent" else "SHA-256") in message
    kept = directories / "cache" / "sub"
    assert not kept.exists() or not list(kept.iterdir())


def test_nobody_answers(directories):
    dead = _data.Remote("file.bin", "http://127.0.0.1:9/file.bin", DIGEST, 0.016)
    with pytest.raises(DataError, match="failed"):
        _data.obtain(dead)


def test_places_in_their_order(directories, monkeypatch):
    monkeypatch.setenv("OHGW_DATA", str(directories / "given"))
    given, here, above, cache = _data.places()
    assert given == directories / "given"
    assert here == directories / "work" / "project" / "shared" / "data"
    assert above == directories / "work" / "shared" / "data"
    assert cache == directories / "cache"
    for place in (cache, above, here, given):  # each goes before those behind it
        place.mkdir(parents=True)
        (place / "file").write_text("here")
        assert _data.find("file") == place / "file"
    assert _data.find("other") is None


def test_a_found_file_that_is_another_is_refused(server, directories):
    path = directories / "cache" / "sub" / "file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=rf"{path} is not the published"):
        _data.obtain(remote(server))
    assert server.asked == []
    path.write_bytes(CONTENT)
    assert _data.obtain(remote(server)) == path


def test_zstandard(directories):
    path = directories / "text.zst"
    with pyarrow.output_stream(str(path), compression="zstd") as stream:
        stream.write(CONTENT)
    assert _data.read_zst(path) == CONTENT
    assert _data.read_zst(path, 100) == CONTENT[:100]
    path.write_bytes(b"something else")
    with pytest.raises(DataError, match="cannot be read"):
        _data.read_zst(path)


def test_the_cache_is_the_users(monkeypatch, directories):
    monkeypatch.delenv("OHGW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(directories))
    assert _data.cache_directory() == directories / "ohgw"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(directories))
    assert _data.cache_directory() == directories / ".cache" / "ohgw"
