/* Pointers and strings at the limits that the kernel accepts. */
#include "tracee.h"
#include <limits.h>
#include <sys/mman.h>

static char *two_pages(int second_page_protection)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(start != MAP_FAILED);
    must(mprotect(start + page, page, second_page_protection) == 0);
    return start + page;
}

/* "./././name" of exactly this many bytes */
static char *padded(const char *name, size_t length)
{
    char *path = malloc(length + 1);
    must(path != NULL);
    size_t start = length - strlen(name);
    must(start % 2 == 0);
    for (size_t i = 0; i < start; i++)
        path[i] = i % 2 ? '/' : '.';
    strcpy(path + start, name);
    return path;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    fails_with(EFAULT, syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY, 0));
    fails_with(EFAULT, syscall(SYS_openat, AT_FDCWD, 1, O_RDONLY, 0));
    fails_with(EFAULT, syscall(SYS_openat, AT_FDCWD, -1L, O_RDONLY, 0));
    fails_with(EFAULT, syscall(SYS_openat, AT_FDCWD, -4096L, O_RDONLY, 0));
    fails_with(EBADF, syscall(SYS_openat, 999, "on no directory", O_RDONLY, 0));
    fails_with(ENOENT, syscall(SYS_openat, AT_FDCWD, "", O_RDONLY, 0));

    char *unreadable = two_pages(PROT_NONE);
    look(memcpy(unreadable - sizeof "edge", "edge", sizeof "edge"));
    memcpy(unreadable - 4, "open", 4); /* no NUL before the page that cannot be read */
    fails_with(EFAULT, syscall(SYS_openat, AT_FDCWD, unreadable - 4, O_RDONLY, 0));
    char *readable = two_pages(PROT_READ | PROT_WRITE);
    look(memcpy(readable - 4, "crossing", sizeof "crossing"));

    look(padded("long", PATH_MAX - 2));
    look(padded("longest", PATH_MAX - 1));
    fails_with(ENAMETOOLONG, open(padded("too", PATH_MAX + 1), O_RDONLY));
    fails_with(ENAMETOOLONG, open(padded("much", PATH_MAX), O_RDONLY));
    char component[NAME_MAX + 2];
    memset(component, 'x', sizeof component - 1);
    component[sizeof component - 1] = '\0';
    fails_with(ENAMETOOLONG, open(component, O_RDONLY));
    component[NAME_MAX] = '\0';
    look(component);

    look("not utf-8 \xff\xfe");
    look("new\nline");
    look("quote\"back\\slash");
    look(".//./folded");
    look("sub/../dots");
    look("sub//");
    return 0;
}
