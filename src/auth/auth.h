/* Who may call, and what: users and roles with their policies, access keys with their secrets, tokens for both, and nonces that
 * may be used once. No HTTP, no dialect: one store for all of them. The control thread.
 *
 * Kept in the catalog, a record each, JSON; secrets are sealed with DATA/secret.key (auth/secrets.h). The user "root" is there
 * from the beginning, may do everything, and always has an active key. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/policy.h"
#include "base/list.h"

struct auth;
struct catalog;
struct error;

#define AUTH_ROOT "root"
#define AUTH_NAME_SIZE 65 /* of a user, a role, a policy: 1 to 64 of A-Z a-z 0-9 . _ - */
#define AUTH_TEXT_SIZE 129
#define AUTH_KEY_ID_SIZE 48
#define AUTH_SECRET_SIZE 64
#define AUTH_POLICIES_MAX 20 /* attached to one user or role */
#define AUTH_KEYS_MAX 2      /* of a user: the one in use, and the next */
#define AUTH_RECORDS_MAX 1000 /* users, roles or policies */
#define AUTH_SESSION_S_MIN 900
#define AUTH_SESSION_S_MAX 43200
#define AUTH_SKEW_S (15 * 60)          /* how far a caller's clock may be off */
#define AUTH_NONCE_S (2 * AUTH_SKEW_S) /* how long a nonce is remembered: over the whole of that */
#define AUTH_TOKEN_S (24 * 60 * 60)    /* the life of a user's token */
#define AUTH_AUDIT_SIZE 23
#define AUTH_REVOKED_MAX 100000 /* tokens that were revoked and have not expired */

/* A user or a role. */
struct auth_principal {
	struct list entry;
	char name[AUTH_NAME_SIZE], comment[AUTH_TEXT_SIZE];
	int64_t created_s;
	uint32_t policy_count;
	char policies[AUTH_POLICIES_MAX][AUTH_NAME_SIZE]; /* names */
};

struct auth_key {
	struct list entry;
	char id[AUTH_KEY_ID_SIZE], secret[AUTH_SECRET_SIZE], user[AUTH_NAME_SIZE];
	bool active;
	int64_t created_s;
};

struct auth_policy {
	struct list entry;
	char name[AUTH_NAME_SIZE];
	char *text;
	struct policy *parsed;
	int64_t created_s;
	bool built_in;
};

/* `directory`: the data folder, for the key file and the nonces. Loads all; makes root's first key when there is none. Borrows
 * the catalog until auth_free. */
int auth_new(struct catalog *catalog, const char *directory, struct auth **out_auth, struct error *error);
void auth_free(struct auth *auth);

/* --- who calls --- */

/* What a user's token says of itself. */
struct auth_token {
	char audit_id[AUTH_AUDIT_SIZE]; /* random; "" in a caller that came without a token */
	char first_id[AUTH_AUDIT_SIZE]; /* of the token that it was made from, and that one from, ...; its own when of none */
	int64_t issued_s, expires_s;
};

/* A caller whose key was found. Its secret proves nothing before the signature does. */
struct auth_caller {
	char user[AUTH_NAME_SIZE], role[AUTH_NAME_SIZE], session[AUTH_NAME_SIZE]; /* a user, or a role with its session */
	char key_id[AUTH_KEY_ID_SIZE], secret[AUTH_SECRET_SIZE];
	struct policy *session_policy; /* what the session may do at most, or NULL */
	struct auth_token token;       /* that it came with */
};

enum auth_answer {
	AUTH_FOUND,
	AUTH_KEY_UNKNOWN,
	AUTH_KEY_INACTIVE,
	AUTH_TOKEN_MALFORMED, /* or of a role that is gone */
	AUTH_TOKEN_EXPIRED,
	AUTH_TOKEN_MISMATCH,  /* it belongs to another key */
	AUTH_TOKEN_REVOKED,
};

/* `token`: the session's, or NULL. The caller is to be cleared whatever the answer. */
enum auth_answer auth_find_caller(const struct auth *auth, const char *key_id, const char *token, int64_t now_s,
				  struct auth_caller *out_caller);
void auth_caller_clear(struct auth_caller *caller);

