"""Writes to the home and to /tmp, and looks up names of users."""

import os
import pwd
import sys
import tempfile

if sys.argv[1:] == ["--others"]:
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    print(pwd.getpwuid(os.getuid()).pw_name, group, os.path.expanduser("~root"))
else:
    folder = os.path.join(os.environ["HOME"], ".cache", "job")
    os.makedirs(folder, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir="/tmp") as draft:
        draft.write("done\n")
    path = os.path.join(folder, "last")
    with open(path, "w") as file:
        file.write("done\n")
    print(pwd.getpwuid(os.getuid()).pw_name, "wrote", path)
