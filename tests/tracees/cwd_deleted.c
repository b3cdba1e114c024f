/* Changes the cwd with fchdir, then renames and deletes it while using it. */
#include "tracee.h"

int main(int argc, char **argv)
{
    enter(argc, argv);
    int top = open(".", O_RDONLY | O_DIRECTORY);
    must(top >= 0);
    must(mkdir("old", 0755) == 0);
    must(chdir("old") == 0);
    make("file");
    must(rename("../old", "../renamed") == 0);
    look("file");
    must(unlink("file") == 0);
    must(unlinkat(top, "renamed", AT_REMOVEDIR) == 0);
    fails_with(ENOENT, open("file", O_RDONLY));
    fails_with(ENOENT, open("made", O_WRONLY | O_CREAT, 0644));
    must(fchdir(top) == 0);
    look("back");
    return 0;
}
