"""Full images without any registry: Debian by mmdebstrap, and one of every kind of metadata."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import fullimage
from requirements import need

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = (
    *("python3", "python3-flask", "nodejs", "node-ms"),
    *("default-jdk-headless", "nginx-light"),
)


def make_debian_image(shared: Path) -> str:
    """A layout ``oci:DIR:latest`` of Debian with real apps in it, made once for all workers."""
    need("mmdebstrap", "umoci")
    layout = shared / "debian"
    with open(shared / "debian.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layout.exists():
            tar = shared / "debian.tar"
            fullimage.debian(PACKAGES, tar)
            part = f"{layout}.part"
            config = ("--config.env", f"PATH={fullimage.PATH}", "--config.cmd", "python3")
            make_layout([tar, _apps(shared)], part, *config)
            os.unlink(tar)
            os.rename(part, layout)
    return f"oci:{layout}:latest"


HELLO = """
public class Hello {
    public static void main(String[] words) {
        System.out.println("Hello, " + java.time.ZoneId.of("Europe/Berlin"));
    }
}
"""
ASKED = """
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.FileSystems;
import java.util.Map;

public class Asked {
    interface Answer { Object get() throws Exception; }

    public static void main(String[] words) throws Exception {
        var port = new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0]));
        var server = HttpServer.create(port, 0);
        answer(server, "/", () -> "hello from Java");
        answer(server, "/zip", () -> {
            var zip = URI.create("jar:file:/app/asked.jar");
            return FileSystems.newFileSystem(zip, Map.of()).provider().getClass().getModule();
        });
        answer(server, "/late", () -> Class.forName("java.rmi.Naming").getModule());
        server.start();
    }

    static void answer(HttpServer server, String path, Answer answer) {
        server.createContext(path, asked -> {
            int status = 200;
            String said;
            try {
                said = answer.get() + "\\n";
            } catch (Exception error) {
                status = 500;
                said = error + "\\n";
            }
            asked.sendResponseHeaders(status, said.length());
            asked.getResponseBody().write(said.getBytes());
            asked.close();
        });
    }
}
"""
"""A service that finds jdk.zipfs by its services alone, and java.rmi by a name in a string."""

NGINX = """
daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    include /etc/nginx/mime.types;
    server { listen 127.0.0.1:PORT; root /app/www; }
}
"""


def _apps(shared: Path) -> Path:
    """A layer with what the Debian packages are to run; nginx's port is in ``port``."""
    need("javac")
    top = shared / "apps"
    (top / "app" / "www").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (shared / "port").write_text(port)
    (top / "app" / "nginx.conf").write_text(NGINX.replace("PORT", port))
    (top / "app" / "www" / "index.html").write_text("hello from nginx\n")
    (top / "Hello.java").write_text(HELLO)
    run_command("javac", "-d", str(top / "app"), str(top / "Hello.java"))
    (top / "Asked.java").write_text(ASKED)
    run_command("javac", "-d", str(top / "asked"), str(top / "Asked.java"))
    jar = ("jar", "--create", "--file", str(top / "app" / "asked.jar"), "--main-class", "Asked")
    run_command(*jar, "-C", str(top / "asked"), ".")
    run_command(
        "tar", "--owner=0", "--group=0", "-C", str(top), "-cf", str(shared / "apps.tar"), "app"
    )
    return shared / "apps.tar"


def make_layout(layers: list[Path], layout: str, *config: str) -> str:
    """A layout of these tars, by umoci."""
    fullimage.layout_of(layers, layout, "latest", *config)
    return f"oci:{layout}:latest"


def run_command(*words: str, **options: object) -> str:
    """What a command that must succeed printed."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return str(done.stdout)


def unpack_image(image: str, folder: Path) -> Path:
    """The tree of ``oci:DIR:TAG`` as umoci unpacks it."""
    shutil.rmtree(folder, ignore_errors=True)
    words = ["umoci", "unpack", "--image", image.removeprefix("oci:"), str(folder)]
    if os.geteuid() != 0:
        words.insert(2, "--rootless")
    run_command(*words)
    return folder / "rootfs"
