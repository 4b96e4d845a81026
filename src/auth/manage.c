/* Users, roles, keys and policies come and go: each change is stored before it counts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/internal.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

const struct list *auth_users(const struct auth *auth)
{
	return &auth->users;
}

const struct list *auth_roles(const struct auth *auth)
{
	return &auth->roles;
}

const struct list *auth_keys(const struct auth *auth)
{
	return &auth->keys;
}

const struct list *auth_policies(const struct auth *auth)
{
	return &auth->policies;
}

static struct auth_principal *find_principal(const struct auth *auth, bool is_role, const char *name)
{
	const struct list *list = is_role ? &auth->roles : &auth->users;

	for (struct list *entry = list->next; entry != list; entry = entry->next) {
		struct auth_principal *principal = container_of(entry, struct auth_principal, entry);

		if (strcmp(principal->name, name) == 0)
			return principal;
	}
	return NULL;
}

const struct auth_principal *auth_find_principal(const struct auth *auth, bool is_role, const char *name)
{
	return find_principal(auth, is_role, name);
}

static struct auth_policy *find_policy(const struct auth *auth, const char *name)
{
	for (struct list *entry = auth->policies.next; entry != &auth->policies; entry = entry->next) {
		struct auth_policy *policy = container_of(entry, struct auth_policy, entry);

		if (strcmp(policy->name, name) == 0)
			return policy;
	}
	return NULL;
}

const struct auth_policy *auth_find_policy(const struct auth *auth, const char *name)
{
	return find_policy(auth, name);
}

static bool is_name(const char *text)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t length = strlen(text);

	return length > 0 && length < AUTH_NAME_SIZE && strspn(text, allowed) == length;
}

static size_t list_length(const struct list *list)
{
	size_t length = 0;

	for (struct list *entry = list->next; entry != list; entry = entry->next)
		length++;
	return length;
}

static int check_new(const char *what, const char *name, bool exists, const struct list *list, struct error *error)
{
	if (!is_name(name))
		return error_set(error, -EINVAL, "a %s's name has 1 to 64 letters, digits, dots, hyphens or underscores", what);
	if (exists)
		return error_set(error, -EEXIST, "there is a %s %s already", what, name);
	if (list_length(list) >= AUTH_RECORDS_MAX)
		return error_set(error, -EDQUOT, "there are %d of them, and no more are possible", AUTH_RECORDS_MAX);
	return 0;
}

static int no_such(struct error *error, const char *what, const char *name)
{
	return error_set(error, -ENOENT, "there is no %s %.64s", what, name);
}

/* --- users and roles --- */

int auth_create_principal(struct auth *auth, bool is_role, const char *name, const char *comment, struct error *error)
{
	struct list *list = is_role ? &auth->roles : &auth->users;
	struct auth_principal *principal;
	int result = check_new(is_role ? "role" : "user", name, find_principal(auth, is_role, name) != NULL, list, error);

	if (result < 0)
		return result;
	if (strlen(comment) >= AUTH_TEXT_SIZE)
		return error_set(error, -EINVAL, "a comment has at most %d bytes", AUTH_TEXT_SIZE - 1);
	principal = memory_new(1, sizeof *principal);
	text_copy(principal->name, sizeof principal->name, name);
	text_copy(principal->comment, sizeof principal->comment, comment);
	principal->created_s = (int64_t)time(NULL);
	result = auth_store_principal(auth, is_role, principal, error);
	if (result < 0)
		free(principal);
	else
		list_append(list, &principal->entry);
	return result;
}

static uint32_t count_keys(const struct auth *auth, const char *user, bool active)
{
	uint32_t count = 0;

	for (struct list *entry = auth->keys.next; entry != &auth->keys; entry = entry->next) {
		const struct auth_key *key = container_of(entry, struct auth_key, entry);

		count += strcmp(key->user, user) == 0 && (!active || key->active);
	}
	return count;
}

