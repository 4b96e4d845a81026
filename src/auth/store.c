/* Users, roles, keys and policies as records of the catalog. What was revoked is token.c's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/internal.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "catalog/catalog.h"

const char *auth_text(const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text == NULL ? "" : text;
}

static int damaged(struct error *error, const char *kind, const char *id)
{
	return error_set(error, -EBADMSG, "the catalog's record of %s %.80s is damaged", kind, id);
}

static int load_principal(struct auth *auth, bool is_role, const char *id, const char *body, struct error *error)
{
	json_t *json = json_loads(body, JSON_REJECT_DUPLICATES, NULL), *policies = json_object_get(json, "policies");
	struct auth_principal *principal;

	if (json == NULL || json_array_size(policies) > AUTH_POLICIES_MAX || strlen(id) >= AUTH_NAME_SIZE) {
		json_decref(json);
		return damaged(error, is_role ? KIND_ROLE : KIND_USER, id);
	}
	principal = memory_new(1, sizeof *principal);
	text_copy(principal->name, sizeof principal->name, id);
	text_copy(principal->comment, sizeof principal->comment, auth_text(json, "comment"));
	principal->created_s = json_integer_value(json_object_get(json, "created"));
	for (size_t i = 0; i < json_array_size(policies); i++) {
		const char *name = json_string_value(json_array_get(policies, i));

		text_copy(principal->policies[principal->policy_count++], AUTH_NAME_SIZE, name == NULL ? "" : name);
	}
	list_append(is_role ? &auth->roles : &auth->users, &principal->entry);
	json_decref(json);
	return 0;
}

static int on_user(void *data, const char *id, const char *body, struct error *error)
{
	return load_principal(data, false, id, body, error);
}

static int on_role(void *data, const char *id, const char *body, struct error *error)
{
	return load_principal(data, true, id, body, error);
}

static int on_key(void *data, const char *id, const char *body, struct error *error)
{
	struct auth *auth = data;
	json_t *json = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	const char *sealed = json_string_value(json_object_get(json, "secret"));
	size_t size = 0;
	char *secret = sealed == NULL ? NULL : secrets_unseal(&auth->secrets, id, sealed, &size);
	struct auth_key *key;
	int result = 0;

	if (sealed == NULL || strlen(id) >= AUTH_KEY_ID_SIZE || size >= AUTH_SECRET_SIZE) {
		result = damaged(error, KIND_KEY, id);
	} else if (secret == NULL) {
		result = error_set(error, -EBADMSG, "access key %s cannot be unsealed: secret.key is not the one it was sealed with",
				   id);
	} else {
		key = memory_new(1, sizeof *key);
		text_copy(key->id, sizeof key->id, id);
		text_copy(key->secret, sizeof key->secret, secret);
		text_copy(key->user, sizeof key->user, auth_text(json, "user"));
		key->active = json_is_true(json_object_get(json, "active"));
		key->created_s = json_integer_value(json_object_get(json, "created"));
		list_append(&auth->keys, &key->entry);
	}
	if (secret != NULL)
		memory_wipe(secret, size);
	free(secret);
	json_decref(json);
	return result;
}

static int on_policy(void *data, const char *id, const char *body, struct error *error)
{
	struct auth *auth = data;
	json_t *json = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	const char *text = json_string_value(json_object_get(json, "document"));
	struct auth_policy *policy = memory_new(1, sizeof *policy);

	if (text == NULL || strlen(id) >= AUTH_NAME_SIZE || policy_parse(text, strlen(text), &policy->parsed, error) < 0) {
		free(policy);
		json_decref(json);
		return damaged(error, KIND_POLICY, id);
	}
	text_copy(policy->name, sizeof policy->name, id);
	policy->text = memory_copy_text(text);
	policy->created_s = json_integer_value(json_object_get(json, "created"));
	list_append(&auth->policies, &policy->entry);
	json_decref(json);
	return 0;
}

/* There without being stored, and not to be deleted. */
static void add_built_in(struct auth *auth, const char *name, const char *text)
{
	struct auth_policy *policy = memory_new(1, sizeof *policy);

	text_copy(policy->name, sizeof policy->name, name);
	policy->text = memory_copy_text(text);
	policy->built_in = true;
	if (policy_parse(text, strlen(text), &policy->parsed, NULL) < 0)
		abort(); /* ours, and not what the parser takes */
	list_append(&auth->policies, &policy->entry);
}

