/* Callers: found by their keys, judged by their policies. */
#include "auth/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "auth/internal.h"
#include "auth/nonces.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/catalog.h"

#define PATH_SIZE 4200
#define TOKEN_CONTEXT "session token"
#define SESSION_KEY "STS."

/* Bytes that would favour some letters are drawn again. */
int auth_random_text(char *out, size_t length)
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

static int make_root(struct auth *auth, struct error *error)
{
	const struct auth_key *key;
	int result = 0;

	if (auth_find_principal(auth, false, AUTH_ROOT) == NULL)
		result = auth_create_principal(auth, false, AUTH_ROOT, "may do everything", error);
	return result < 0 ? result : auth_create_key(auth, AUTH_ROOT, &key, error);
}

static int on_any(void *data, const char *id, const char *body, struct error *error)
{
	bool *any = data;

	(void)id;
	(void)body;
	(void)error;
	*any = true;
	return 0;
}

/* A new key file only where nothing was sealed with another one. */
static int open_secrets(struct auth *auth, const char *path, struct error *error)
{
	bool sealed = false;
	int result = catalog_each(auth->catalog, KIND_KEY, on_any, &sealed, error);

	return result < 0 ? result : secrets_open(&auth->secrets, path, !sealed, error);
}

int auth_new(struct catalog *catalog, const char *directory, struct auth **out_auth, struct error *error)
{
	struct auth *auth = memory_new(1, sizeof *auth);
	char path[PATH_SIZE];
	int result;

	auth->catalog = catalog;
	list_init(&auth->users);
	list_init(&auth->roles);
	list_init(&auth->keys);
	list_init(&auth->policies);
	snprintf(path, sizeof path, "%s/secret.key", directory);
	result = open_secrets(auth, path, error);
	if (result == 0)
		result = auth_load(auth, error);
	snprintf(path, sizeof path, "%s/nonces", directory);
	if (result == 0)
		result = nonces_open(path, AUTH_NONCE_S, &auth->nonces, error);
	if (result == 0 && auth_first_key(auth) == NULL)
		result = make_root(auth, error);
	if (result < 0) {
		auth_free(auth);
		return result;
	}
	*out_auth = auth;
	return 0;
}

void auth_free(struct auth *auth)
{
	auth_unload(auth);
	if (auth->nonces != NULL)
		nonces_close(auth->nonces);
	secrets_close(&auth->secrets);
	free(auth);
}

/* --- who calls --- */

static const struct auth_key *find_key(const struct auth *auth, const char *id)
{
	for (struct list *entry = auth->keys.next; entry != &auth->keys; entry = entry->next) {
		const struct auth_key *key = container_of(entry, struct auth_key, entry);

		if (strcmp(key->id, id) == 0)
			return key;
	}
	return NULL;
}

static enum auth_answer open_token(const struct auth *auth, const json_t *token, const char *key_id, int64_t now_s,
				   struct auth_caller *out_caller)
{
	const char *id = auth_text(token, "key"), *policy = json_string_value(json_object_get(token, "policy"));
	const char *role = auth_text(token, "role");
	const struct auth_principal *principal = auth_find_principal(auth, true, role);

	if (principal == NULL || principal->created_s != json_integer_value(json_object_get(token, "made")))
		return AUTH_TOKEN_MALFORMED; /* the role is gone, or another one has its name */
	if (strcmp(id, key_id) != 0)
		return AUTH_TOKEN_MISMATCH;
	if (now_s >= json_integer_value(json_object_get(token, "expires")))
		return AUTH_TOKEN_EXPIRED;
	if (policy != NULL && policy_parse(policy, strlen(policy), &out_caller->session_policy, NULL) < 0)
		return AUTH_TOKEN_MALFORMED;
	text_copy(out_caller->role, sizeof out_caller->role, role);
	text_copy(out_caller->session, sizeof out_caller->session, auth_text(token, "session"));
	text_copy(out_caller->secret, sizeof out_caller->secret, auth_text(token, "secret"));
	return AUTH_FOUND;
}

static enum auth_answer find_session(const struct auth *auth, const char *key_id, const char *sealed, int64_t now_s,
				     struct auth_caller *out_caller)
{
	size_t size;
	char *text = secrets_unseal(&auth->secrets, TOKEN_CONTEXT, sealed, &size);
	json_t *token = text == NULL ? NULL : json_loads(text, 0, NULL);
	enum auth_answer answer = token == NULL ? AUTH_TOKEN_MALFORMED : open_token(auth, token, key_id, now_s, out_caller);

