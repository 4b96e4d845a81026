/* Requests signed with an access key: SDK-HMAC-SHA256, as Huawei Cloud's and Open Telekom Cloud's SDKs do. Private to api/huawei,
 * its tests and fuzzers. Pure, but for huawei_check_signature. The control thread.
 *
 * There are no nonces: whoever sees a request on the way can repeat it, as it is, for as long as it is timely (AUTH_SKEW_S). A
 * repeated request must do no more than a client does that tries again because an answer was lost. Headers that are not listed in
 * SignedHeaders can be changed on the way, too, and bodies that the client says it has not signed: believe neither. */
#ifndef API_HUAWEI_SIGNATURE_H
#define API_HUAWEI_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

struct auth;
struct auth_caller;
struct authorization;
struct http_request;
struct text_pair;

#define HUAWEI_HEADER_MAX 4096u     /* bytes of the header Authorization */
#define HUAWEI_SIGNED_HEADERS_MAX 64u

enum huawei_signature {
	HUAWEI_SIGNED,
	HUAWEI_SIGNATURE_MALFORMED, /* the header, the date, or the list: one that is not in order, or names what is not there */
	HUAWEI_SIGNATURE_NO_KEY,    /* no such key, or it is disabled, or the token with it is not good */
	HUAWEI_SIGNATURE_WRONG,
	HUAWEI_SIGNATURE_UNTIMELY,  /* right, and too far from this clock */
};

/* Whether the request claims to be signed so. */
bool huawei_is_signed(const struct http_request *request);
/* Who signed it. The caller is to be cleared whatever the answer; it is let in with HUAWEI_SIGNED alone. */
enum huawei_signature huawei_check_signature(const struct auth *auth, const struct http_request *request, int64_t now_s,
					     struct auth_caller *out_caller);

/* --- its parts --- */

/* What of a request is signed; all borrowed. */
struct huawei_request {
	const char *method, *path; /* the path decoded, without the query */
	struct text_pair *query;   /* decoded; put in order when it is signed */
	size_t query_count;
	/* The value of a header, however its name is written; NULL when it is missing. */
	const char *(*find_header)(const void *headers, const char *name);
	const void *headers;
	const char *body;
	size_t size;
};

/* Takes the header apart; its text is to be freed whatever the answer. False when it is not of this kind, or too long. */
bool huawei_read_authorization(const char *header, struct authorization *out_authorization);
/* SHA-256 of the canonical request. False when SignedHeaders is not good: lower case, in order, once each, "x-sdk-date" among
 * them, and all of them there. */
bool huawei_canonical_hash(const struct huawei_request *request, const char *signed_headers, char out_hash[SHA256_HEX_SIZE]);
void huawei_sign(const char *date, const char *hash, const char *secret, char out_signature[SHA256_HEX_SIZE]);
/* All but HUAWEI_SIGNATURE_NO_KEY. */
enum huawei_signature huawei_verify(const struct huawei_request *request, const struct authorization *authorization,
				    const char *secret, int64_t now_s);

#endif
