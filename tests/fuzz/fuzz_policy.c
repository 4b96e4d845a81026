/* Policies and calls: a line each of action, resource, source, time and "tls" or not, then the policy's text. What is parsed is
 * held against the rules of evaluation, and wildcards against a slower way to match them. */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/policy.h"
#include "base/text.h"

#define LINES 5
#define MATCH_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A row of the table for each byte of the pattern: which beginnings of the text match up to there. */
static bool matches_slowly(const char *pattern, const char *text)
{
	bool row[MATCH_MAX + 1] = { true };
	size_t length = strlen(text);

	for (; *pattern != '\0'; pattern++) {
		bool before = row[0];

		row[0] = before && *pattern == '*';
		for (size_t i = 1; i <= length; i++) {
			bool above = row[i];

			row[i] = *pattern == '*' ? above || row[i - 1] : before && (*pattern == '?' || *pattern == text[i - 1]);
			before = above;
		}
	}
	return row[length];
}

static void fuzz_wildcard(const char *pattern, const char *text)
{
	if (strlen(pattern) <= MATCH_MAX && strlen(text) <= MATCH_MAX)
		assert(policy_wildcard(pattern, text) == matches_slowly(pattern, text));
}

static struct policy_outcome say(const struct policy *policy, const struct policy_call *call)
{
	struct policy_outcome outcome = { 0 }, again = { 0 }, full = { true, true, true, true };

	policy_evaluate(policy, call, &outcome);
	policy_evaluate(policy, call, &again);
	assert(memcmp(&outcome, &again, sizeof(outcome)) == 0);
	/* What others said stays. */
	policy_evaluate(policy, call, &full);
	assert(full.allowed && full.denied && full.action_allowed && full.action_denied);
	assert(!outcome.allowed || outcome.action_allowed);
	return outcome;
}

/* A document of these statements (taken): it must be a good one. */
static struct policy_outcome say_of(json_t *statements, const struct policy_call *call)
{
	json_t *document = json_pack("{s:s, s:o}", "Version", "1", "Statement", statements);
	char *text = json_dumps(document, JSON_COMPACT);
	struct policy_outcome outcome = { 0 };
	struct policy *policy;

	if (strlen(text) <= POLICY_TEXT_MAX) {
		assert(policy_parse(text, strlen(text), &policy, NULL) == 0);
		outcome = say(policy, call);
		policy_free(policy);
	}
	free(text);
	json_decref(document);
	return outcome;
}

/* The statement alone: it allows or denies, never both; and what its actions do not name, the others do. */
static struct policy_outcome say_alone(json_t *statement, const struct policy_call *call)
{
	bool denies = strcmp(json_string_value(json_object_get(statement, "Effect")), "Deny") == 0;
	const char *name = json_object_get(statement, "Action") != NULL ? "Action" : "NotAction";
	json_t *other = json_copy(statement);
	struct policy_outcome outcome = say_of(json_pack("[O]", statement), call), opposite;

	assert(denies ? !outcome.allowed && !outcome.action_allowed : !outcome.denied && !outcome.action_denied);
	json_object_set(other, name[0] == 'A' ? "NotAction" : "Action", json_object_get(statement, name));
	json_object_del(other, name);
	json_object_set_new(other, "Effect", json_string("Allow"));
	if (json_object_get(statement, "Condition") == NULL && !denies) {
		opposite = say_of(json_pack("[O]", other), call);
		assert(outcome.action_allowed != opposite.action_allowed);
	}
	json_decref(other);
	return outcome;
}

/* The whole says what its statements say, each for itself, whatever their order. */
static void compare_parts(const char *text, size_t size, const struct policy_call *call, struct policy_outcome whole)
{
	json_t *document = json_loadb(text, size, 0, NULL), *statement;
	struct policy_outcome sum = { 0 };
	size_t index;

	json_array_foreach(json_object_get(document, "Statement"), index, statement) {
		struct policy_outcome one = say_alone(statement, call);

		sum.allowed = sum.allowed || one.allowed;
		sum.denied = sum.denied || one.denied;
		sum.action_allowed = sum.action_allowed || one.action_allowed;
		sum.action_denied = sum.action_denied || one.action_denied;
	}
	assert(memcmp(&sum, &whole, sizeof(sum)) == 0);
	json_decref(document);
}

static void fuzz_policy(const char *text, size_t size, const struct policy_call *call)
{
	struct policy_call hidden = *call;
	struct policy_outcome outcome, unknown;
	struct policy *policy = NULL;

	if (policy_parse(text, size, &policy, NULL) < 0) {
		assert(policy == NULL);
		return;
	}
	assert(size <= POLICY_TEXT_MAX);
	outcome = say(policy, call);
	compare_parts(text, size, call, outcome);
	/* Nobody gains by hiding where they come from. */
	hidden.source = "";
	unknown = say(policy, &hidden);
	assert(outcome.allowed || !unknown.allowed);
	assert(outcome.action_allowed || !unknown.action_allowed);
	assert(!outcome.denied || unknown.denied);
	assert(!outcome.action_denied || unknown.action_denied);
	policy_free(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char *copy = malloc(size + 1), *rest = copy, *lines[LINES];
	struct policy_call call = { 0 };

	memcpy(copy, bytes, size);
	copy[size] = '\0';
	for (size_t i = 0; i < LINES; i++) {
		char *end = memchr(rest, '\n', (size_t)(copy + size - rest));

		lines[i] = rest;
		if (end == NULL) {
			free(copy);
			return 0;
		}
		*end = '\0';
		rest = end + 1;
	}
	call.action = lines[0];
	call.resource = lines[1];
	call.source = lines[2];
	text_parse_time(lines[3], &call.now_s);
	call.secure = strcmp(lines[4], "tls") == 0;
	fuzz_wildcard(call.resource, call.action);
	fuzz_policy(rest, (size_t)(copy + size - rest), &call);
	free(copy);
	return 0;
}
