/* Addresses of sockets: "tcp:HOST:PORT", "tcp:[V6]:PORT", "unix:/path". Pure but for the look-up of names. */
#ifndef ENV_URING_ADDRESS_H
#define ENV_URING_ADDRESS_H

#include <sys/socket.h>

struct error;

struct address {
	struct sockaddr_storage storage;
	socklen_t size;
};

/* 0, or a negative errno with a sentence. */
int address_parse(const char *text, struct address *out_address, struct error *error);
/* The text of a bound socket's address; out has room for 256. */
void address_print(const struct address *address, char out[256]);

#endif
