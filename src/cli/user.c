/* offsite user|role|key|policy ... */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cli/command.h"
#include "cli/table.h"

#define POLICY_FILE_MAX 6144u

static bool is_role(const struct invocation *invocation)
{
	return strcmp(invocation->command->noun, "role") == 0;
}

/* Rows of an answer {outer: {inner: [...]}}, to be released; NULL with a sentence. */
static json_t *rows_call(struct invocation *invocation, const char *action, const struct parameter *parameters, const char *outer,
			 const char *inner, struct error *error)
{
	json_t *answer = client_call(invocation->client, RAM, action, parameters, error), *rows;

	if (answer == NULL)
		return NULL;
	rows = json_incref(json_object_get(json_object_get(answer, outer), inner));
	json_decref(answer);
	if (rows == NULL)
		error_set(error, -EPROTO, "the answer to %s has no %s", action, outer);
	return rows;
}

/* With --json the answer is printed as it is, and released: there is no table to make. */
static bool ended_as_json(const struct invocation *invocation, json_t *rows)
{
	if (invocation->options[OPTION_JSON] == NULL)
		return false;
	print_json(rows);
	json_decref(rows);
	return true;
}

static json_t *policies_of(struct invocation *invocation, const char *name, struct error *error)
{
	bool role = is_role(invocation);

	return rows_call(invocation, role ? "ListPoliciesForRole" : "ListPoliciesForUser", (struct parameter[]){
		{ role ? "RoleName" : "UserName", name }, { NULL, NULL } }, "Policies", "Policy", error);
}

int run_user_list(struct invocation *invocation, struct error *error)
{
	static const char *const headings[] = { "NAME", "POLICIES", "SINCE", "COMMENT", NULL };
	bool role = is_role(invocation);
	json_t *rows = rows_call(invocation, invocation->command->action, (struct parameter[]){ { NULL, NULL } },
				 role ? "Roles" : "Users", role ? "Role" : "User", error);
	struct table table;

	if (rows == NULL)
		return -EPERM;
	if (ended_as_json(invocation, rows))
		return 0;
	table_init(&table, headings);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *name = row_text(row, role ? "RoleName" : "UserName");
		json_t *policies = policies_of(invocation, name, error);
		char text[TABLE_CELL_SIZE] = "";
		size_t at = 0;

		for (size_t k = 0; k < json_array_size(policies) && at < sizeof text; k++)
			at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", k == 0 ? "" : " ",
					       row_text(json_array_get(policies, k), "PolicyName"));
		json_decref(policies);
		table_add(&table, "%s", name);
		table_add(&table, "%s", !role && strcmp(name, "root") == 0 ? "everything" : text);
		table_add(&table, "%s", row_text(row, "CreateDate"));
		table_add(&table, "%s", row_text(row, role ? "Description" : "Comments"));
	}
	table_print(&table, stdout);
	json_decref(rows);
	return 0;
}

int run_user_change(struct invocation *invocation, struct error *error)
{
	const char *comment = invocation->options[OPTION_COMMENT];

	return call_simple(invocation, RAM, invocation->command->action, (struct parameter[]){
		{ is_role(invocation) ? "RoleName" : "UserName", invocation->arguments[0] },
		{ is_role(invocation) ? "Description" : "Comments", comment }, { "PolicyName", invocation->arguments[1] },
		{ NULL, NULL } }, NULL, error);
}

/* --- keys --- */

static json_t *keys_of(struct invocation *invocation, const char *user, struct error *error)
{
	return rows_call(invocation, "ListAccessKeys", (struct parameter[]){ { "UserName", user }, { NULL, NULL } }, "AccessKeys",
			 "AccessKey", error);
}

/* The keys of one user, or of all, each row with its UserName. NULL with a sentence. */
static json_t *all_keys(struct invocation *invocation, struct error *error)
{
	const char *only = invocation->options[OPTION_USER];
	json_t *users = only != NULL ? json_pack("[{s:s}]", "UserName", only) :
			rows_call(invocation, "ListUsers", (struct parameter[]){ { NULL, NULL } }, "Users", "User", error);
	json_t *all = users == NULL ? NULL : json_array();

	for (size_t i = 0; all != NULL && i < json_array_size(users); i++) {
		const char *user = row_text(json_array_get(users, i), "UserName");
		json_t *keys = keys_of(invocation, user, error);

		for (size_t k = 0; k < json_array_size(keys); k++) {
			json_t *key = json_array_get(keys, k);

			json_object_set_new(key, "UserName", json_string(user));
			json_array_append(all, key);
		}
		if (keys == NULL) {
			json_decref(all);
			all = NULL;
		}
		json_decref(keys);
	}
	json_decref(users);
	return all;
}

