#include "auth/auth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"
#include "catalog/catalog.h"

#define KIND "key"
#define NONCES_MAX (1u << 18) /* a power of two; a table of 16 bytes each, made as a whole */

struct key {
	struct list entry;
	char id[AUTH_KEY_ID_SIZE];
	char secret[AUTH_SECRET_SIZE];
	bool disabled;
};

struct nonce {
	uint64_t hash;
	int64_t used_s;
};

struct auth {
	struct catalog *catalog;
	struct list keys;
	struct nonce *nonces;
};

/* A record's body is "secret enabled" or "secret disabled". */
static int on_key(void *data, const char *id, const char *body, struct error *error)
{
	struct auth *auth = data;
	struct key *key = memory_new(1, sizeof *key);
	const char *space = strchr(body, ' ');
	size_t size = space == NULL ? 0 : (size_t)(space - body);

	if (size == 0 || size >= sizeof key->secret || strlen(id) >= sizeof key->id) {
		free(key);
		return error_set(error, -EBADMSG, "the catalog's record of key %s is damaged", id);
	}
	snprintf(key->id, sizeof key->id, "%s", id);
	memcpy(key->secret, body, size);
	key->disabled = strcmp(space, " disabled") == 0;
	list_append(&auth->keys, &key->entry);
	return 0;
}

/* Letters and digits, evenly: bytes that would favour some are drawn again. */
static int random_text(char *out, size_t length)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t byte;

	for (size_t i = 0; i < length;) {
		if (getrandom(&byte, 1, 0) != 1)
			return -EIO;
		if (byte < 248)
			out[i++] = letters[byte % 62];
	}
	out[length] = 0;
	return 0;
}

static int make_first_key(struct auth *auth, struct error *error)
{
	char id[AUTH_KEY_ID_SIZE] = "LTAI", secret[AUTH_SECRET_SIZE], body[AUTH_SECRET_SIZE + 16];
	int result;

	if (random_text(id + 4, 20) < 0 || random_text(secret, 30) < 0)
		return error_set(error, -EIO, "the system gives no random bytes for a key");
	snprintf(body, sizeof body, "%s enabled", secret);
	result = catalog_begin(auth->catalog, error);
	if (result == 0)
		result = catalog_put(auth->catalog, KIND, id, body, error);
	if (result == 0)
		result = catalog_commit(auth->catalog, error);
	else
		catalog_rollback(auth->catalog);
	return result == 0 ? on_key(auth, id, body, error) : result;
}

int auth_new(struct catalog *catalog, struct auth **out_auth, struct error *error)
{
	struct auth *auth = memory_new(1, sizeof *auth);
	int result;

	auth->catalog = catalog;
	list_init(&auth->keys);
	auth->nonces = memory_new(NONCES_MAX, sizeof *auth->nonces);
	result = catalog_each(catalog, KIND, on_key, auth, error);
	if (result == 0 && list_is_empty(&auth->keys))
		result = make_first_key(auth, error);
	if (result < 0) {
		auth_free(auth);
		return result;
	}
	*out_auth = auth;
	return 0;
}

void auth_free(struct auth *auth)
{
	struct list *entry;

	while ((entry = list_pop(&auth->keys)) != NULL) {
		struct key *key = container_of(entry, struct key, entry);

		memory_wipe(key->secret, sizeof key->secret);
		free(key);
	}
	free(auth->nonces);
	free(auth);
}

static struct key *first_key(const struct auth *auth)
{
	return container_of(auth->keys.next, struct key, entry);
}

const char *auth_first_key_id(const struct auth *auth)
{
	return first_key(auth)->id;
}

const char *auth_first_key_secret(const struct auth *auth)
{
	return first_key(auth)->secret;
}

const char *auth_find_secret(const struct auth *auth, const char *key_id, bool *out_disabled)
{
	*out_disabled = false;
	for (struct list *entry = auth->keys.next; entry != &auth->keys; entry = entry->next) {
		const struct key *key = container_of(entry, struct key, entry);

		if (strcmp(key->id, key_id) != 0)
			continue;
		*out_disabled = key->disabled;
		return key->disabled ? NULL : key->secret;
	}
	return NULL;
}

bool auth_is_timely(int64_t time_s, int64_t now_s)
{
	return time_s >= now_s - AUTH_SKEW_S && time_s <= now_s + AUTH_SKEW_S;
}

/* Eight places near each other. When all are taken by nonces that still count the oldest is given up, and could be used once
 * more: so it is from some tens of calls a second on, and after a restart, which knows none. */
bool auth_use_nonce(struct auth *auth, const char *key_id, const char *nonce, int64_t now_s)
{
	uint64_t hash = hash_xxh3_pair(key_id, strlen(key_id) + 1, nonce, strlen(nonce));
	struct nonce *oldest = NULL;

	for (uint64_t i = 0; i < 8; i++) {
		struct nonce *place = &auth->nonces[(hash + i) & (NONCES_MAX - 1)];

		if (place->used_s != 0 && place->hash == hash && place->used_s >= now_s - AUTH_NONCE_S)
			return false;
		if (oldest == NULL || place->used_s < oldest->used_s)
			oldest = place;
	}
	*oldest = (struct nonce){ .hash = hash, .used_s = now_s };
	return true;
}
