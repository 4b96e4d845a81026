/* Users, roles, keys and policies in the words of RAM 2015-05-01, sessions in those of STS 2015-04-01: what `offsite user` and
 * the like call, and other RAM clients may. Who may assume a role is told by policies alone: those that allow sts:AssumeRole on
 * it. */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/aliyun/internal.h"
#include "api/http/http.h"
#include "auth/auth.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

#define SESSION_S_DEFAULT 3600
#define POLICY_DOCUMENT_MAX 6144u

static json_t *time_json(int64_t seconds)
{
	char text[TEXT_TIME_SIZE];

	text_write_time(seconds, text);
	return json_string(text);
}

static json_t *fail(const struct error *problem, struct aliyun_error *error)
{
	switch (problem->code) {
	case -EINVAL:
		aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "%s.", problem->text);
		break;
	case -ENOENT:
		aliyun_fail(error, MHD_HTTP_NOT_FOUND, "EntityNotExist", "%s.", problem->text);
		break;
	case -EEXIST:
		aliyun_fail(error, MHD_HTTP_CONFLICT, "EntityAlreadyExists", "%s.", problem->text);
		break;
	case -EBUSY:
		aliyun_fail(error, MHD_HTTP_CONFLICT, "DeleteConflict", "%s.", problem->text);
		break;
	case -EDQUOT:
		aliyun_fail(error, MHD_HTTP_CONFLICT, "LimitExceeded", "%s.", problem->text);
		break;
	default:
		aliyun_fail(error, MHD_HTTP_INTERNAL_SERVER_ERROR, "InternalError", "%s.", problem->text);
	}
	return NULL;
}

static json_t *done(int result, const struct error *problem, struct aliyun_error *error)
{
	return result < 0 ? fail(problem, error) : json_object();
}

/* Without a name the caller's own. */
static const char *user_of(const struct aliyun *aliyun, const struct http_request *request)
{
	const char *name = aliyun_given(request, "UserName");

	return name != NULL ? name : aliyun->caller->user;
}

/* --- users and roles --- */

static json_t *principal_row(const struct auth_principal *principal, bool is_role)
{
	char arn[AUTH_NAME_SIZE + 32];
	json_t *row;

	if (!is_role)
		return json_pack("{s:s, s:s, s:s, s:s, s:o}", "UserId", principal->name, "UserName", principal->name, "DisplayName",
				 principal->name, "Comments", principal->comment, "CreateDate", time_json(principal->created_s));
	snprintf(arn, sizeof(arn), "acs:ram::offsite:role/%s", principal->name);
	row = json_pack("{s:s, s:s, s:s, s:s, s:o, s:i}", "RoleId", principal->name, "RoleName", principal->name, "Arn", arn,
			"Description", principal->comment, "CreateDate", time_json(principal->created_s), "MaxSessionDuration",
			AUTH_SESSION_S_MAX);
	return row;
}

static const char *const nouns[] = { "User", "Role" };

static json_t *get_principal(struct aliyun *aliyun, bool is_role, const char *name, struct aliyun_error *error)
{
	const struct auth_principal *principal = auth_find_principal(aliyun->auth, is_role, name);

	if (principal != NULL)
		return json_pack("{s:o}", nouns[is_role], principal_row(principal, is_role));
	aliyun_fail(error, MHD_HTTP_NOT_FOUND, "EntityNotExist", "There is no %s %.64s.", is_role ? "role" : "user", name);
	return NULL;
}

static json_t *create_principal(struct aliyun *aliyun, const struct http_request *request, bool is_role,
				struct aliyun_error *error)
{
	const char *name = aliyun_need(request, is_role ? "RoleName" : "UserName", error);
	const char *comment = aliyun_given(request, is_role ? "Description" : "Comments");
	struct error problem;

	if (name == NULL)
		return NULL;
	if (aliyun_given(request, "AssumeRolePolicyDocument") != NULL) {
		aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "AssumeRolePolicyDocument is not known here: give users a "
			    "policy that allows sts:AssumeRole on acs:ram:*:*:role/%.64s.", name);
		return NULL;
	}
	if (auth_create_principal(aliyun->auth, is_role, name, comment == NULL ? "" : comment, &problem) < 0)
		return fail(&problem, error);
	return get_principal(aliyun, is_role, name, error);
}

static json_t *list_principals(struct aliyun *aliyun, bool is_role)
{
	const struct list *list = is_role ? auth_roles(aliyun->auth) : auth_users(aliyun->auth);
	json_t *rows = json_array();

	for (struct list *entry = list->next; entry != list; entry = entry->next)
		json_array_append_new(rows, principal_row(container_of(entry, struct auth_principal, entry), is_role));
	return json_pack("{s:{s:o}, s:b}", is_role ? "Roles" : "Users", nouns[is_role], rows, "IsTruncated", 0);
}

static json_t *delete_principal(struct aliyun *aliyun, const struct http_request *request, bool is_role,
				struct aliyun_error *error)
{
	const char *name = aliyun_need(request, is_role ? "RoleName" : "UserName", error);
	struct error problem;

