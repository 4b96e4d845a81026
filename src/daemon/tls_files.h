/* The files that the configuration names for TLS. */
#ifndef DAEMON_TLS_FILES_H
#define DAEMON_TLS_FILES_H

struct config;
struct error;
struct tls_credentials;

/* Reads and checks them. Gives the credentials, or NULL when TLS is off; the error names the key and the file. Blocks. */
int tls_files_load(const struct config *config, struct tls_credentials **out_credentials, struct error *error);

#endif
