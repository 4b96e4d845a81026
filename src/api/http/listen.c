/* The listening socket is made here, not by libmicrohttpd, so that a failure can say why. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/internal.h"
#include "base/error.h"

#define BACKLOG 128

/* "HOST:PORT" or "[V6]:PORT" into its two parts. */
static int address_split(const char *address, char *out_host, size_t size, const char **out_port)
{
	const char *colon = strrchr(address, ':');
	size_t length;

	if (colon == NULL || colon == address)
		return -EINVAL;
	length = (size_t)(colon - address);
	if (address[0] == '[' && colon[-1] == ']') {
		address++;
		length -= 2;
	}
	if (length >= size)
		return -EINVAL;
	memcpy(out_host, address, length);
	out_host[length] = '\0';
	*out_port = colon + 1;
	return 0;
}

static int address_describe(int fd, char *out, size_t size)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	char host[128], port[16];

	if (getsockname(fd, (struct sockaddr *)&bound, &length) < 0)
		return -errno;
	if (getnameinfo((struct sockaddr *)&bound, length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return -EINVAL;
	snprintf(out, size, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
	return 0;
}

static int address_bind(const struct addrinfo *info, int *out_socket)
{
	int one = 1;
	int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int code;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
		*out_socket = fd;
		return 0;
	}
	code = -errno;
	close(fd);
	return code;
}

int http_listen(const char *address, int *out_socket, char *out_address, size_t size, struct error *error)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	char host[128];
	const char *port;
	int code = address_split(address, host, sizeof(host), &port);

	if (code < 0)
		return error_set(error, code, "\"%.100s\" is not HOST:PORT", address);
	code = getaddrinfo(host, port, &hints, &found);
	if (code != 0)
		return error_set(error, -EADDRNOTAVAIL, "cannot find the address \"%.100s\": %s", address, gai_strerror(code));
	code = address_bind(found, out_socket);
	freeaddrinfo(found);
	if (code < 0)
		return error_set_errno(error, code, "cannot listen on %.100s", address);
	code = address_describe(*out_socket, out_address, size);
	if (code < 0) {
		close(*out_socket);
		return error_set_errno(error, code, "cannot listen on %.100s", address);
	}
	return 0;
}
