/* What a caller may do: a policy's text (RAM's JSON, version "1") and its evaluation. Pure; any thread.
 *
 * A statement: Effect Allow or Deny; Action or NotAction; Resource; and perhaps Condition, of which acs:SourceIp, acs:CurrentTime
 * and acs:SecureTransport are known. Source: the dialect's facts, section 5. */
#ifndef AUTH_POLICY_H
#define AUTH_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct policy;

#define POLICY_TEXT_MAX 6144 /* bytes; a policy is typed by a person */
#define POLICY_STATEMENTS_MAX 64
#define POLICY_VALUES_MAX 64 /* of one Action, Resource or condition */

/* A call as policies see it. Borrowed; none is NULL. */
struct policy_call {
	const char *action;   /* "ebs:StartDiskReplicaPair" */
	const char *resource; /* "acs:ebs:<region>:<account>:diskreplicapair/<id>" */
	const char *source;   /* the caller's address, v4 or v6, without port; "" when it is not known */
	int64_t now_s;        /* since 1970 */
	bool secure;          /* came by TLS */
};

/* What the policies looked at so far say: begin with all false. */
struct policy_outcome {
	bool allowed, denied;
	bool action_allowed; /* on some resource */
	bool action_denied;  /* on every resource */
};

/* Refuses what it does not understand (-EINVAL): a condition that is skipped would give more than was meant. */
int policy_parse(const char *text, size_t size, struct policy **out_policy, struct error *error);
void policy_free(struct policy *policy);

/* Adds what this policy says of the call. A condition that cannot be decided counts against the caller. */
void policy_evaluate(const struct policy *policy, const struct policy_call *call, struct policy_outcome *outcome);

/* `*` any text, `?` any one byte; the rest as it stands. */
bool policy_wildcard(const char *pattern, const char *text);

#endif
