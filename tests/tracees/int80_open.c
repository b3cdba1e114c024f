/* A 64-bit program that makes 32-bit calls (int 0x80): number 5 is open there, fstat in x86_64. */
#include "tracee.h"
#include <sys/mman.h>

static long call32(long number, long first, long second, long third)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(second), "d"(third)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

int main(int argc, char **argv)
{
    enter(argc, argv);
    char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    must(low != MAP_FAILED);
    strcpy(low, "by-int80");
    long fd = call32(5, (long)low, O_RDONLY, 0);
    if (fd == -ENOSYS)
        return CANNOT_BE_TRIED_HERE;
    must(fd >= 0);
    must(call32(10, (long)strcpy(low, "deleted"), 0, 0) == 0); /* unlink */
    look("by-syscall");
    return 0;
}