	return name == NULL ? NULL : done(auth_delete_principal(aliyun->auth, is_role, name, &problem), &problem, error);
}

json_t *aliyun_create_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return create_principal(aliyun, request, false, error);
}

json_t *aliyun_create_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return create_principal(aliyun, request, true, error);
}

json_t *aliyun_get_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return get_principal(aliyun, false, user_of(aliyun, request), error);
}

json_t *aliyun_get_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *name = aliyun_need(request, "RoleName", error);

	return name == NULL ? NULL : get_principal(aliyun, true, name, error);
}

json_t *aliyun_list_users(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	(void)request;
	(void)error;
	return list_principals(aliyun, false);
}

json_t *aliyun_list_roles(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	(void)request;
	(void)error;
	return list_principals(aliyun, true);
}

json_t *aliyun_delete_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return delete_principal(aliyun, request, false, error);
}

json_t *aliyun_delete_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return delete_principal(aliyun, request, true, error);
}

/* --- keys --- */

static json_t *key_row(const struct auth_key *key)
{
	return json_pack("{s:s, s:s, s:o}", "AccessKeyId", key->id, "Status", key->active ? "Active" : "Inactive", "CreateDate",
			 time_json(key->created_s));
}

json_t *aliyun_create_key(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const struct auth_key *key;
	struct error problem;
	json_t *row;

	if (auth_create_key(aliyun->auth, user_of(aliyun, request), &key, &problem) < 0)
		return fail(&problem, error);
	row = key_row(key);
	json_object_set_new(row, "AccessKeySecret", json_string(key->secret));
	return json_pack("{s:o}", "AccessKey", row);
}

json_t *aliyun_list_keys(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const struct list *list = auth_keys(aliyun->auth);
	const char *user = user_of(aliyun, request);
	json_t *rows;

	if (auth_find_principal(aliyun->auth, false, user) == NULL)
		return get_principal(aliyun, false, user, error);
	rows = json_array();
	for (struct list *entry = list->next; entry != list; entry = entry->next) {
		const struct auth_key *key = container_of(entry, struct auth_key, entry);

		if (strcmp(key->user, user) == 0)
			json_array_append_new(rows, key_row(key));
	}
	return json_pack("{s:{s:o}}", "AccessKeys", "AccessKey", rows);
}

json_t *aliyun_update_key(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *id = aliyun_need(request, "UserAccessKeyId", error);
	const char *status = id == NULL ? NULL : aliyun_need(request, "Status", error);
	struct error problem;

	if (status == NULL)
		return NULL;
	if (strcmp(status, "Active") != 0 && strcmp(status, "Inactive") != 0) {
		aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "Status must be Active or Inactive.");
		return NULL;
	}
	return done(auth_set_key(aliyun->auth, user_of(aliyun, request), id, strcmp(status, "Active") == 0, &problem), &problem,
		    error);
}

json_t *aliyun_delete_key(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *id = aliyun_need(request, "UserAccessKeyId", error);
	struct error problem;

	return id == NULL ? NULL : done(auth_delete_key(aliyun->auth, user_of(aliyun, request), id, &problem), &problem, error);
}

/* --- policies --- */

static json_t *policy_row(const struct auth_policy *policy)
{
	return json_pack("{s:s, s:s, s:s, s:o}", "PolicyName", policy->name, "PolicyType", policy->built_in ? "System" : "Custom",
			 "DefaultVersion", "v1", "CreateDate", time_json(policy->created_s));
}

json_t *aliyun_create_policy(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *name = aliyun_need(request, "PolicyName", error);
	const char *document = name == NULL ? NULL : aliyun_need(request, "PolicyDocument", error);
	struct error problem;

	if (document == NULL)
		return NULL;
	if (auth_create_policy(aliyun->auth, name, document, &problem) < 0)
		return fail(&problem, error);
	return json_pack("{s:o}", "Policy", policy_row(auth_find_policy(aliyun->auth, name)));
}

json_t *aliyun_get_policy(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *name = aliyun_need(request, "PolicyName", error);
	const struct auth_policy *policy = name == NULL ? NULL : auth_find_policy(aliyun->auth, name);

	if (policy != NULL)
		return json_pack("{s:o, s:{s:s, s:b, s:s}}", "Policy", policy_row(policy), "DefaultPolicyVersion", "VersionId", "v1",
				 "IsDefaultVersion", 1, "PolicyDocument", policy->text);
	if (name != NULL)
		aliyun_fail(error, MHD_HTTP_NOT_FOUND, "EntityNotExist", "There is no policy %.64s.", name);
	return NULL;
}

json_t *aliyun_list_policies(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const struct list *list = auth_policies(aliyun->auth);
	json_t *rows = json_array();

	(void)request;
	(void)error;
	for (struct list *entry = list->next; entry != list; entry = entry->next)
		json_array_append_new(rows, policy_row(container_of(entry, struct auth_policy, entry)));
	return json_pack("{s:{s:o}, s:b}", "Policies", "Policy", rows, "IsTruncated", 0);
}

