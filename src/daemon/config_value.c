/* See config_value.h. Every refusal is its own sentence, with the value in it (secrets excepted). */
#include "daemon/config_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/config.h"

#define SHOWN 60 /* characters of a bad value that are repeated in the message */

static int value_copy(const struct config_value *value, const char *text, struct error *error)
{
	size_t length = strlen(text);

	if (length >= value->size)
		return error_set(error, -EINVAL, "\"%.*s...\" is longer than %zu characters", SHOWN, text, value->size - 1);
	memcpy(value->target, text, length + 1);
	return 0;
}

int config_value_id(const struct config_value *value, struct error *error)
{
	const char *text = value->text;

	if (*text == '\0')
		return error_set(error, -EINVAL, "the value is empty");
	for (const char *c = text; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return error_set(error, -EINVAL, "\"%.*s\" may hold letters, digits, '-', '_' and '.' only", SHOWN, text);
	return value_copy(value, text, error);
}

int config_value_path(const struct config_value *value, struct error *error)
{
	const char *slash = value->file == NULL ? NULL : strrchr(value->file, '/');
	char *target = value->target;

	if (value->text[0] == '\0')
		return error_set(error, -EINVAL, "the path is empty");
	if (value->text[0] == '/' || slash == NULL)
		return value_copy(value, value->text, error);

	size_t folder = (size_t)(slash - value->file) + 1;
	size_t length = strlen(value->text);

	if (folder + length >= value->size)
		return error_set(error, -EINVAL, "the path is longer than %zu characters", value->size - 1);
	memcpy(target, value->file, folder);
	memcpy(target + folder, value->text, length + 1);
	return 0;
}

int config_value_socket(const struct config_value *value, struct error *error)
{
	if (strcmp(value->text, "none") == 0)
		return value_copy(value, "", error);
	return config_value_path(value, error);
}

/* "HOST:PORT", with an IPv6 host in brackets. */
static bool host_port_is_good(const char *text)
{
	const char *colon = strrchr(text, ':');
	char *end = NULL;

	if (colon == NULL || colon == text)
		return false;
	if (text[0] == '[' ? colon[-1] != ']' : memchr(text, ':', (size_t)(colon - text)) != NULL)
		return false;
	if (!isdigit((unsigned char)colon[1]))
		return false;

	unsigned long port = strtoul(colon + 1, &end, 10);

	return *end == '\0' && port <= 65535;
}

int config_value_host(const struct config_value *value, struct error *error)
{
	if (!host_port_is_good(value->text))
		return error_set(error, -EINVAL, "\"%.*s\" is not HOST:PORT, for example 127.0.0.1:8650", SHOWN, value->text);
	return value_copy(value, value->text, error);
}

/* Goes into links as it stands, so nothing may follow the port. */
int config_value_url(const struct config_value *value, struct error *error)
{
	const char *text = value->text, *mark = strstr(text, "://"), *host = mark == NULL ? "" : mark + 3;
	size_t size = strspn(host, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.[:]");

	if ((strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0) || size == 0 || host[size] != '\0' ||
	    (strchr(host, ':') != NULL && !host_port_is_good(host)))
		return error_set(error, -EINVAL, "\"%.*s\" is not http://HOST:PORT or https://HOST:PORT", SHOWN, text);
	return value_copy(value, text, error);
}

int config_value_tcp(const struct config_value *value, struct error *error)
{
	if (strncmp(value->text, "tcp:", 4) != 0 || !host_port_is_good(value->text + 4))
		return error_set(error, -EINVAL, "\"%.*s\" is not tcp:HOST:PORT, for example tcp:127.0.0.1:8651", SHOWN,
				 value->text);
	return value_copy(value, value->text, error);
}

int config_value_tcp_or_none(const struct config_value *value, struct error *error)
{
	if (strcmp(value->text, "none") == 0)
		return value_copy(value, "", error);
	return config_value_tcp(value, error);
}

int config_value_level(const struct config_value *value, struct error *error)
{
	for (int level = 0; level < LOG_LEVELS; level++) {
		if (strcmp(value->text, log_level_name((enum log_level)level)) == 0) {
			*(enum log_level *)value->target = (enum log_level)level;
			return 0;
		}
	}
	return error_set(error, -EINVAL, "\"%.*s\" is not a level: error, warning, info or debug", SHOWN, value->text);
}

int config_value_tls(const struct config_value *value, struct error *error)
{
	static const char *const names[] = { [NBD_TLS_OFF] = "off", [NBD_TLS_ALLOWED] = "allowed", [NBD_TLS_REQUIRED] = "required" };

	for (size_t mode = 0; mode < sizeof(names) / sizeof(names[0]); mode++) {
		if (strcmp(value->text, names[mode]) == 0) {
			*(enum nbd_tls *)value->target = (enum nbd_tls)mode;
			return 0;
		}
	}
	return error_set(error, -EINVAL, "\"%.*s\" is not off, allowed or required", SHOWN, value->text);
}

int config_parse_size(const char *text, uint64_t *out_bytes)
{
	static const char suffixes[] = "KMGT";
	char *end = NULL;
	unsigned shift = 0;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;

	unsigned long long number = strtoull(text, &end, 10);

	if (errno != 0)
		return -EINVAL;
	if (*end != '\0') {
		const char *suffix = strchr(suffixes, toupper((unsigned char)*end));

		if (suffix == NULL || end[1] != '\0')
			return -EINVAL;
		shift = 10 * (unsigned)(suffix - suffixes + 1);
	}
	if (number > UINT64_MAX >> shift)
		return -EINVAL;
	*out_bytes = (uint64_t)number << shift;
	return 0;
}

int config_value_size(const struct config_value *value, struct error *error)
{
	uint64_t bytes;

	if (config_parse_size(value->text, &bytes) < 0)
		return error_set(error, -EINVAL, "\"%.*s\" is not a size, for example 64M or 2G", SHOWN, value->text);
	if (bytes < value->min || bytes > value->max)
		return error_set(error, -EINVAL, "\"%.*s\" is not between %llu and %llu bytes", SHOWN, value->text,
				 (unsigned long long)value->min, (unsigned long long)value->max);
	*(uint64_t *)value->target = bytes;
	return 0;
}

int config_value_number(const struct config_value *value, struct error *error)
{
	char *end = NULL;
	unsigned long long number;

	errno = 0;
	number = strtoull(value->text, &end, 10);
	if (!isdigit((unsigned char)value->text[0]) || *end != '\0' || errno != 0 || number < value->min ||
	    number > value->max)
		return error_set(error, -EINVAL, "\"%.*s\" is not a number between %llu and %llu", SHOWN, value->text,
				 (unsigned long long)value->min, (unsigned long long)value->max);
	*(uint32_t *)value->target = (uint32_t)number;
	return 0;
}

int config_value_secret(const struct config_value *value, struct error *error)
{
	size_t length = strlen(value->text);

	if (length < CONFIG_SECRET_MIN)
		return error_set(error, -EINVAL, "the secret has %zu characters, it needs %d or more: make one with \"%s\"",
				 length, CONFIG_SECRET_MIN, "openssl rand -hex 32");
	if (length >= value->size)
		return error_set(error, -EINVAL, "the secret is longer than %zu characters", value->size - 1);
	memcpy(value->target, value->text, length + 1);
	return 0;
}
