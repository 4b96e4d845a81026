#include "auth/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/base64.h>
#include <nettle/chacha-poly1305.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/file.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"

#define SEALED_MAX 65536u

static int make(struct secrets *secrets, const char *path)
{
	char part[4096];
	ssize_t written;
	int fd, result;

	if (getrandom(secrets->key, sizeof secrets->key, 0) != (ssize_t)sizeof secrets->key)
		return -EIO;
	if (snprintf(part, sizeof part, "%s.new", path) >= (int)sizeof part)
		return -ENAMETOOLONG;
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	written = write(fd, secrets->key, sizeof secrets->key);
	if (written < 0)
		result = -errno;
	else
		result = written < (ssize_t)sizeof secrets->key ? -ENOSPC : file_settle(fd, part, path);
	close(fd);
	return result;
}

static int load(struct secrets *secrets, int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if ((status.st_mode & 077) != 0)
		return -EACCES;
	if (status.st_size != SECRETS_KEY_SIZE || read(fd, secrets->key, SECRETS_KEY_SIZE) != SECRETS_KEY_SIZE)
		return -EBADMSG;
	return 0;
}

int secrets_open(struct secrets *secrets, const char *path, bool may_make, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), result;

	if (fd < 0 && errno == ENOENT && may_make) {
		result = make(secrets, path);
		return result < 0 ? error_set_errno(error, result, "cannot make %s", path) : 0;
	}
	if (fd < 0 && errno == ENOENT)
		return error_set(error, -ENOENT, "%s is missing, and the access keys in the catalog are sealed with it: "
				 "put it back from the backup of this folder", path);
	result = fd < 0 ? -errno : load(secrets, fd);
	if (fd >= 0)
		close(fd);
	if (result == -EACCES)
		return error_set(error, result, "%s must be readable by its owner alone: chmod 0600 it", path);
	if (result == -EBADMSG)
		return error_set(error, result, "%s is damaged: put it back from the backup of this folder", path);
	return result < 0 ? error_set_errno(error, result, "cannot read %s", path) : 0;
}

void secrets_close(struct secrets *secrets)
{
	memory_wipe(secrets, sizeof *secrets);
}

static void begin(struct chacha_poly1305_ctx *cipher, const struct secrets *secrets, const char *context, const uint8_t *nonce)
{
	chacha_poly1305_set_key(cipher, secrets->key);
	chacha_poly1305_set_nonce(cipher, nonce);
	chacha_poly1305_update(cipher, strlen(context), (const uint8_t *)context);
}

char *secrets_seal(const struct secrets *secrets, const char *context, const void *bytes, size_t size)
{
	size_t whole = CHACHA_POLY1305_NONCE_SIZE + size + CHACHA_POLY1305_DIGEST_SIZE;
	AUTO_FREE uint8_t *sealed = memory_new(whole, 1);
	struct chacha_poly1305_ctx cipher;
	char *text;

	if (getrandom(sealed, CHACHA_POLY1305_NONCE_SIZE, 0) != CHACHA_POLY1305_NONCE_SIZE)
		return NULL;
	begin(&cipher, secrets, context, sealed);
	chacha_poly1305_encrypt(&cipher, size, sealed + CHACHA_POLY1305_NONCE_SIZE, bytes);
	chacha_poly1305_digest(&cipher, CHACHA_POLY1305_DIGEST_SIZE, sealed + CHACHA_POLY1305_NONCE_SIZE + size);
	memory_wipe(&cipher, sizeof cipher);
	text = memory_new(BASE64_ENCODE_RAW_LENGTH(whole) + 1, 1);
	base64_encode_raw(text, whole, sealed);
	return text;
}

char *secrets_unseal(const struct secrets *secrets, const char *context, const char *sealed, size_t *out_size)
{
	size_t length = strlen(sealed), whole, size;
	AUTO_FREE uint8_t *raw = NULL;
	uint8_t tag[CHACHA_POLY1305_DIGEST_SIZE];
	struct base64_decode_ctx decode;
	struct chacha_poly1305_ctx cipher;
	char *bytes;
	bool right;

	if (length > SEALED_MAX)
		return NULL;
	whole = BASE64_DECODE_LENGTH(length);
	raw = memory_new(whole + 1, 1);
	base64_decode_init(&decode);
	if (!base64_decode_update(&decode, &whole, raw, length, sealed) || !base64_decode_final(&decode) ||
	    whole < CHACHA_POLY1305_NONCE_SIZE + CHACHA_POLY1305_DIGEST_SIZE)
		return NULL;
	size = whole - CHACHA_POLY1305_NONCE_SIZE - CHACHA_POLY1305_DIGEST_SIZE;
	bytes = memory_new(size + 1, 1);
	begin(&cipher, secrets, context, raw);
	chacha_poly1305_decrypt(&cipher, size, (uint8_t *)bytes, raw + CHACHA_POLY1305_NONCE_SIZE);
	chacha_poly1305_digest(&cipher, sizeof tag, tag);
	right = hash_equal(tag, raw + CHACHA_POLY1305_NONCE_SIZE + size, sizeof tag);
	memory_wipe(&cipher, sizeof cipher);
	if (!right) {
		memory_wipe(bytes, size);
		free(bytes);
		return NULL;
	}
	*out_size = size;
	return bytes;
}