int auth_delete_principal(struct auth *auth, bool is_role, const char *name, struct error *error)
{
	struct auth_principal *principal = find_principal(auth, is_role, name);
	int result;

	if (principal == NULL)
		return no_such(error, is_role ? "role" : "user", name);
	if (!is_role && strcmp(name, AUTH_ROOT) == 0)
		return error_set(error, -EINVAL, "the user " AUTH_ROOT " cannot be deleted");
	if (!is_role && count_keys(auth, name, false) > 0)
		return error_set(error, -EBUSY, "user %s has access keys: delete them first", name);
	if (principal->policy_count > 0)
		return error_set(error, -EBUSY, "%s has policies: detach them first", name);
	result = auth_forget(auth, is_role ? KIND_ROLE : KIND_USER, name, error);
	if (result < 0)
		return result;
	list_remove(&principal->entry);
	free(principal);
	return 0;
}

/* --- keys --- */

const struct auth_key *auth_first_key(const struct auth *auth)
{
	const struct auth_key *first = NULL;

	for (struct list *entry = auth->keys.next; entry != &auth->keys; entry = entry->next) {
		const struct auth_key *key = container_of(entry, struct auth_key, entry);

		if (key->active && strcmp(key->user, AUTH_ROOT) == 0 && (first == NULL || key->created_s < first->created_s))
			first = key;
	}
	return first;
}

void auth_on_first_key(struct auth *auth, void (*on_change)(void *data), void *data)
{
	auth->on_first_key = on_change;
	auth->data = data;
}

static void tell_first_key(struct auth *auth, const struct auth_key *before)
{
	if (auth->on_first_key != NULL && auth_first_key(auth) != before)
		auth->on_first_key(auth->data);
}

int auth_create_key(struct auth *auth, const char *user, const struct auth_key **out_key, struct error *error)
{
	const struct auth_key *first = auth_first_key(auth);
	struct auth_key *key;
	int result;

	if (find_principal(auth, false, user) == NULL)
		return no_such(error, "user", user);
	if (count_keys(auth, user, false) >= AUTH_KEYS_MAX)
		return error_set(error, -EDQUOT, "user %s has %d access keys: delete one first", user, AUTH_KEYS_MAX);
	key = memory_new(1, sizeof *key);
	memcpy(key->id, "LTAI", 4);
	result = auth_random_text(key->id + 4, 20);
	if (result == 0)
		result = auth_random_text(key->secret, 30);
	if (result < 0) {
		free(key);
		return error_set(error, -EIO, "the system gives no random bytes for a key");
	}
	text_copy(key->user, sizeof key->user, user);
	key->active = true;
	key->created_s = (int64_t)time(NULL);
	result = auth_store_key(auth, key, error);
	list_append(&auth->keys, &key->entry);
	if (result < 0) {
		auth_key_free(key);
		return result;
	}
	tell_first_key(auth, first);
	*out_key = key;
	return 0;
}

/* NULL with a sentence. */
static struct auth_key *find_key(const struct auth *auth, const char *user, const char *id, struct error *error)
{
	list_for_each(entry, &auth->keys) {
		struct auth_key *key = container_of(entry, struct auth_key, entry);

		if (strcmp(key->id, id) == 0 && strcmp(key->user, user) == 0)
			return key;
	}
	error_set(error, -ENOENT, "user %.64s has no access key %.47s", user, id);
	return NULL;
}

/* Nobody may lock everybody out. */
static int check_last(const struct auth *auth, const struct auth_key *key, struct error *error)
{
	if (key->active && strcmp(key->user, AUTH_ROOT) == 0 && count_keys(auth, AUTH_ROOT, true) == 1)
		return error_set(error, -EBUSY, "%s is the only active key of " AUTH_ROOT ": make another one first", key->id);
	return 0;
}

int auth_set_key(struct auth *auth, const char *user, const char *key_id, bool active, struct error *error)
{
	const struct auth_key *first = auth_first_key(auth);
	struct auth_key *key = find_key(auth, user, key_id, error);
	int result = key == NULL ? -ENOENT : 0;

	if (key != NULL && !active)
		result = check_last(auth, key, error);
	if (result < 0 || key->active == active)
		return result;
	key->active = active;
	result = auth_store_key(auth, key, error);
	if (result < 0)
		key->active = !active;
	tell_first_key(auth, first);
	return result;
}

