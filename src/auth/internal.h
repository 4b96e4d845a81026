/* Private to auth/. */
#ifndef AUTH_INTERNAL_H
#define AUTH_INTERNAL_H

#include <jansson.h>

#include "auth/auth.h"
#include "auth/secrets.h"

struct nonces;

struct auth_revoked {
	int64_t expires_s;
	char audit_id[AUTH_AUDIT_SIZE];
};

struct auth {
	struct catalog *catalog;
	struct secrets secrets;
	struct nonces *nonces;
	struct list users, roles, keys, policies;
	struct auth_revoked *revoked; /* by when they expire, then by id */
	size_t revoked_count, revoked_room;
	void (*on_first_key)(void *data);
	void *data;
};

#define KIND_USER "user"
#define KIND_ROLE "role"
#define KIND_KEY "key"
#define KIND_POLICY "policy"
#define KIND_REVOKED "revoked" /* the id: a token's audit id */

/* store.c: what is in the catalog, into memory and back. */
int auth_load(struct auth *auth, struct error *error);
void auth_unload(struct auth *auth);
int auth_store_principal(struct auth *auth, bool is_role, const struct auth_principal *principal, struct error *error);
int auth_store_key(struct auth *auth, const struct auth_key *key, struct error *error);
int auth_store_policy(struct auth *auth, const struct auth_policy *policy, struct error *error);
int auth_forget(struct auth *auth, const char *kind, const char *id, struct error *error);
void auth_key_free(struct auth_key *key);
void auth_policy_free(struct auth_policy *policy);

/* token.c */
int auth_load_revoked(struct auth *auth, struct error *error);

/* A member's text; "" when it is missing. Borrowed. */
const char *auth_text(const json_t *json, const char *name);

/* Letters and digits, evenly; `out` has room for length + 1. -EIO: the system gives no random bytes. */
int auth_random_text(char *out, size_t length);

#endif
