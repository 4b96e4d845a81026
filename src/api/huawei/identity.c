/* Keystone v3: discovery, tokens, and who and what there is: the users of auth/, and one project and one domain, which every user
 * is in. The roles of a user are the names of their policies. The id of a user or a role is its name. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/http/http.h"
#include "api/huawei/internal.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"

#define DOMAIN_ID "default"
#define DOMAIN_NAME "Default"
#define METHODS_MAX 8u

/* --- discovery --- */

static json_t *version_row(const struct huawei_call *call, const char *path)
{
	char base[256];

	huawei_base_url(call, base);
	return json_pack("{s:s, s:s, s:s, s:[{s:s, s:s+}], s:[{s:s, s:s}]}", "id", "v3.14", "status", "stable", "updated",
			 "2020-04-07T00:00:00Z", "links", "rel", "self", "href", base, path, "media-types", "base",
			 "application/json", "type", "application/vnd.openstack.identity-v3+json");
}

static void versions(struct huawei_call *call)
{
	huawei_answer(call, 300, json_pack("{s:{s:[o]}}", "versions", "values", version_row(call, "/identity/v3/")));
}

static void version(struct huawei_call *call)
{
	bool is_below = strncmp(http_request_path(call->request), "/identity", 9) == 0;

	huawei_answer(call, 200, json_pack("{s:o}", "version", version_row(call, is_below ? "/identity/v3/" : "/v3/")));
}

/* A client of volumes makes sure that there are images before it asks for none. */
static void image_versions(struct huawei_call *call)
{
	char base[256];

	huawei_base_url(call, base);
	huawei_answer(call, 300, json_pack("{s:[{s:s, s:s, s:[{s:s, s:s+}]}]}", "versions", "id", "v2.9", "status", "CURRENT",
					   "links", "rel", "self", "href", base, "/image/v2/"));
}

/* --- what a token says --- */

static json_t *domain(void)
{
	return json_pack("{s:s, s:s}", "id", DOMAIN_ID, "name", DOMAIN_NAME);
}

static const char *project_name(const struct huawei_call *call)
{
	return control_this_site(call->huawei->control)->region;
}

static json_t *time_row(int64_t seconds)
{
	char text[TEXT_TIME_SIZE];

	text_write_time(seconds, text);
	return json_sprintf("%.19s.000000Z", text);
}

/* In catalogs: type, and what follows the base; "{project}" stands for its id. */
static const struct {
	const char *type, *name, *path;
	bool of_project;
} services[] = {
	{ "identity", "keystone", "/identity/v3", false },	{ "volumev2", "evs", "/v2/", true },
	{ "volumev3", "cinderv3", "/v3/", true },	{ "block-storage", "cinder", "/v3/", true },
	{ "sdrs", "sdrs", "/v1/", true },		{ "image", "none", "/image", false },
};

static json_t *catalog(const struct huawei_call *call)
{
	static const char *const interfaces[] = { "public", "internal", "admin" };
	const char *region = project_name(call);
	json_t *rows = json_array();
	char base[256];

	huawei_base_url(call, base);
	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
		json_t *endpoints = json_array();

		for (size_t j = 0; j < sizeof(interfaces) / sizeof(interfaces[0]); j++)
			json_array_append_new(endpoints, json_pack("{s:s++, s:s, s:s, s:s, s:s++}", "id", services[i].type, "-",
				interfaces[j], "interface", interfaces[j], "region", region, "region_id", region, "url", base,
				services[i].path, services[i].of_project ? call->huawei->project : ""));
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:o}", "type", services[i].type, "name", services[i].name,
						      "id", services[i].type, "endpoints", endpoints));
	}
	return rows;
}

static json_t *roles(const struct huawei_call *call, const char *user)
{
	const struct auth_principal *principal = auth_find_principal(call->huawei->auth, false, user);
	json_t *rows = json_array();

	if (strcmp(user, AUTH_ROOT) == 0)
		json_array_append_new(rows, json_pack("{s:s, s:s}", "id", "admin", "name", "admin"));
	for (uint32_t i = 0; principal != NULL && i < principal->policy_count; i++)
		json_array_append_new(rows, json_pack("{s:s, s:s}", "id", principal->policies[i], "name", principal->policies[i]));
	return rows;
}

