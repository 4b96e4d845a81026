/* What credentials.c and session.c share. */
#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H

#include <gnutls/gnutls.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tls/psk.h"

/* But for the count, nothing changes after tls_credentials_new; GnuTLS only reads, too, and counts what it keeps atomically. */
struct tls_credentials {
	atomic_uint references;
	gnutls_certificate_credentials_t certificate; /* NULL without */
	gnutls_psk_server_credentials_t psk_server;   /* NULL without */
	gnutls_priority_t priority;
	bool demands_certificate; /* of clients */
	struct psk_keys *keys;
	int64_t expiry;
};

#endif
