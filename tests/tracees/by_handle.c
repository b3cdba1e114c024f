/* Opens a file by a handle: the call has no path. */
#include "tracee.h"

int main(int argc, char **argv)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + 128];
    } file = {.handle = {.handle_bytes = 128}};
    int mount;
    enter(argc, argv);
    if (name_to_handle_at(AT_FDCWD, "file", &file.handle, &mount, 0) != 0)
        return CANNOT_BE_TRIED_HERE;
    int directory = open("/", O_RDONLY | O_DIRECTORY);
    must(directory >= 0);
    int fd = open_by_handle_at(directory, &file.handle, O_RDONLY);
    return fd >= 0 ? 0 : CANNOT_BE_TRIED_HERE;
}