int auth_delete_key(struct auth *auth, const char *user, const char *key_id, struct error *error)
{
	const struct auth_key *first = auth_first_key(auth);
	struct auth_key *key = find_key(auth, user, key_id, error);
	int result = key == NULL ? -ENOENT : check_last(auth, key, error);

	if (result == 0)
		result = auth_forget(auth, KIND_KEY, key_id, error);
	if (result < 0)
		return result;
	auth_key_free(key);
	tell_first_key(auth, first);
	return 0;
}

/* --- policies --- */

int auth_create_policy(struct auth *auth, const char *name, const char *text, struct error *error)
{
	struct auth_policy *policy;
	struct policy *parsed;
	int result = check_new("policy", name, find_policy(auth, name) != NULL, &auth->policies, error);

	if (result == 0)
		result = policy_parse(text, strlen(text), &parsed, error);
	if (result < 0)
		return result;
	policy = memory_new(1, sizeof *policy);
	list_append(&auth->policies, &policy->entry);
	text_copy(policy->name, sizeof policy->name, name);
	policy->text = memory_copy_text(text);
	policy->parsed = parsed;
	policy->created_s = (int64_t)time(NULL);
	result = auth_store_policy(auth, policy, error);
	if (result < 0)
		auth_policy_free(policy);
	return result;
}

static bool has_policy(const struct auth_principal *principal, const char *policy, uint32_t *out_at)
{
	for (*out_at = 0; *out_at < principal->policy_count; ++*out_at) {
		if (strcmp(principal->policies[*out_at], policy) == 0)
			return true;
	}
	return false;
}

static bool is_attached(const struct list *principals, const char *policy)
{
	uint32_t at;

	for (struct list *entry = principals->next; entry != principals; entry = entry->next) {
		if (has_policy(container_of(entry, struct auth_principal, entry), policy, &at))
			return true;
	}
	return false;
}

int auth_delete_policy(struct auth *auth, const char *name, struct error *error)
{
	struct auth_policy *policy = find_policy(auth, name);
	int result;

	if (policy == NULL)
		return no_such(error, "policy", name);
	if (policy->built_in)
		return error_set(error, -EINVAL, "policy %s is built in", name);
	if (is_attached(&auth->users, name) || is_attached(&auth->roles, name))
		return error_set(error, -EBUSY, "policy %s is attached: detach it first", name);
	result = auth_forget(auth, KIND_POLICY, name, error);
	if (result < 0)
		return result;
	auth_policy_free(policy);
	return 0;
}

int auth_attach_policy(struct auth *auth, bool is_role, const char *name, const char *policy, struct error *error)
{
	struct auth_principal *principal = find_principal(auth, is_role, name);
	uint32_t at;
	int result;

	if (principal == NULL)
		return no_such(error, is_role ? "role" : "user", name);
	if (find_policy(auth, policy) == NULL)
		return no_such(error, "policy", policy);
	if (has_policy(principal, policy, &at))
		return error_set(error, -EEXIST, "policy %s is attached to %s already", policy, name);
	if (principal->policy_count == AUTH_POLICIES_MAX)
		return error_set(error, -EDQUOT, "%s has %d policies: detach one first", name, AUTH_POLICIES_MAX);
	text_copy(principal->policies[principal->policy_count++], AUTH_NAME_SIZE, policy);
	result = auth_store_principal(auth, is_role, principal, error);
	if (result < 0)
		principal->policy_count--;
	return result;
}

int auth_detach_policy(struct auth *auth, bool is_role, const char *name, const char *policy, struct error *error)
{
	struct auth_principal *principal = find_principal(auth, is_role, name), before;
	uint32_t at;
	int result;

	if (principal == NULL)
		return no_such(error, is_role ? "role" : "user", name);
	if (!has_policy(principal, policy, &at))
		return error_set(error, -ENOENT, "policy %.64s is not attached to %s", policy, name);
	before = *principal;
	memmove(principal->policies[at], principal->policies[at + 1], (principal->policy_count - at - 1) * AUTH_NAME_SIZE);
	principal->policy_count--;
	result = auth_store_principal(auth, is_role, principal, error);
	if (result < 0) {
		memcpy(principal->policies, before.policies, sizeof before.policies);
		principal->policy_count = before.policy_count;
	}
	return result;
}
