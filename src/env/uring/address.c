#include "env/uring/address.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"

static int parse_unix(const char *path, struct address *out_address, struct error *error)
{
	struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out_address->storage;

	if (path[0] != '/' || strlen(path) >= sizeof un->sun_path)
		return error_set(error, -EINVAL, "the socket path \"%s\" must begin with / and be shorter than %zu characters",
				 path, sizeof un->sun_path);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, strlen(path) + 1);
	out_address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	return 0;
}

/* Splits "HOST:PORT" or "[V6]:PORT". */
static int split_host(const char *text, char *host, size_t host_size, const char **out_port)
{
	const char *colon = strrchr(text, ':');
	size_t size;

	if (colon == NULL || colon[1] == 0)
		return -EINVAL;
	size = (size_t)(colon - text);
	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= host_size)
		return -EINVAL;
	memcpy(host, text, size);
	host[size] = 0;
	*out_port = colon + 1;
	return 0;
}

int address_parse(const char *text, struct address *out_address, struct error *error)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
	char host[256];
	const char *port;
	int result;

	memset(out_address, 0, sizeof *out_address);
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out_address, error);
	if (strncmp(text, "tcp:", 4) != 0 || split_host(text + 4, host, sizeof host, &port) < 0)
		return error_set(error, -EINVAL, "\"%s\" is not an address: write tcp:HOST:PORT or unix:/path", text);
	result = getaddrinfo(host, port, &hints, &found);
	if (result != 0)
		return error_set(error, -EHOSTUNREACH, "cannot look up \"%s\": %s", text, gai_strerror(result));
	memcpy(&out_address->storage, found->ai_addr, found->ai_addrlen);
	out_address->size = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

void address_print(const struct address *address, char out[256])
{
	char host[128], port[16];

	if (address->storage.ss_family == AF_UNIX) {
		snprintf(out, 256, "unix:%s", ((const struct sockaddr_un *)(const void *)&address->storage)->sun_path);
		return;
	}
	if (getnameinfo((const struct sockaddr *)(const void *)&address->storage, address->size, host, sizeof host, port,
			sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, 256, "tcp:?");
	else
		snprintf(out, 256, strchr(host, ':') != NULL ? "tcp:[%s]:%s" : "tcp:%s:%s", host, port);
}
