/* The values a configuration key may have: one function a type. Pure. */
#ifndef DAEMON_CONFIG_VALUE_H
#define DAEMON_CONFIG_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* What a parser needs to know of its key. */
struct config_value {
	const char *text;   /* never NULL */
	const char *file;   /* of the configuration: relative paths start in its folder */
	void *target;
	size_t size;        /* bytes of the target, for texts */
	uint64_t min, max;  /* for numbers and sizes */
};

/* Each fills the target, or the error with one sentence without file and line. */
int config_value_id(const struct config_value *value, struct error *error);      /* letters, digits, '-', '_', '.' */
int config_value_path(const struct config_value *value, struct error *error);    /* made absolute to the file's folder */
int config_value_socket(const struct config_value *value, struct error *error);  /* a path, or "none" */
int config_value_host(const struct config_value *value, struct error *error);    /* HOST:PORT */
int config_value_url(const struct config_value *value, struct error *error);     /* http[s]://HOST[:PORT] */
int config_value_tcp(const struct config_value *value, struct error *error);     /* tcp:HOST:PORT */
int config_value_tcp_or_none(const struct config_value *value, struct error *error);
int config_value_level(const struct config_value *value, struct error *error);   /* enum log_level */
int config_value_tls(const struct config_value *value, struct error *error);     /* enum nbd_tls */
int config_value_size(const struct config_value *value, struct error *error);    /* uint64_t */
int config_value_number(const struct config_value *value, struct error *error);  /* uint32_t */
int config_value_secret(const struct config_value *value, struct error *error);

#endif
