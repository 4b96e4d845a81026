/* Keystone's tokens. One stands on an access key: it says which, and who that is, is looked up when it is used, so that it dies
 * with the key, and with the user, whose keys go first. What was revoked is kept, in the catalog and here, until it would have
 * expired. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/internal.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/catalog.h"

#define TOKEN_CONTEXT "token" /* another one than a session token's: neither passes for the other */
#define REVOKED_DROP_MAX 1000u /* in one call: those of a busy day would hold the control thread */

/* --- made and read --- */

int auth_issue_token(const struct auth *auth, const struct auth_caller *caller, int64_t now_s, struct auth_token *out_token,
		     char **out_text, struct error *error)
{
	const struct auth_token *from = &caller->token;
	struct auth_token token = { .issued_s = now_s, .expires_s = now_s + AUTH_TOKEN_S };
	AUTO_FREE char *text = NULL;
	json_t *json;

	if (caller->role[0] != 0)
		return error_set(error, -EINVAL, "a session of a role gets no token: it signs its calls with its temporary key");
	if (auth_random_text(token.audit_id, AUTH_AUDIT_SIZE - 1) < 0)
		return error_set(error, -EIO, "the system gives no random bytes for a token");
	memcpy(token.first_id, from->audit_id[0] == 0 ? token.audit_id : from->first_id, AUTH_AUDIT_SIZE);
	if (from->audit_id[0] != 0 && from->expires_s < token.expires_s)
		token.expires_s = from->expires_s;
	json = json_pack("{s:s, s:s, s:s, s:I, s:I}", "key", caller->key_id, "audit", token.audit_id, "first", token.first_id,
			 "issued", (json_int_t)token.issued_s, "expires", (json_int_t)token.expires_s);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	*out_text = text == NULL ? NULL : secrets_seal(&auth->secrets, TOKEN_CONTEXT, text, strlen(text));
	if (*out_text == NULL)
		return error_set(error, -EIO, "the token cannot be made");
	*out_token = token;
	return 0;
}

static int revoked_compare(const void *left, const void *right)
{
	const struct auth_revoked *a = left, *b = right;

	if (a->expires_s != b->expires_s)
		return a->expires_s < b->expires_s ? -1 : 1;
	return strcmp(a->audit_id, b->audit_id);
}

static struct auth_revoked revoked_of(const struct auth_token *token)
{
	struct auth_revoked revoked = { .expires_s = token->expires_s };

	memcpy(revoked.audit_id, token->audit_id, AUTH_AUDIT_SIZE);
	return revoked;
}

static bool is_revoked(const struct auth *auth, const struct auth_token *token)
{
	struct auth_revoked wanted = revoked_of(token);

	return auth->revoked_count > 0 &&
	       bsearch(&wanted, auth->revoked, auth->revoked_count, sizeof wanted, revoked_compare) != NULL;
}

enum auth_answer auth_find_token(const struct auth *auth, const char *text, int64_t now_s, struct auth_caller *out_caller)
{
	struct auth_token token = { 0 };
	size_t size;
	AUTO_FREE char *plain = secrets_unseal(&auth->secrets, TOKEN_CONTEXT, text, &size);
	json_t *json = plain == NULL ? NULL : json_loadb(plain, size, 0, NULL);
	enum auth_answer answer;

	memset(out_caller, 0, sizeof *out_caller);
	if (json == NULL)
		return AUTH_TOKEN_MALFORMED;
	text_copy(token.audit_id, sizeof token.audit_id, auth_text(json, "audit"));
	text_copy(token.first_id, sizeof token.first_id, auth_text(json, "first"));
	token.issued_s = json_integer_value(json_object_get(json, "issued"));
	token.expires_s = json_integer_value(json_object_get(json, "expires"));
	if (now_s >= token.expires_s)
		answer = AUTH_TOKEN_EXPIRED;
	else if (is_revoked(auth, &token))
		answer = AUTH_TOKEN_REVOKED;
	else
		answer = auth_find_caller(auth, auth_text(json, "key"), NULL, now_s, out_caller);
	json_decref(json);
	out_caller->token = token;
	return answer;
}

