"""Real programs and services; one command starts, uses and stops each of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HELLO = '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'
GIT = """
git init -q . && git add . && git commit -q -m first && echo more >>a && git status --short
git commit -q -a -m second && git log --stat >log && git checkout -q -b side HEAD~1
git merge -q side && git gc -q
"""
PERL = """
use File::Find; use File::Temp; use POSIX; use Data::Dumper;
find(sub { -f and open(my $f, "<", $_) and <$f> }, ".");
rename "a", "renamed"; mkdir "made"; chmod 0600, "renamed"; symlink "made", "link";
"""

NODE = """
const fs = require("fs"); require("./a"); require("crypto").randomBytes(4);
fs.readFileSync("a.js");
Promise.all([1, 2, 3].map(n => fs.promises.stat(`none${n}`).catch(() => 0)));
"""
JAVA = """
public class Hello { public static void main(String[] a) throws Exception {
  java.nio.file.Files.writeString(java.nio.file.Path.of("out"), "hello"); } }
"""

GO = {
    "go.mod": "module example.org/hello\n\ngo 1.18\n",
    "hello.go": 'package main\n\nimport "example.org/hello/say"\n\nfunc main() { say.Hello() }\n',
    "say/say.go": 'package say\n\nfunc Hello() { println("hello") }\n',
}
# One thread and one job at a time, so that every run makes the same calls. The first run compiles
# the standard library into a cache, so each later run compiles only the two packages. The files get
# an old mtime: go caches package files that are older than two seconds, by their mtimes.
GO_BUILD = """
export GOMAXPROCS=1 GOPATH="$PWD/path" GOENV=off GOPROXY=off CGO_ENABLED=0
touch -d 2024-01-01 go.mod *.go say/*.go
[ -d "$HOME/cache" ] || GOCACHE="$HOME/cache" go build runtime
cp -r "$HOME/cache" cache
GOCACHE="$PWD/cache" go build -o hello . && ./hello
"""

MAKEFILE = """
CFLAGS := -O1 -Iinclude
OBJECTS := $(patsubst src/%.c,out/%.o,$(wildcard src/*.c))
greet: $(OBJECTS)
\t$(CC) -o $@ $^
out/%.o: src/%.c include/greet.h | out
\t$(CC) $(CFLAGS) -c -o $@ $<
out:
\tmkdir $@
install: greet
\tmkdir -p to/bin && cp greet to/bin/ && ln -s greet to/bin/hello
clean:
\trm -rf out greet
"""
MAKE = {
    "Makefile": MAKEFILE,
    "include/greet.h": "void greet(const char *name);\nconst char *name(void);\n",
    "src/main.c": '#include "greet.h"\nint main(void) { greet(name()); }\n',
    "src/greet.c": '#include <stdio.h>\n#include "greet.h"\nvoid greet(const char *n) { puts(n); }',
    "src/name.c": '#include "greet.h"\nconst char *name(void) { return "hello"; }\n',
}

METADATA = "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
POINTS = "[console_scripts]\nhello = hello:main\n"
INFO = "hello-1.0.dist-info"
RECORD = "".join(
    f"{name},,\n"
    for name in (
        "hello/__init__.py",
        *(f"{INFO}/{part}" for part in ("METADATA", "WHEEL", "entry_points.txt", "RECORD")),
    )
)
PIP = f"""
set -- {sys.executable}
"$1" -m zipfile -c hello-1.0-py3-none-any.whl hello {INFO}
"$1" -m pip install -q --no-index --disable-pip-version-check --target to hello-*.whl
"""

CONTROL = """Package: slimtrace-hello
Version: 1.0
Architecture: all
Maintainer: somebody <somebody@example.org>
Description: nothing
"""
# The package is built here and the package lists are empty, so mirrors have no influence.
APT = """
dpkg-deb -b hello hello.deb >/dev/null
apt-get -q -o Dir::State::lists="$PWD/lists" --simulate install ./hello.deb
"""

# Services listen on sockets in their own directory: no port can be in use, and the trace has paths.
# A client sleeps before its first request, so that every run makes the same calls.
NGINX_CONF = """
daemon off;
user root;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {}
http {
    include types;
    access_log access.log;
    client_body_temp_path temp/body; proxy_temp_path temp/proxy; fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi; scgi_temp_path temp/scgi;
    server { listen unix:nginx.sock; root site; }
}
"""
NGINX = """
nginx -p . -c nginx.conf -e error.log &
while sleep 0.2; ! curl -sf --unix-socket nginx.sock http://localhost/ >answer; do :; done
curl -s --unix-socket nginx.sock http://localhost/absent >absent
kill -QUIT $! && wait $!
"""
REDIS_CONF = """
port 0
unixsocket redis.sock
save ""
appendonly yes
"""
REDIS = """
redis-server redis.conf >log &
while sleep 0.2; ! redis-cli -s redis.sock ping >/dev/null 2>&1; do :; done
redis-cli -s redis.sock set greeting hello
redis-cli -s redis.sock save
redis-cli -s redis.sock shutdown save
wait $!
"""
# initdb refuses to run as root, so root runs it as another user.
INITDB = """
if [ "$(id -u)" = 0 ]; then
    chmod 777 .
    set -- setpriv --reuid=65534 --regid=65534 --clear-groups
fi
"$@" initdb -D data -U postgres -A trust -E UTF8 --no-locale --no-sync
"""

SQLITE = """
create table t (a integer primary key, b text); create index i on t (b);
insert into t (b) values ('hello'), ('world');
pragma journal_mode = wal; insert into t (b) values ('more'); pragma journal_mode = delete;
vacuum;
.backup copy.db
attach 'other.db' as other; create table other.u as select * from t;
.output out.csv
select * from u order by b;
"""


@dataclass(frozen=True)
class Program:
    """One command and the tree that it runs in.

    :ivar needs: the programs that it runs, in addition to ``argv[0]``.
    """

    summary: str
    argv: Sequence[str]
    tree: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ()


PROGRAMS = (
    Program("python imports", [sys.executable, "-c", "import json, ssl, sqlite3, subprocess"]),
    Program("git", ["sh", "-ec", GIT], {"a": "1\n", "sub/b": "2\n", "link": "-> a"}, needs=["git"]),
    Program(
        "find",
        ["find", ".", "-newer", "a", "-o", "-type", "l", "-o", "-name", "*.c", "-size", "+1k"],
        {"a": "", "b.c": "", "sub/deeper/c.c": "", "sub/link": "-> ../a", "sub/loop": "-> ."},
    ),
    Program("gcc", ["gcc", "-O1", "-o", "hello", "hello.c"], {"hello.c": HELLO}),
    Program(
        "a bash pipeline",
        ["bash", "-c", "cat [ab] | sort -r | tee c | wc -l; cd sub; ls -l >../d; . ./e; [ -w / ]"],
        {"a": "1\n", "b": "2\n", "sub/e": "cd ..; cat <(cat a) >/dev/null; rm b; exec stat a\n"},
    ),
    Program("perl", ["perl", "-e", PERL], {"a": "1\n", "sub/b": "2\n"}),
    Program(
        "node", ["node", "-e", NODE], {"a.js": "exports.a = require('./sub/b');", "sub/b.js": ""}
    ),
    Program("java", ["java", "-Xshare:off", "Hello.java"], {"Hello.java": JAVA}),
    Program(
        "cp and tar",
        ["sh", "-ec", "cp -a sub copy; tar -czf t.tgz copy; tar -xzf t.tgz -C x"],
        {"sub/a": "1\n", "sub/link": "-> a", "x/": ""},
    ),
    Program("go build", ["sh", "-ec", GO_BUILD], GO, needs=["go"]),
    Program(
        "make -j2", ["sh", "-ec", "make -j2 -s install && make -s clean"], MAKE, needs=["make"]
    ),
    Program(
        "pip install",
        ["sh", "-ec", PIP],
        {
            "hello/__init__.py": "def main(): print('hello')\n",
            f"{INFO}/METADATA": METADATA,
            f"{INFO}/WHEEL": WHEEL,
            f"{INFO}/entry_points.txt": POINTS,
            f"{INFO}/RECORD": RECORD,
        },
    ),
    Program(
        "apt-get --simulate",
        ["sh", "-ec", APT],
        {"hello/DEBIAN/control": CONTROL, "hello/usr/share/hello": "hello\n", "lists/": ""},
        needs=["apt-get", "dpkg-deb"],
    ),
    Program(
        "nginx",
        ["sh", "-ec", NGINX],
        {
            "nginx.conf": NGINX_CONF,
            "types": "types { text/html html; }\n",
            "site/index.html": "hello\n",
            "temp/": "",
        },
        needs=["nginx", "curl"],
    ),
    Program(
        "redis",
        ["sh", "-ec", REDIS],
        {"redis.conf": REDIS_CONF},
        needs=["redis-server", "redis-cli"],
    ),
    Program("initdb", ["sh", "-ec", INITDB], needs=["initdb"]),
    Program("sqlite3", ["sqlite3", "-batch", "a.db", ".read script"], {"script": SQLITE}),
)
