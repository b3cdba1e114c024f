/* Serves HTTP on a unix socket: PATH [FILE]; FILE is made a moment after the socket listens. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n";
    char request[4096];
    int server = socket(AF_UNIX, SOCK_STREAM, 0);

    usleep(100000);
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 8))
        return 1;
    if (argc > 2) {
        usleep(100000);
        close(open(argv[2], O_CREAT | O_WRONLY, 0600));
    }
    for (;;) {
        int client = accept(server, 0, 0);
        if (read(client, request, sizeof request) > 0
            && write(client, answer, sizeof answer - 1) < 0)
            return 2;
        close(client);
    }
}
