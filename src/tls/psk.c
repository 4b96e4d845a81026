#include "tls/psk.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"

struct psk_key {
	char name[PSK_NAME_MAX + 1];
	uint8_t bytes[PSK_KEY_MAX];
	size_t size;
};

struct psk_keys {
	struct psk_key rows[PSK_KEYS_MAX];
	size_t count;
};

static const char *key_parse(const char *text, size_t length, struct psk_key *key)
{
	key->size = length / 2;
	if (length % 2 != 0 || length < 2 * PSK_KEY_MIN || length > 2 * PSK_KEY_MAX ||
	    !hash_read_hex(text, key->bytes, key->size))
		return "a key has 32 to 128 hexadecimal digits";
	return NULL;
}

/* NULL, or what is wrong with the line. */
static const char *line_parse(const char *line, size_t length, struct psk_keys *keys)
{
	const char *colon = memchr(line, ':', length);
	struct psk_key *key = &keys->rows[keys->count];
	const char *problem;
	size_t known;

	if (colon == NULL || colon == line)
		return "it is not NAME:KEY";
	if ((size_t)(colon - line) > PSK_NAME_MAX || memchr(line, '\0', length) != NULL)
		return "a name has at most 128 characters";
	if (keys->count == PSK_KEYS_MAX)
		return "there are more than 1024 keys";
	memcpy(key->name, line, (size_t)(colon - line));
	if (psk_find(keys, key->name, &known) != NULL)
		return "this name has a key already";
	problem = key_parse(colon + 1, length - (size_t)(colon - line) - 1, key);
	if (problem == NULL)
		keys->count++;
	return problem;
}

int psk_parse(const char *text, size_t size, struct psk_keys **out_keys, struct error *error)
{
	struct psk_keys *keys = memory_new(1, sizeof(*keys));
	unsigned line = 0;

	for (size_t at = 0; at < size;) {
		const char *newline = memchr(text + at, '\n', size - at);
		size_t end = newline == NULL ? size : (size_t)(newline - text);
		size_t length = end > at && text[end - 1] == '\r' ? end - at - 1 : end - at;
		const char *problem = NULL;

		line++;
		if (length > 0 && text[at] != '#')
			problem = line_parse(text + at, length, keys);
		if (problem != NULL) {
			psk_free(keys);
			return error_set(error, -EINVAL, "line %u: %s", line, problem);
		}
		at = end + 1;
	}
	if (keys->count == 0) {
		psk_free(keys);
		return error_set(error, -EINVAL, "it holds no key: make one with psktool --username NAME --pskfile FILE");
	}
	*out_keys = keys;
	return 0;
}

void psk_free(struct psk_keys *keys)
{
	if (keys == NULL)
		return;
	memory_wipe(keys, sizeof(*keys));
	free(keys);
}

const uint8_t *psk_find(const struct psk_keys *keys, const char *name, size_t *out_size)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (strcmp(keys->rows[i].name, name) != 0)
			continue;
		*out_size = keys->rows[i].size;
		return keys->rows[i].bytes;
	}
	return NULL;
}