int auth_load(struct auth *auth, struct error *error)
{
	int result;

	add_built_in(auth, "AdministratorAccess",
		     "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}");
	add_built_in(auth, "ReadOnlyAccess", "{\"Version\":\"1\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"*:Describe*\","
		     "\"*:List*\",\"*:Get*\",\"*:Preview*\"],\"Resource\":\"*\"}]}");
	result = catalog_each(auth->catalog, KIND_POLICY, on_policy, auth, error);
	if (result == 0)
		result = catalog_each(auth->catalog, KIND_USER, on_user, auth, error);
	if (result == 0)
		result = catalog_each(auth->catalog, KIND_ROLE, on_role, auth, error);
	if (result == 0)
		result = catalog_each(auth->catalog, KIND_KEY, on_key, auth, error);
	if (result == 0)
		result = auth_load_revoked(auth, error);
	return result;
}

void auth_key_free(struct auth_key *key)
{
	list_remove(&key->entry);
	memory_wipe(key->secret, sizeof key->secret);
	free(key);
}

void auth_policy_free(struct auth_policy *policy)
{
	list_remove(&policy->entry);
	policy_free(policy->parsed);
	free(policy->text);
	free(policy);
}

static void free_principals(struct list *list)
{
	list_for_each(entry, list)
		free(container_of(entry, struct auth_principal, entry));
}

void auth_unload(struct auth *auth)
{
	list_for_each(entry, &auth->keys)
		auth_key_free(container_of(entry, struct auth_key, entry));
	list_for_each(entry, &auth->policies)
		auth_policy_free(container_of(entry, struct auth_policy, entry));
	free_principals(&auth->users);
	free_principals(&auth->roles);
	free(auth->revoked);
}

/* Takes the JSON. */
static int store(struct auth *auth, const char *kind, const char *id, json_t *json, struct error *error)
{
	AUTO_FREE char *body = json_dumps(json, JSON_COMPACT);
	int result;

	json_decref(json);
	if (body == NULL)
		return error_set(error, -EINVAL, "%s %.80s cannot be stored: it is no UTF-8 text", kind, id);
	result = catalog_begin(auth->catalog, error);
	if (result < 0)
		return result;
	result = catalog_put(auth->catalog, kind, id, body, error);
	if (result == 0)
		return catalog_commit(auth->catalog, error);
	catalog_rollback(auth->catalog);
	return result;
}

int auth_store_principal(struct auth *auth, bool is_role, const struct auth_principal *principal, struct error *error)
{
	json_t *policies = json_array();

	for (uint32_t i = 0; i < principal->policy_count; i++)
		json_array_append_new(policies, json_string(principal->policies[i]));
	return store(auth, is_role ? KIND_ROLE : KIND_USER, principal->name,
		     json_pack("{s:s, s:I, s:o}", "comment", principal->comment, "created", (json_int_t)principal->created_s,
			       "policies", policies), error);
}

int auth_store_key(struct auth *auth, const struct auth_key *key, struct error *error)
{
	AUTO_FREE char *sealed = secrets_seal(&auth->secrets, key->id, key->secret, strlen(key->secret));

	if (sealed == NULL)
		return error_set(error, -EIO, "the system gives no random bytes for a key");
	return store(auth, KIND_KEY, key->id, json_pack("{s:s, s:s, s:b, s:I}", "user", key->user, "secret", sealed, "active",
		     (int)key->active, "created", (json_int_t)key->created_s), error);
}

int auth_store_policy(struct auth *auth, const struct auth_policy *policy, struct error *error)
{
	return store(auth, KIND_POLICY, policy->name, json_pack("{s:s, s:I}", "document", policy->text, "created",
		     (json_int_t)policy->created_s), error);
}

int auth_forget(struct auth *auth, const char *kind, const char *id, struct error *error)
{
	int result = catalog_begin(auth->catalog, error);

	if (result < 0)
		return result;
	result = catalog_remove(auth->catalog, kind, id, error);
	if (result == 0)
		return catalog_commit(auth->catalog, error);
	catalog_rollback(auth->catalog);
	return result;
}
