/* Opens files through magic links, which lead to files of the caller (proc(5)). */
#include "tracee.h"

static void look_format(const char *format, int number)
{
    char name[64];
    snprintf(name, sizeof name, format, number);
    look(name);
}

int main(int argc, char **argv)
{
    char target[4096];
    enter(argc, argv);
    must(readlink("/proc/self/exe", target, sizeof target) > 0);
    look("/proc/self/exe");
    int first = open("by-fd", O_PATH), second = open("by-dev-fd", O_PATH);
    int third = open("by-thread", O_PATH), fourth = open("by-pid", O_PATH);
    must(first >= 0 && second >= 0 && third >= 0 && fourth >= 0);
    look_format("/proc/self/fd/%d", first);
    look_format("/dev/fd/%d", second);
    look_format("/proc/thread-self/fd/%d", third);
    snprintf(target, sizeof target, "/proc/%d/fd/%d", getpid(), fourth);
    look(target);
    look("/proc/self/cwd/by-cwd");
    snprintf(target, sizeof target, "/proc/self/root%s/by-root", argv[1]);
    look(target);
    return 0;
}