	json_decref(token);
	if (text != NULL)
		memory_wipe(text, size);
	free(text);
	return answer;
}

enum auth_answer auth_find_caller(const struct auth *auth, const char *key_id, const char *token, int64_t now_s,
				  struct auth_caller *out_caller)
{
	const struct auth_key *key;

	memset(out_caller, 0, sizeof *out_caller);
	if (strlen(key_id) >= sizeof out_caller->key_id)
		return AUTH_KEY_UNKNOWN;
	text_copy(out_caller->key_id, sizeof out_caller->key_id, key_id);
	if (token != NULL)
		return find_session(auth, key_id, token, now_s, out_caller);
	key = find_key(auth, key_id);
	if (key == NULL)
		return AUTH_KEY_UNKNOWN;
	text_copy(out_caller->user, sizeof out_caller->user, key->user);
	text_copy(out_caller->secret, sizeof out_caller->secret, key->secret);
	return key->active ? AUTH_FOUND : AUTH_KEY_INACTIVE;
}

void auth_caller_clear(struct auth_caller *caller)
{
	policy_free(caller->session_policy);
	memory_wipe(caller, sizeof *caller);
}

bool auth_is_timely(int64_t time_s, int64_t now_s)
{
	return time_s >= now_s - AUTH_SKEW_S && time_s <= now_s + AUTH_SKEW_S;
}

int auth_use_nonce(struct auth *auth, const char *key_id, const char *nonce, int64_t now_s)
{
	return nonces_use(auth->nonces, hash_xxh3_pair(key_id, strlen(key_id) + 1, nonce, strlen(nonce)), now_s);
}

int auth_settle_nonces(struct auth *auth)
{
	return nonces_settle(auth->nonces);
}

int auth_assume_role(struct auth *auth, const char *role, const char *session, const char *policy, int64_t expires_s,
		     struct auth_key *out_key, char **out_token, struct error *error)
{
	const struct auth_principal *principal = auth_find_principal(auth, true, role);
	struct policy *parsed = NULL;
	char *text;
	json_t *token;

	if (principal == NULL)
		return error_set(error, -ENOENT, "there is no role %.64s", role);
	if (policy != NULL && policy_parse(policy, strlen(policy), &parsed, error) < 0)
		return error->code;
	policy_free(parsed);
	memset(out_key, 0, sizeof *out_key);
	memcpy(out_key->id, SESSION_KEY, sizeof SESSION_KEY);
	if (auth_random_text(out_key->id + strlen(SESSION_KEY), 24) < 0 || auth_random_text(out_key->secret, 40) < 0)
		return error_set(error, -EIO, "the system gives no random bytes for a key");
	token = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s*}", "key", out_key->id, "secret", out_key->secret, "role", role,
			  "session", session, "made", (json_int_t)principal->created_s, "expires", (json_int_t)expires_s, "policy", policy);
	text = json_dumps(token, JSON_COMPACT);
	json_decref(token);
	*out_token = text == NULL ? NULL : secrets_seal(&auth->secrets, TOKEN_CONTEXT, text, strlen(text));
	if (text != NULL)
		memory_wipe(text, strlen(text));
	free(text);
	return *out_token == NULL ? error_set(error, -EIO, "the token cannot be made") : 0;
}

/* --- what they may do --- */

enum auth_verdict auth_judge(const struct auth *auth, const struct auth_caller *caller, const struct policy_call *call)
{
	bool is_role = caller->role[0] != 0;
	const struct auth_principal *principal = auth_find_principal(auth, is_role, is_role ? caller->role : caller->user);
	struct policy_outcome outcome = { 0 };

	if (!is_role && strcmp(caller->user, AUTH_ROOT) == 0)
		return AUTH_ALLOWED;
	for (uint32_t i = 0; principal != NULL && i < principal->policy_count; i++) {
		const struct auth_policy *policy = auth_find_policy(auth, principal->policies[i]);

		if (policy != NULL)
			policy_evaluate(policy->parsed, call, &outcome);
	}
	if (caller->session_policy != NULL) {
		struct policy_outcome session = { 0 };

		policy_evaluate(caller->session_policy, call, &session);
		outcome.allowed = outcome.allowed && session.allowed;
		outcome.action_allowed = outcome.action_allowed && session.action_allowed;
		outcome.denied = outcome.denied || session.denied;
		outcome.action_denied = outcome.action_denied || session.action_denied;
	}
	if (outcome.allowed && !outcome.denied)
		return AUTH_ALLOWED;
	return outcome.action_allowed && !outcome.action_denied ? AUTH_NOT_RESOURCE : AUTH_NOT_ACTION;
}
