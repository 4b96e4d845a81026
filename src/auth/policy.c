/* The parser refuses all that the evaluation would have to guess at; after it the evaluation asks nothing again. */
#include "auth/policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

#define MAPPED_PREFIX 96u /* bits of ::ffff:0:0/96 */

struct policy {
	json_t *statements;
};

/* What a condition says of a call. */
enum verdict { NO, YES, UNKNOWN };

bool policy_wildcard(const char *pattern, const char *text)
{
	const char *star = NULL, *mark = NULL;

	/* Only the last star is ever tried again: quadratic at worst, whatever the pattern. */
	while (*text != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			mark = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star + 1;
			text = ++mark;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* --- networks: every address as v6, those of v4 mapped --- */

struct network {
	uint8_t bytes[16];
	unsigned bits;
};

static bool address_parse(const char *text, struct network *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	out->bits = 128;
	if (inet_pton(AF_INET6, text, out->bytes) == 1)
		return true;
	memcpy(out->bytes, mapped, sizeof mapped);
	return inet_pton(AF_INET, text, out->bytes + sizeof mapped) == 1;
}

static bool network_parse(const char *text, struct network *out)
{
	const char *slash = strchr(text, '/');
	unsigned base, bits = 0;
	char name[64];

	if (snprintf(name, sizeof name, "%.*s", slash == NULL ? 60 : (int)(slash - text), text) >= (int)sizeof name ||
	    !address_parse(name, out))
		return false;
	if (slash == NULL)
		return true;
	base = strchr(name, ':') == NULL ? MAPPED_PREFIX : 0;
	if (slash[1] == '\0' || strlen(slash + 1) > 3)
		return false;
	for (const char *at = slash + 1; *at != '\0'; at++) {
		if (*at < '0' || *at > '9')
			return false;
		bits = 10 * bits + (unsigned)(*at - '0');
	}
	out->bits = base + bits;
	return out->bits <= 128;
}

static bool is_within(const struct network *network, const struct network *address)
{
	unsigned whole = network->bits / 8, rest = network->bits % 8;

	return memcmp(network->bytes, address->bytes, whole) == 0 &&
	       (rest == 0 || ((network->bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0);
}

/* --- conditions --- */

static bool is_network(const char *value)
{
	struct network network;

	return network_parse(value, &network);
}

static bool is_time(const char *value)
{
	int64_t s;

	return text_parse_time(value, &s);
}

static bool is_bool(const char *value)
{
	return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
}

static bool is_any(const char *value)
{
	return *value != '\0';
}

static enum verdict fits_network(const char *value, const struct policy_call *call)
{
	struct network network, address;

	if (!address_parse(call->source, &address))
		return UNKNOWN;
	return network_parse(value, &network) && is_within(&network, &address) ? YES : NO;
}

static int64_t seconds_after(const char *value, const struct policy_call *call)
{
	int64_t s;

	text_parse_time(value, &s);
	return call->now_s - s;
}

static enum verdict fits_before(const char *value, const struct policy_call *call)
{
	return seconds_after(value, call) < 0 ? YES : NO;
}

static enum verdict fits_until(const char *value, const struct policy_call *call)
{
	return seconds_after(value, call) <= 0 ? YES : NO;
}

static enum verdict fits_after(const char *value, const struct policy_call *call)
{
	return seconds_after(value, call) > 0 ? YES : NO;
}

static enum verdict fits_from(const char *value, const struct policy_call *call)
{
	return seconds_after(value, call) >= 0 ? YES : NO;
}

static enum verdict fits_bool(const char *value, const struct policy_call *call)
{
	return (strcmp(value, "true") == 0) == call->secure ? YES : NO;
}

static const struct operator {
	const char *name, *key;
	bool (*is_valid)(const char *value);
	enum verdict (*fits)(const char *value, const struct policy_call *call);
	bool negated; /* none of the values may fit, rather than one must */
} operators[] = {
	{ "IpAddress", "acs:SourceIp", is_network, fits_network, false },
	{ "NotIpAddress", "acs:SourceIp", is_network, fits_network, true },
	{ "DateLessThan", "acs:CurrentTime", is_time, fits_before, false },
	{ "DateLessThanEquals", "acs:CurrentTime", is_time, fits_until, false },
	{ "DateGreaterThan", "acs:CurrentTime", is_time, fits_after, false },
	{ "DateGreaterThanEquals", "acs:CurrentTime", is_time, fits_from, false },
	{ "Bool", "acs:SecureTransport", is_bool, fits_bool, false },
};

#define OPERATORS (sizeof(operators) / sizeof(operators[0]))

/* A value is one string or a list of them. */
static size_t values_count(const json_t *value)
{
	return json_is_array(value) ? json_array_size(value) : 1;
}

static const char *values_at(const json_t *value, size_t i)
{
	return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static bool values_are(const json_t *value, bool (*is_valid)(const char *))
{
	size_t count = values_count(value);

	if (value == NULL || count == 0 || count > POLICY_VALUES_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (values_at(value, i) == NULL || !is_valid(values_at(value, i)))
			return false;
	}
	return true;
}

static bool condition_is_valid(const json_t *condition)
{
	size_t known = 0;

	if (condition == NULL)
		return true;
	for (size_t i = 0; i < OPERATORS; i++) {
		const json_t *keys = json_object_get(condition, operators[i].name);

		if (keys == NULL)
			continue;
		known++;
		if (json_object_size(keys) != 1 || !values_are(json_object_get(keys, operators[i].key), operators[i].is_valid))
			return false;
	}
	return json_is_object(condition) && known > 0 && known == json_object_size(condition);
}

static const json_t *actions_of(const json_t *statement, bool *out_negated)
{
	const json_t *others = json_object_get(statement, "NotAction");

	*out_negated = others != NULL;
	return others != NULL ? others : json_object_get(statement, "Action");
}

static bool statement_is_valid(const json_t *statement)
{
	const char *effect = json_string_value(json_object_get(statement, "Effect"));
	const json_t *condition = json_object_get(statement, "Condition");
	bool negated;

	/* Three members, and the condition: so never Action and NotAction, nor a word that is not known. */
	return effect != NULL && (strcmp(effect, "Allow") == 0 || strcmp(effect, "Deny") == 0) &&
	       json_object_size(statement) == (condition == NULL ? 3u : 4u) &&
	       values_are(actions_of(statement, &negated), is_any) &&
	       values_are(json_object_get(statement, "Resource"), is_any) && condition_is_valid(condition);
}

static bool document_is_valid(const json_t *document)
{
	const char *version = json_string_value(json_object_get(document, "Version"));
	const json_t *statements = json_object_get(document, "Statement");
	size_t count = json_array_size(statements);

	if (version == NULL || strcmp(version, "1") != 0 || json_object_size(document) != 2 || count == 0 ||
	    count > POLICY_STATEMENTS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!statement_is_valid(json_array_get(statements, i)))
			return false;
	}
	return true;
}

int policy_parse(const char *text, size_t size, struct policy **out_policy, struct error *error)
{
	json_t *document = size > POLICY_TEXT_MAX ? NULL : json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);

	if (document == NULL || !document_is_valid(document)) {
		json_decref(document);
		return error_set(error, -EINVAL, "a policy is JSON of at most %d bytes: Version \"1\", and Statements of Effect, Action "
				 "or NotAction, Resource, and perhaps Condition on acs:SourceIp, acs:CurrentTime or acs:SecureTransport",
				 POLICY_TEXT_MAX);
	}
	*out_policy = memory_new(1, sizeof(**out_policy));
	(*out_policy)->statements = json_incref(json_object_get(document, "Statement"));
	json_decref(document);
	return 0;
}

void policy_free(struct policy *policy)
{
	if (policy != NULL)
		json_decref(policy->statements);
	free(policy);
}

static bool values_match(const json_t *value, const char *text)
{
	for (size_t i = 0; i < values_count(value); i++) {
		if (policy_wildcard(values_at(value, i), text))
			return true;
	}
	return false;
}

static bool names_everything(const json_t *value)
{
	for (size_t i = 0; i < values_count(value); i++) {
		if (strcmp(values_at(value, i), "*") == 0)
			return true;
	}
	return false;
}

static enum verdict operator_fits(const struct operator *operator, const json_t *value, const struct policy_call *call)
{
	enum verdict fits = NO;

	for (size_t k = 0; k < values_count(value) && fits != YES; k++) {
		enum verdict one = operator->fits(values_at(value, k), call);

		fits = one == NO ? fits : one;
	}
	if (fits == UNKNOWN || !operator->negated)
		return fits;
	return fits == YES ? NO : YES;
}

static enum verdict condition_fits(const json_t *condition, const struct policy_call *call)
{
	enum verdict all = YES;

	for (size_t i = 0; i < OPERATORS; i++) {
		const json_t *value = json_object_get(json_object_get(condition, operators[i].name), operators[i].key);
		enum verdict one = value == NULL ? YES : operator_fits(&operators[i], value, call);

		if (one == NO)
			return NO;
		all = one == UNKNOWN ? UNKNOWN : all;
	}
	return all;
}

void policy_evaluate(const struct policy *policy, const struct policy_call *call, struct policy_outcome *outcome)
{
	for (size_t i = 0; i < json_array_size(policy->statements); i++) {
		const json_t *statement = json_array_get(policy->statements, i), *resource = json_object_get(statement, "Resource");
		bool denies = strcmp(json_string_value(json_object_get(statement, "Effect")), "Deny") == 0, negated;
		bool matches = values_match(actions_of(statement, &negated), call->action) != negated;
		enum verdict fits = matches ? condition_fits(json_object_get(statement, "Condition"), call) : NO;

		if (fits == NO || (fits == UNKNOWN && !denies))
			continue;
		if (denies) {
			outcome->denied = outcome->denied || values_match(resource, call->resource);
			outcome->action_denied = outcome->action_denied || names_everything(resource);
		} else {
			outcome->allowed = outcome->allowed || values_match(resource, call->resource);
			outcome->action_allowed = true;
		}
	}
}
