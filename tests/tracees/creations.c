/* Creates files that did not exist before the run. */
#include "tracee.h"

int main(int argc, char **argv)
{
    char name[64];
    enter(argc, argv);

    make("written first");
    look("written first");

    make("temporary");
    must(unlink("temporary") == 0);

    make("target.new");
    must(rename("target.new", "target") == 0); /* over an old file */
    look("target");

    make("fresh.new");
    must(rename("fresh.new", "fresh") == 0);
    look("fresh");

    int nameless = open(".", O_TMPFILE | O_RDWR, 0600);
    must(nameless >= 0);
    must(close(nameless) == 0);

    int named = open("sub", O_TMPFILE | O_RDWR, 0600);
    must(named >= 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", named);
    must(linkat(AT_FDCWD, name, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == 0);
    look("linked");

    /* a tree built elsewhere, then moved to its final path, as installers do */
    must(mkdir("stage", 0755) == 0);
    make("stage/file");
    must(rename("stage", "final") == 0);
    look("final/file");

    must(symlink("final", "alias") == 0);
    look("alias/file");

    must(link("old", "second name") == 0);
    look("second name");

    must(access("later", F_OK) == -1); /* missing first, then made */
    make("later");
    return 0;
}
