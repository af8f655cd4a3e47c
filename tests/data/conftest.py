"""A web server of this machine, so that downloads are tested without a network."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve({"name": content}, cut=5)` gives the address of a server that keeps back the last 5 bytes."""
    servers = []

    def start(files: dict[str, bytes], cut: int = 0) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = files.get(self.path.removeprefix("/"))
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write((content or b"")[: len(content or b"") - cut])

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
