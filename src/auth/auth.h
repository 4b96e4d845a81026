/* Who may call: access keys with their secrets, and nonces that may be used once. No HTTP. The control thread. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stdint.h>

struct auth;
struct catalog;
struct error;

#define AUTH_KEY_ID_SIZE 32
#define AUTH_SECRET_SIZE 64
#define AUTH_SKEW_S (15 * 60)     /* how far a caller's clock may be off */
#define AUTH_NONCE_S (2 * AUTH_SKEW_S) /* how long a nonce is remembered: over the whole of that */

/* Loads the keys; makes the first one when there is none. Borrows the catalog until auth_free. */
int auth_new(struct catalog *catalog, struct auth **out_auth, struct error *error);
void auth_free(struct auth *auth);

/* The key made at first start. Borrows. */
const char *auth_first_key_id(const struct auth *auth);
const char *auth_first_key_secret(const struct auth *auth);

/* The secret of a key that is not disabled, or NULL; *out_disabled tells the two apart. Borrows. */
const char *auth_find_secret(const struct auth *auth, const char *key_id, bool *out_disabled);

/* Whether a time (seconds since 1970) is near enough to now. */
bool auth_is_timely(int64_t time_s, int64_t now_s);

/* True when the key has not used this nonce before; it has now. */
bool auth_use_nonce(struct auth *auth, const char *key_id, const char *nonce, int64_t now_s);

#endif
