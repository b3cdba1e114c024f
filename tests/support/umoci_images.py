"""Full images built without a registry: Debian packages by mmdebstrap, layouts by umoci."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import full_image
from debian_base import make_debian_layers
from requirements import need

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = (
    *("python3", "python3-flask", "nodejs", "node-ms"),
    *("default-jdk-headless", "nginx-light"),
)


def make_debian_image(shared: Path) -> str:
    """Build a layout ``oci:DIR:latest`` of Debian with real apps, once for all workers."""
    need("mmdebstrap", "umoci")
    layout = shared / "debian"
    with open(shared / "debian.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layout.exists():
            work, part = shared / "debian.work", f"{layout}.part"
            layers = make_debian_layers(PACKAGES, work, shared / "samples")
            config = ("--config.env", f"PATH={full_image.PATH}", "--config.cmd", "python3")
            make_layout([*layers, _apps(shared)], part, *config)
            shutil.rmtree(work)
            os.rename(part, layout)
    return f"oci:{layout}:latest"


HELLO = """
public class Hello {
    public static void main(String[] words) {
        System.out.println("Hello, " + java.time.ZoneId.of("Europe/Berlin"));
    }
}
"""
SERVICE = """
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
"""It uses jdk.zipfs only as a service provider, and java.rmi only by a name in a string."""

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
    """Make a layer with the apps for Debian's programs; the file ``port`` contains nginx's port."""
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
    (top / "Asked.java").write_text(SERVICE)
    run_command("javac", "-d", str(top / "asked"), str(top / "Asked.java"))
    jar = ("jar", "--create", "--file", str(top / "app" / "asked.jar"), "--main-class", "Asked")
    run_command(*jar, "-C", str(top / "asked"), ".")
    run_command(
        "tar", "--owner=0", "--group=0", "-C", str(top), "-cf", str(shared / "apps.tar"), "app"
    )
    return shared / "apps.tar"


def make_layout(layers: list[Path], layout: str, *config: str) -> str:
    """Make a layout of these tars with umoci."""
    full_image.make_layout(layers, layout, "latest", *config)
    return f"oci:{layout}:latest"


def run_command(*argv: str, **options: object) -> str:
    """Run a command that must succeed; return its output."""
    done = subprocess.run(argv, check=False, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return str(done.stdout)


def unpack_image(image: str, folder: Path) -> Path:
    """Unpack ``oci:DIR:TAG`` with umoci; return the tree."""
    shutil.rmtree(folder, ignore_errors=True)
    argv = ["umoci", "unpack", "--image", image.removeprefix("oci:"), str(folder)]
    if os.geteuid() != 0:
        argv.insert(2, "--rootless")
    run_command(*argv)
    return folder / "rootfs"
