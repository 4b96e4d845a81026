#include "daemon/tls_files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/config.h"
#include "daemon/small_file.h"
#include "tls/credentials.h"

#define TLS_FILE_MAX (1024u * 1024u)

enum { CERTIFICATE, KEY, AUTHORITY, PSK, FILES };

struct tls_file {
	const char *key; /* of the configuration */
	const char *path;
	bool secret;
	char name[160];  /* for messages */
	char *text;
	size_t size;
};

static int file_load(struct tls_file *file, struct tls_text *out_text, struct error *error)
{
	struct stat status;

	if (file->path[0] == '\0')
		return 0;
	snprintf(file->name, sizeof(file->name), "[nbd] %s: %.130s", file->key, file->path);
	if (small_file_read(file->path, TLS_FILE_MAX, &file->text, &file->size, &status, error) < 0)
		return error_wrap(error, "[nbd] %s", file->key);
	if (file->size == 0)
		return error_set(error, -EINVAL, "%s: the file is empty", file->name);
	if (file->secret && (status.st_mode & S_IROTH) != 0)
		log_event(LOG_WARNING, "config.secret_exposed", "file=\"%s\" advice=\"chmod 600\"", file->path);
	*out_text = (struct tls_text){ file->name, file->text, file->size };
	return 0;
}

/* A server whose certificate is out of date still serves clients with pre-shared keys, and in the clear where that is allowed. */
static void warn_of_expiry(const struct config *config, const struct tls_credentials *credentials)
{
	if (tls_credentials_expiry(credentials) <= (int64_t)time(NULL))
		log_event(LOG_WARNING, "tls.certificate_expired", "file=\"%s\" advice=\"clients will refuse it: put a new one there\"",
			  config->tls_certificate);
}

int tls_files_load(const struct config *config, struct tls_credentials **out_credentials, struct error *error)
{
	struct tls_file files[FILES] = {
		[CERTIFICATE] = { .key = "tls_certificate", .path = config->tls_certificate },
		[KEY] = { .key = "tls_key", .path = config->tls_key, .secret = true },
		[AUTHORITY] = { .key = "tls_ca", .path = config->tls_ca },
		[PSK] = { .key = "tls_psk", .path = config->tls_psk, .secret = true },
	};
	struct tls_texts texts = { 0 };
	struct tls_text *const places[FILES] = { &texts.certificate, &texts.key, &texts.authority, &texts.psk };
	int code = 0;

	*out_credentials = NULL;
	if (config->nbd_tls == NBD_TLS_OFF)
		return 0;
	for (size_t i = 0; i < FILES && code == 0; i++)
		code = file_load(&files[i], places[i], error);
	if (code == 0)
		code = tls_credentials_new(&texts, out_credentials, error);
	for (size_t i = 0; i < FILES; i++) {
		if (files[i].text != NULL)
			memory_wipe(files[i].text, files[i].size);
		free(files[i].text);
	}
	if (code == 0)
		warn_of_expiry(config, *out_credentials);
	return code;
}