bool auth_check_password(const struct auth *auth, const char *user, const char *password, struct auth_caller *out_caller)
{
	const struct auth_key *found = NULL;
	size_t length = strlen(password);

	memset(out_caller, 0, sizeof *out_caller);
	/* Held against every key, whoever's: how long it takes does not tell which users there are. */
	for (struct list *entry = auth->keys.next; entry != &auth->keys; entry = entry->next) {
		const struct auth_key *key = container_of(entry, struct auth_key, entry);
		bool same = strlen(key->secret) == length && hash_equal(key->secret, password, length);

		if (same && key->active && strcmp(key->user, user) == 0)
			found = key;
	}
	return found != NULL && auth_find_caller(auth, found->id, NULL, 0, out_caller) == AUTH_FOUND;
}

/* --- revoked --- */

static void revoked_make_room(struct auth *auth)
{
	if (auth->revoked_count < auth->revoked_room)
		return;
	auth->revoked_room = auth->revoked_room == 0 ? 64 : auth->revoked_room * 2;
	auth->revoked = memory_resize(auth->revoked, auth->revoked_room, sizeof *auth->revoked);
}

static int on_revoked(void *data, const char *id, const char *body, struct error *error)
{
	struct auth *auth = data;
	json_t *json = json_loads(body, JSON_REJECT_DUPLICATES, NULL), *expires = json_object_get(json, "expires");
	struct auth_revoked *revoked;

	if (!json_is_integer(expires) || strlen(id) >= AUTH_AUDIT_SIZE) {
		json_decref(json);
		return error_set(error, -EBADMSG, "the catalog's record of revoked token %.80s is damaged", id);
	}
	revoked_make_room(auth);
	revoked = &auth->revoked[auth->revoked_count++];
	revoked->expires_s = json_integer_value(expires);
	text_copy(revoked->audit_id, sizeof revoked->audit_id, id);
	json_decref(json);
	return 0;
}

int auth_load_revoked(struct auth *auth, struct error *error)
{
	int result = catalog_each(auth->catalog, KIND_REVOKED, on_revoked, auth, error);

	if (auth->revoked_count > 0)
		qsort(auth->revoked, auth->revoked_count, sizeof *auth->revoked, revoked_compare);
	return result;
}

/* One more, without the first `dropped`. */
static int store_revoked(struct auth *auth, const struct auth_revoked *revoked, size_t dropped, struct error *error)
{
	char body[48];
	int result = catalog_begin(auth->catalog, error);

	if (result < 0)
		return result;
	for (size_t i = 0; i < dropped && result == 0; i++)
		result = catalog_remove(auth->catalog, KIND_REVOKED, auth->revoked[i].audit_id, error);
	snprintf(body, sizeof body, "{\"expires\":%" PRId64 "}", revoked->expires_s);
	if (result == 0)
		result = catalog_put(auth->catalog, KIND_REVOKED, revoked->audit_id, body, error);
	if (result == 0)
		return catalog_commit(auth->catalog, error);
	catalog_rollback(auth->catalog);
	return result;
}

int auth_revoke_token(struct auth *auth, const struct auth_token *token, int64_t now_s, struct error *error)
{
	struct auth_revoked revoked = revoked_of(token);
	size_t dropped = 0, at;
	int result;

	if (now_s >= token->expires_s || is_revoked(auth, token))
		return 0;
	/* They are in the order in which they expire. */
	while (dropped < auth->revoked_count && dropped < REVOKED_DROP_MAX && auth->revoked[dropped].expires_s <= now_s)
		dropped++;
	if (auth->revoked_count - dropped >= AUTH_REVOKED_MAX)
		return error_set(error, -ENOSPC, "%d tokens were revoked and have not expired yet: no more are possible",
				 AUTH_REVOKED_MAX);
	result = store_revoked(auth, &revoked, dropped, error);
	if (result < 0)
		return result;
	auth->revoked_count -= dropped;
	if (dropped > 0)
		memmove(auth->revoked, auth->revoked + dropped, auth->revoked_count * sizeof *auth->revoked);
	revoked_make_room(auth);
	for (at = auth->revoked_count; at > 0 && revoked_compare(&auth->revoked[at - 1], &revoked) > 0; at--)
		auth->revoked[at] = auth->revoked[at - 1];
	auth->revoked[at] = revoked;
	auth->revoked_count++;
	return 0;
}