/* A token of a user, for a caller that was let in (text on the heap, at most 400 bytes). It is sealed, and holds all it needs. It
 * lives for AUTH_TOKEN_S, or, when the caller came with a token, as long as that one; less when it is revoked, and only while its
 * key is active. Sessions of a role get none (-EINVAL): they have temporary keys to sign with. -EIO. */
int auth_issue_token(const struct auth *auth, const struct auth_caller *caller, int64_t now_s, struct auth_token *out_token,
		     char **out_text, struct error *error);
/* AUTH_FOUND, _KEY_ (the one it stands on), _TOKEN_MALFORMED, _TOKEN_EXPIRED or _TOKEN_REVOKED; nobody's `text` is trusted. The
 * caller is to be cleared whatever the answer. */
enum auth_answer auth_find_token(const struct auth *auth, const char *text, int64_t now_s, struct auth_caller *out_caller);
/* From now on, over restarts; those made from it stay. 0 also when it was revoked before or has expired; -ENOSPC past
 * AUTH_REVOKED_MAX, or what the catalog fails with. */
int auth_revoke_token(struct auth *auth, const struct auth_token *token, int64_t now_s, struct error *error);
/* A user's password is the secret of any of their active keys; there is no other. Which of the two was wrong is not told. The
 * caller is to be cleared whatever the answer. */
bool auth_check_password(const struct auth *auth, const char *user, const char *password, struct auth_caller *out_caller);

/* Whether a time (seconds since 1970) is near enough to now. */
bool auth_is_timely(int64_t time_s, int64_t now_s);
/* 0 when the key has not used this nonce before (it has now), -EEXIST when it has; -ENOSPC, -EIO. */
int auth_use_nonce(struct auth *auth, const char *key_id, const char *nonce, int64_t now_s);
/* Before a call changes anything: the nonces used so far outlive a power cut. */
int auth_settle_nonces(struct auth *auth);

/* --- what they may do --- */

enum auth_verdict {
	AUTH_ALLOWED,
	AUTH_NOT_ACTION,   /* nowhere */
	AUTH_NOT_RESOURCE, /* not on this one */
};
enum auth_verdict auth_judge(const struct auth *auth, const struct auth_caller *caller, const struct policy_call *call);

/* --- the store; errors -EINVAL, -ENOENT, -EEXIST, -EBUSY, -EDQUOT with a sentence, or what the catalog fails with --- */

/* Lists of struct auth_principal, auth_key, auth_policy, in no order. Borrowed. */
const struct list *auth_users(const struct auth *auth);
const struct list *auth_roles(const struct auth *auth);
const struct list *auth_keys(const struct auth *auth);
const struct list *auth_policies(const struct auth *auth);
const struct auth_principal *auth_find_principal(const struct auth *auth, bool is_role, const char *name);
const struct auth_policy *auth_find_policy(const struct auth *auth, const char *name);
/* Root's oldest active key: the one in DATA/credentials. */
const struct auth_key *auth_first_key(const struct auth *auth);
/* Called when auth_first_key is another one than before. */
void auth_on_first_key(struct auth *auth, void (*on_change)(void *data), void *data);

int auth_create_principal(struct auth *auth, bool is_role, const char *name, const char *comment, struct error *error);
/* One without keys and policies. */
int auth_delete_principal(struct auth *auth, bool is_role, const char *name, struct error *error);
int auth_create_key(struct auth *auth, const char *user, const struct auth_key **out_key, struct error *error);
int auth_set_key(struct auth *auth, const char *user, const char *key_id, bool active, struct error *error);
int auth_delete_key(struct auth *auth, const char *user, const char *key_id, struct error *error);
int auth_create_policy(struct auth *auth, const char *name, const char *text, struct error *error);
/* One that is attached to nobody. */
int auth_delete_policy(struct auth *auth, const char *name, struct error *error);
int auth_attach_policy(struct auth *auth, bool is_role, const char *name, const char *policy, struct error *error);
int auth_detach_policy(struct auth *auth, bool is_role, const char *name, const char *policy, struct error *error);

/* Keys of a session in a role, and its token (on the heap): valid for so long, by themselves, until the role is deleted. A text
 * of a policy (NULL: none) narrows what the role may do. */
int auth_assume_role(struct auth *auth, const char *role, const char *session, const char *policy, int64_t expires_s,
		     struct auth_key *out_key, char **out_token, struct error *error);

#endif