static json_t *token_row(const struct huawei_call *call, const char *user, const struct auth_token *token)
{
	bool is_first = strcmp(token->audit_id, token->first_id) == 0;
	json_t *row = json_pack("{s:[s], s:o, s:o, s:{s:s, s:s, s:o, s:n}, s:o, s:{s:s, s:s, s:o}, s:[s], s:b}", "methods",
		"password", "expires_at", time_row(token->expires_s), "issued_at", time_row(token->issued_s), "user", "id", user,
		"name", user, "domain", domain(), "password_expires_at", "roles", roles(call, user), "project", "id",
		call->huawei->project, "name", project_name(call), "domain", domain(), "audit_ids", token->audit_id, "is_domain", 0);

	if (!is_first) {
		json_array_append_new(json_object_get(row, "methods"), json_string("token"));
		json_array_append_new(json_object_get(row, "audit_ids"), json_string(token->first_id));
	}
	if (http_request_parameter(call->request, "nocatalog") == NULL)
		json_object_set_new(row, "catalog", catalog(call));
	return row;
}

/* --- tokens: issue --- */

static void refuse_login(struct huawei_call *call)
{
	huawei_fail(call, 401, "", "The request you have made requires authentication.");
}

/* "password" with the user's name or id, "token" with a token's text; whichever is named first and known here. */
static bool identify(struct huawei_call *call, const json_t *identity)
{
	const json_t *methods = json_object_get(identity, "methods");
	const json_t *user = json_object_get(json_object_get(identity, "password"), "user");
	const char *name = json_string_value(json_object_get(user, "name"));
	const char *password = json_string_value(json_object_get(user, "password"));
	const char *token = json_string_value(json_object_get(json_object_get(identity, "token"), "id"));
	struct auth *auth = call->huawei->auth;

	if (name == NULL)
		name = json_string_value(json_object_get(user, "id"));
	text_copy(call->object, sizeof(call->object), name == NULL ? "" : name);
	for (size_t i = 0; i < json_array_size(methods) && i < METHODS_MAX; i++) {
		const char *method = json_string_value(json_array_get(methods, i));

		if (method != NULL && strcmp(method, "password") == 0)
			return name != NULL && password != NULL && auth_check_password(auth, name, password, &call->caller);
		if (method != NULL && strcmp(method, "token") == 0)
			return token != NULL && auth_find_token(auth, token, (int64_t)time(NULL), &call->caller) == AUTH_FOUND;
	}
	return false;
}

/* No scope, a domain's and the project's are the same here; another project's is not. */
static bool is_scope_good(const struct huawei_call *call, const json_t *auth)
{
	const json_t *project = json_object_get(json_object_get(auth, "scope"), "project");
	const char *id = json_string_value(json_object_get(project, "id"));
	const char *name = json_string_value(json_object_get(project, "name"));

	return (id == NULL || strcmp(id, call->huawei->project) == 0) && (name == NULL || strcmp(name, project_name(call)) == 0);
}

static void token_issue(struct huawei_call *call)
{
	json_t *auth, *identity;
	struct auth_token token;
	struct error error = { 0 };
	AUTO_FREE char *text = NULL;

	text_copy(call->action, sizeof(call->action), "sts:IssueToken");
	auth = huawei_root(call, "auth");
	if (auth == NULL)
		return;
	identity = json_object_get(auth, "identity");
	if (!json_is_array(json_object_get(identity, "methods"))) {
		huawei_fail(call, 400, "", "auth.identity.methods must be a list: [\"password\"] or [\"token\"].");
		return;
	}
	call->known = identify(call, identity) && is_scope_good(call, auth);
	if (!call->known) {
		refuse_login(call);
		return;
	}
	if (auth_issue_token(call->huawei->auth, &call->caller, (int64_t)time(NULL), &token, &text, &error) < 0) {
		huawei_fail(call, 500, "", "%s", error.text);
		return;
	}
	http_request_answer_header(call->request, "X-Subject-Token", text);
	huawei_answer(call, 201, json_pack("{s:o}", "token", token_row(call, call->caller.user, &token)));
}

/* --- tokens: look at, revoke --- */

/* The one in X-Subject-Token, of the caller, or of anybody when root asks; false: the call has failed. The subject is to be
 * cleared whatever the answer. */
static bool subject_find(struct huawei_call *call, struct auth_caller *out_subject)
{
	const char *text = http_request_header(call->request, "X-Subject-Token");
	enum auth_answer answer;

	*out_subject = (struct auth_caller){ 0 };
	if (text == NULL) {
		huawei_fail(call, 400, "", "Give the token that is meant in the header X-Subject-Token.");
		return false;
	}
	answer = auth_find_token(call->huawei->auth, text, (int64_t)time(NULL), out_subject);
	if (answer != AUTH_FOUND) {
		huawei_fail(call, 404, "", "The token is not known, not valid any more, or revoked.");
		return false;
	}
	if (call->caller.role[0] != '\0' ||
	    (strcmp(call->caller.user, AUTH_ROOT) != 0 && strcmp(call->caller.user, out_subject->user) != 0)) {
		huawei_fail(call, 403, "", "Only root may do this with tokens of other users.");
		return false;
	}
	return true;
}