json_t *aliyun_delete_policy(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *name = aliyun_need(request, "PolicyName", error);
	struct error problem;

	return name == NULL ? NULL : done(auth_delete_policy(aliyun->auth, name, &problem), &problem, error);
}

static json_t *attach(struct aliyun *aliyun, const struct http_request *request, bool is_role, bool attaches,
		      struct aliyun_error *error)
{
	const char *name = aliyun_need(request, is_role ? "RoleName" : "UserName", error);
	const char *policy = name == NULL ? NULL : aliyun_need(request, "PolicyName", error);
	struct error problem;

	if (policy == NULL)
		return NULL;
	return done(attaches ? auth_attach_policy(aliyun->auth, is_role, name, policy, &problem) :
		    auth_detach_policy(aliyun->auth, is_role, name, policy, &problem), &problem, error);
}

static json_t *list_attached(struct aliyun *aliyun, bool is_role, const char *name, struct aliyun_error *error)
{
	const struct auth_principal *principal = auth_find_principal(aliyun->auth, is_role, name);
	json_t *rows;

	if (principal == NULL)
		return get_principal(aliyun, is_role, name, error);
	rows = json_array();
	for (uint32_t i = 0; i < principal->policy_count; i++) {
		const struct auth_policy *policy = auth_find_policy(aliyun->auth, principal->policies[i]);

		if (policy != NULL)
			json_array_append_new(rows, policy_row(policy));
	}
	return json_pack("{s:{s:o}}", "Policies", "Policy", rows);
}

json_t *aliyun_attach_to_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return attach(aliyun, request, false, true, error);
}

json_t *aliyun_attach_to_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return attach(aliyun, request, true, true, error);
}

json_t *aliyun_detach_from_user(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return attach(aliyun, request, false, false, error);
}

json_t *aliyun_detach_from_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return attach(aliyun, request, true, false, error);
}

json_t *aliyun_list_user_policies(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	return list_attached(aliyun, false, user_of(aliyun, request), error);
}

json_t *aliyun_list_role_policies(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *name = aliyun_need(request, "RoleName", error);

	return name == NULL ? NULL : list_attached(aliyun, true, name, error);
}

/* --- sessions --- */

static bool is_session_name(const char *text)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-@=";
	size_t length = strlen(text);

	return length >= 2 && length < AUTH_NAME_SIZE && strspn(text, allowed) == length;
}

json_t *aliyun_assume_role(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *arn = aliyun_need(request, "RoleArn", error), *policy = aliyun_given(request, "Policy");
	const char *session = arn == NULL ? NULL : aliyun_need(request, "RoleSessionName", error), *role;
	char who[2 * AUTH_NAME_SIZE + 40], id[2 * AUTH_NAME_SIZE];
	struct auth_key key;
	struct error problem;
	AUTO_FREE char *token = NULL;
	uint64_t seconds;
	int64_t expires_s;

	if (session == NULL || !aliyun_read_number(request, "DurationSeconds", AUTH_SESSION_S_MIN, AUTH_SESSION_S_MAX,
						   SESSION_S_DEFAULT, &seconds, error))
		return NULL;
	role = strrchr(arn, '/');
	if (role == NULL || strncmp(arn, "acs:ram:", 8) != 0 || !is_session_name(session) ||
	    (policy != NULL && strlen(policy) > POLICY_DOCUMENT_MAX)) {
		aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "RoleArn must be acs:ram::offsite:role/NAME, and "
			    "RoleSessionName have 2 to 64 letters, digits or . _ - @ =.");
		return NULL;
	}
	expires_s = (int64_t)time(NULL) + (int64_t)seconds;
	if (auth_assume_role(aliyun->auth, ++role, session, policy, expires_s, &key, &token, &problem) < 0)
		return fail(&problem, error);
	snprintf(who, sizeof(who), "acs:ram::offsite:role/%s/%s", role, session);
	snprintf(id, sizeof(id), "%s:%s", role, session);
	return json_pack("{s:{s:s, s:s, s:s, s:o}, s:{s:s, s:s}}", "Credentials", "AccessKeyId", key.id, "AccessKeySecret",
			 key.secret, "SecurityToken", token, "Expiration", time_json(expires_s), "AssumedRoleUser", "Arn", who,
			 "AssumedRoleId", id);
}

json_t *aliyun_get_caller(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const struct auth_caller *caller = aliyun->caller;
	bool is_role = caller->role[0] != '\0';
	char arn[2 * AUTH_NAME_SIZE + 40];

	(void)request;
	(void)error;
	if (is_role)
		snprintf(arn, sizeof(arn), "acs:ram::offsite:assumed-role/%s/%s", caller->role, caller->session);
	else
		snprintf(arn, sizeof(arn), "acs:ram::offsite:user/%s", caller->user);
	return json_pack("{s:s, s:s, s:s, s:s}", "AccountId", "offsite", "Arn", arn, "IdentityType", is_role ? "AssumedRoleUser" :
			 strcmp(caller->user, AUTH_ROOT) == 0 ? "Account" : "RAMUser", "PrincipalId",
			 is_role ? caller->role : caller->user);
}
