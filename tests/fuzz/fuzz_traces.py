"""Fuzz trace files of any bytes: each gives a selection or is refused; no other file is accessed.

An input is a byte of build options, then one or two trace files with a separator line between them.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import json_mutation
from watch import Watch

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.pipeline import select
from slimtrace.builder.root.root import Root
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.syscalls.classes import HOT
from slimtrace.tracer.trace.document import make_document
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    import random

SEPARATOR = b"\n--\n"
_PLAIN = b"""\
{"slimtrace":1,"version":"0"}
{"run":{"command":["/bin/script"],"cwd":"/work","user":"1:2","env":{"PATH":"/bin","LD_LIBRARY_PATH":"/lib:x"},"image":"rootfs:/","image_digest":null,"started":"2024-01-01T00:00:00Z","machine":"x86_64","engine":"notify","stop_signal":null,"mounts":["/srv:/data:ro"],"network":"none","hostname":"h","driving":{"ready":"log:up","ready_status":"2xx","ready_timeout":5,"http_get":["/"],"exec_b64":["L27//nQ="],"exec_in":[{"argv":["a"]}],"exec_timeout":7.5,"stop_after":1,"stop_signal":"SIGHUP","stop_grace":3,"crawl":1,"http_headers":["A:b"],"requests":[{"method":"PUT","target":"/","headers":[{"name":"A","value":"b"}],"body":"{}","references":["a.response.body.x"],"optional":true}],"order":["http_get","exec","request","exec_in"]}}}
{"process":1,"parent":null,"exe":"/bin/script","argv":["script"]}
{"process":2,"parent":1,"exe_b64":"L27//nQ=","argv_b64":["L27//nQ="]}
{"p":1,"t":0.5,"use":"exec","path":"/bin/script","was":"file"}
{"p":1,"t":0.5,"use":"exec","path":"/bin/true","was":"file"}
{"p":1,"t":0.5,"use":"read","path":"/out","was":"file"}
{"p":1,"t":0.5,"use":"read","path":"/up/x","was":"file"}
{"p":1,"t":0.5,"use":"readlink","path":"/rel","was":"file"}
{"p":1,"t":0.5,"use":"read","path":"/work/../etc/passwd","was":"file"}
{"p":2,"t":0.6,"use":"read","path":"/gone","was":"file","stat":[33188,0,0,5,1]}
{"p":2,"t":0.6,"use":"stat","path_b64":"L27//nQ=","was":"missing"}
{"p":2,"t":0.6,"use":"list","path":"/work","was":"file","stat":[16877,0,0,0,0]}
{"p":2,"t":0.7,"use":"create","path":"/work/new/er","was":"created"}
{"p":2,"t":0.7,"use":"connect","path":"/pipe","was":"file"}
{"save":"/gone","blob":"kept","stat":[33188,0,0,5,1]}
{"syscall":"openat"}
{"counts":{"openat":3}}
{"listen":"tcp","port":8080}
{"gap":"io-uring-refused","detail":"why"}
{"exit":2,"status":9}
{"driven":{"ready":0.2,"answers":[{"driver":"x","status":null}],"failure":"cannot"}}
{"end":{"seconds":0.8,"exit_status":9,"signal":null,"complete":true}}
{"healed":"/work/late"}
{"jvm":"/jdk","modules":["java.base"],"of":0}
"""


class Target:
    """The code under test, with its own directory."""

    def __init__(self, box: str) -> None:
        self._root = os.path.join(box, "root")
        self._traces = [os.path.join(box, name) for name in ("one", "two")]
        _make_root(box, self._root)
        folders = [f"{trace}.d" for trace in self._traces]
        for folder in folders:
            os.mkdir(folder)
            shutil.copy("/bin/true", os.path.join(folder, "true"))
            with open(os.path.join(folder, "kept"), "w") as file:
                file.write("kept\n")
            os.symlink("../outside/secret", os.path.join(folder, "link"))
        self._watch = Watch(self._root, *self._traces, *folders)

    def one(self, data: bytes) -> bool:
        """Return whether there is a selection.

        :raises AssertionError: a property that must always hold does not.
        """
        texts = data[1:].split(SEPARATOR)[:2]
        for path, text in zip(self._traces, texts, strict=False):
            with open(path, "wb") as file:
                file.write(text)
        try:
            with self._watch.on():
                trace = read_trace(self._traces[: len(texts)])
                make_document(trace, HOT)
                if not trace.runs:  # select()'s caller checks this
                    return False
                selection = select(trace, Root(self._root, trace.saved), _options(data[0]))
        except SlimtraceError as error:
            assert error.message.startswith("cannot "), error.message  # noqa: PT017 -- no test
            return False
        for entry in selection.entries.values():
            source = entry.source
            assert source is None or self._watch.allows(source), (
                f"the image would contain {source!r}"
            )
        return True

    def seeds(self) -> list[bytes]:
        """Return valid traces."""
        saved = _PLAIN.replace(b'"/gone","blob":"kept"', b'"/bin/true","blob":"true"')
        both = _PLAIN + SEPARATOR + saved
        return [bytes([how]) + text for how in (1, 0x7F) for text in (_PLAIN, saved, both)]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Change a value of one line, or the order of lines."""
        lines = data[1:].split(b"\n")
        at = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines) + 1), lines[at])
            case _:
                lines[at] = json_mutation.mutate(lines[at], rng)
        return data[:1] + b"\n".join(lines)


def _options(how: int) -> BuildOptions:
    return BuildOptions(
        allow_changed=bool(how & 1),
        grant_read=bool(how & 2),
        grant_write=bool(how & 4),
        include=("/work/**", "/up/*", "/out") if how & 8 else (),
        exclude=("/lib",) if how & 16 else (),
        allow_secret=("/**",) if how & 32 else (),
        user="user" if how & 64 else None,
    )


def _make_root(box: str, root: str) -> None:
    """Make a small root with symlinks that lead out, and their targets outside."""
    for folder in ("root/bin", "root/lib", "root/etc", "root/work/sub", "outside"):
        os.makedirs(os.path.join(box, folder))
    shutil.copy("/bin/true", os.path.join(root, "bin/true"))
    files = {
        "root/bin/script": "#!/bin/true -x\n",
        "root/bin/leads-out": "#!../../outside/secret\n",
        "root/etc/passwd": "root:x:0:0::/:/bin/sh\nuser:x:7:8::/:/bin/sh\n",
        "root/etc/group": "user:x:8:\n",
        "root/work/id_rsa": "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        "outside/secret": "secret\n",
    }
    for name, text in files.items():
        with open(os.path.join(box, name), "w") as file:
            file.write(text)
        os.chmod(os.path.join(box, name), 0o700)
    links = {
        "out": f"{box}/outside/secret",
        "up": "../../outside",
        "rel": "bin/../out",
        "loop": "loop",
        "lib64": "/lib",
        "lib/out.so": "../../outside/secret",
    }
    for name, target in links.items():
        os.symlink(target, os.path.join(root, name))
    os.mkfifo(os.path.join(root, "pipe"))