static void token_show(struct huawei_call *call)
{
	struct auth_caller subject;

	if (subject_find(call, &subject)) {
		http_request_answer_header(call->request, "X-Subject-Token",
					   http_request_header(call->request, "X-Subject-Token"));
		huawei_answer(call, 200, json_pack("{s:o}", "token", token_row(call, subject.user, &subject.token)));
	}
	auth_caller_clear(&subject);
}

static void token_revoke(struct huawei_call *call)
{
	struct auth_caller subject;
	struct error error = { 0 };

	text_copy(call->action, sizeof(call->action), "sts:RevokeToken");
	if (subject_find(call, &subject)) {
		text_copy(call->object, sizeof(call->object), subject.user);
		if (auth_revoke_token(call->huawei->auth, &subject.token, (int64_t)time(NULL), &error) == 0)
			huawei_accept(call, 204);
		else
			huawei_fail(call, 500, "", "%s", error.text);
	}
	auth_caller_clear(&subject);
}

/* --- projects, domains, users --- */

static json_t *self_link(const struct huawei_call *call, const char *tail, const char *id)
{
	char base[256];

	huawei_base_url(call, base);
	return json_pack("{s:s+++}", "self", base, "/v3", tail, id);
}

static json_t *list_links(const struct huawei_call *call, const char *tail)
{
	json_t *links = self_link(call, tail, "");

	json_object_update_new(links, json_pack("{s:n, s:n}", "next", "previous"));
	return links;
}

static json_t *project_row(const struct huawei_call *call)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:[], s:{}, s:o}", "id", call->huawei->project, "name",
			 project_name(call), "domain_id", DOMAIN_ID, "parent_id", DOMAIN_ID, "description", "", "enabled", 1,
			 "is_domain", 0, "tags", "options", "links", self_link(call, "/projects/", call->huawei->project));
}

static void projects(struct huawei_call *call)
{
	const char *name = huawei_given(call, "name");
	json_t *rows = json_array();

	if (name == NULL || strcmp(name, project_name(call)) == 0)
		json_array_append_new(rows, project_row(call));
	huawei_answer(call, 200, json_pack("{s:o, s:o}", "projects", rows, "links", list_links(call, "/projects")));
}

static void project(struct huawei_call *call)
{
	huawei_answer(call, 200, json_pack("{s:o}", "project", project_row(call)));
}

static void domains(struct huawei_call *call)
{
	json_t *row = domain();

	json_object_update_new(row, json_pack("{s:s, s:b, s:o}", "description", "", "enabled", 1, "links",
					      self_link(call, "/auth/domains", "")));
	huawei_answer(call, 200, json_pack("{s:[o], s:o}", "domains", row, "links", list_links(call, "/auth/domains")));
}

static void catalog_show(struct huawei_call *call)
{
	huawei_answer(call, 200, json_pack("{s:o, s:o}", "catalog", catalog(call), "links", list_links(call, "/auth/catalog")));
}

static void user(struct huawei_call *call)
{
	const char *name = call->arguments[0];

	if (call->caller.role[0] != '\0' || strcmp(name, call->caller.user) != 0)
		huawei_fail(call, 403, "", "Users are shown to themselves only.");
	else
		huawei_answer(call, 200, json_pack("{s:{s:s, s:s, s:s, s:b, s:n, s:{}, s:o}}", "user", "id", name, "name", name,
						   "domain_id", DOMAIN_ID, "enabled", 1, "password_expires_at", "options", "links",
						   self_link(call, "/users/", name)));
}

/* --- routes --- */

/* At the root, and below /identity, where others look. */
#define BOTH(method, path, action, handle) \
	{ method, "/v3" path, action, -1, handle }, { method, "/identity/v3" path, action, -1, handle }

const struct huawei_route huawei_identity_routes[] = {
	{ "GET", "/identity", NULL, -1, versions },
	{ "GET", "/image", NULL, -1, image_versions },
	BOTH("GET", "", NULL, version),
	BOTH("POST", "/auth/tokens", NULL, token_issue),
	BOTH("GET", "/auth/tokens", "", token_show),
	BOTH("DELETE", "/auth/tokens", "", token_revoke),
	BOTH("GET", "/auth/projects", "", projects),
	BOTH("GET", "/auth/domains", "", domains),
	BOTH("GET", "/auth/catalog", "", catalog_show),
	BOTH("GET", "/projects", "", projects),
	BOTH("GET", "/projects/{project}", "", project),
	BOTH("GET", "/users/{}", "", user),
	{ NULL, NULL, NULL, -1, NULL },
};
