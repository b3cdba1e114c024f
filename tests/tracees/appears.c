/* Looks up names that do not exist, then again after they were created: under another name of the
 * same path, by another process, by a move, or from outside (with argv[2] it waits for that). */
#include "tracee.h"

static void absent(const char *name)
{
    for (int i = 0; i < 3; i++)
        fails_with(ENOENT, access(name, F_OK));
}

static void made_by_child(const char *name)
{
    pid_t child = fork();
    if (child == 0) {
        make(name);
        _exit(0);
    }
    must(child > 0);
    reap(child);
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    if (argc > 2 && strcmp(argv[2], "outside") == 0) {
        absent("flag");
        make("waiting");
        while (access("flag", F_OK) != 0)
            must(usleep(10000) == 0);
        look("flag");
        make("seen");
        return 0;
    }

    absent("by-child");
    made_by_child("by-child");
    look("by-child");

    absent("sub/by-dots");
    make("sub/../sub/by-dots");
    look("sub/by-dots");

    absent("sub/by-symlink");
    make("alias/by-symlink");
    look("sub/by-symlink");

    absent("by-magic");
    make("/proc/self/cwd/by-magic");
    look("by-magic");

    absent("by-descriptor");
    int fd = openat(open("sub", O_PATH), "../by-descriptor", O_WRONLY | O_CREAT, 0644);
    must(fd >= 0);
    look("by-descriptor");

    absent("moved/inside");
    must(rename("tree", "moved") == 0);
    look("moved/inside");

    absent("link/inside");
    must(symlink("sub", "link") == 0);
    look("link/inside");

    absent("hard");
    must(link("sub/inside", "hard") == 0);
    look("hard");

    look("sub/inside"); /* the reverse: existing, deleted, created again */
    must(unlink("sub/inside") == 0);
    absent("sub/inside");
    make("sub/inside");
    look("sub/inside");
    return 0;
}