int run_key_list(struct invocation *invocation, struct error *error)
{
	static const char *const headings[] = { "KEY", "USER", "STATE", "SINCE", NULL };
	json_t *keys = all_keys(invocation, error);
	struct table table;

	if (keys == NULL)
		return -EPERM;
	if (ended_as_json(invocation, keys))
		return 0;
	table_init(&table, headings);
	for (size_t i = 0; i < json_array_size(keys); i++) {
		const json_t *key = json_array_get(keys, i);

		table_add(&table, "%s", row_text(key, "AccessKeyId"));
		table_add(&table, "%s", row_text(key, "UserName"));
		table_add(&table, "%s", row_text(key, "Status"));
		table_add(&table, "%s", row_text(key, "CreateDate"));
	}
	table_print(&table, stdout);
	json_decref(keys);
	return 0;
}

int run_key_create(struct invocation *invocation, struct error *error)
{
	json_t *answer = client_call(invocation->client, RAM, "CreateAccessKey", (struct parameter[]){
		{ "UserName", invocation->options[OPTION_USER] }, { NULL, NULL } }, error);
	const json_t *key = json_object_get(answer, "AccessKey");

	if (answer == NULL)
		return -EPERM;
	if (invocation->options[OPTION_JSON] != NULL)
		print_json(answer);
	else
		printf("id      %s\nsecret  %s\n\nThe secret is not shown again.\n", row_text(key, "AccessKeyId"),
		       row_text(key, "AccessKeySecret"));
	json_decref(answer);
	return 0;
}

int run_key_change(struct invocation *invocation, struct error *error)
{
	const char *id = invocation->arguments[0], *verb = invocation->command->verb;
	const char *status = strcmp(verb, "enable") == 0 ? "Active" : strcmp(verb, "disable") == 0 ? "Inactive" : NULL;
	json_t *keys = all_keys(invocation, error);
	int result = -ENOENT;

	if (keys == NULL)
		return -EPERM;
	for (size_t i = 0; i < json_array_size(keys) && result == -ENOENT; i++) {
		const json_t *key = json_array_get(keys, i);

		if (strcmp(row_text(key, "AccessKeyId"), id) == 0)
			result = call_simple(invocation, RAM, invocation->command->action, (struct parameter[]){
				{ "UserName", row_text(key, "UserName") }, { "UserAccessKeyId", id }, { "Status", status },
				{ NULL, NULL } }, NULL, error);
	}
	json_decref(keys);
	if (result == -ENOENT)
		return error_set(error, result, "there is no key \"%s\": \"offsite key list\" shows what there is", id);
	return result;
}

/* --- policies --- */

int run_policy_list(struct invocation *invocation, struct error *error)
{
	static const char *const headings[] = { "POLICY", "KIND", NULL };
	json_t *rows = rows_call(invocation, "ListPolicies", (struct parameter[]){ { NULL, NULL } }, "Policies", "Policy", error);
	struct table table;

	if (rows == NULL)
		return -EPERM;
	if (ended_as_json(invocation, rows))
		return 0;
	table_init(&table, headings);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		table_add(&table, "%s", row_text(json_array_get(rows, i), "PolicyName"));
		table_add(&table, "%s", strcmp(row_text(json_array_get(rows, i), "PolicyType"), "System") == 0 ? "built in" : "own");
	}
	table_print(&table, stdout);
	json_decref(rows);
	return 0;
}

int run_policy_show(struct invocation *invocation, struct error *error)
{
	json_t *answer = client_call(invocation->client, RAM, "GetPolicy", (struct parameter[]){
		{ "PolicyName", invocation->arguments[0] }, { NULL, NULL } }, error);

	if (answer == NULL)
		return -EPERM;
	if (invocation->options[OPTION_JSON] != NULL)
		print_json(answer);
	else
		puts(row_text(json_object_get(answer, "DefaultPolicyVersion"), "PolicyDocument"));
	json_decref(answer);
	return 0;
}

/* Bytes read, or a negative errno with a sentence. */
static int read_policy(const char *path, char text[POLICY_FILE_MAX + 2], struct error *error)
{
	FILE *file = fopen(strcmp(path, "-") == 0 ? "/dev/stdin" : path, "re");
	size_t size;

	if (file == NULL)
		return error_set_errno(error, -errno, "cannot read %s", path);
	size = fread(text, 1, POLICY_FILE_MAX + 1, file);
	fclose(file);
	if (size > POLICY_FILE_MAX)
		return error_set(error, -EINVAL, "%s is longer than %u bytes, the most of a policy", path, POLICY_FILE_MAX);
	return (int)size;
}

int run_policy_create(struct invocation *invocation, struct error *error)
{
	AUTO_FREE char *text = memory_new(POLICY_FILE_MAX + 2, 1);
	int result = read_policy(invocation->options[OPTION_FILE], text, error);

	if (result < 0)
		return result;
	return call_simple(invocation, RAM, "CreatePolicy", (struct parameter[]){
		{ "PolicyName", invocation->arguments[0] }, { "PolicyDocument", text }, { NULL, NULL } }, NULL, error);
}

int run_policy_delete(struct invocation *invocation, struct error *error)
{
	return call_simple(invocation, RAM, "DeletePolicy", (struct parameter[]){
		{ "PolicyName", invocation->arguments[0] }, { NULL, NULL } }, NULL, error);
}
