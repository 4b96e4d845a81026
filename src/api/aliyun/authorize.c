/* May the caller do this? Each thing that the parameters name is asked for; one that may not be touched is enough to refuse. The
 * names of things follow RAM: acs:<product>:<region>:<account>:<kind>/<id>; there is one account here, "offsite". */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "api/aliyun/internal.h"
#include "api/http/http.h"
#include "auth/auth.h"
#include "base/memory.h"

#define RESOURCE_SIZE 400
#define ID_MAX 200

/* Parameters that name things, alone or numbered (NAME.1); a list is read whatever it is separated by. */
static const struct naming {
	const char *parameter, *product, *kind;
} namings[] = {
	{ "ReplicaPairId", "ebs", "diskreplicapair" }, { "PairIds", "ebs", "diskreplicapair" },
	{ "ReplicaGroupId", "ebs", "diskreplicagroup" }, { "GroupIds", "ebs", "diskreplicagroup" },
	{ "InstanceId", "ecs", "instance" }, { "InstanceIds", "ecs", "instance" },
	{ "DiskId", "ecs", "disk" }, { "DiskIds", "ecs", "disk" }, { "DestinationDiskId", "ecs", "disk" },
	{ "UserName", "ram", "user" }, { "PolicyName", "ram", "policy" }, { "RoleName", "ram", "role" },
	{ "RoleArn", "ram", "role" },
};

struct asking {
	struct aliyun *aliyun;
	struct policy_call call; /* but for its resource */
	const char *region;
	enum auth_verdict verdict; /* the worst so far */
	bool asked;
};

static void ask(struct asking *asking, const char *product, const char *kind, const char *id, size_t length)
{
	struct policy_call call = asking->call;
	char resource[RESOURCE_SIZE];
	enum auth_verdict verdict;

	asking->asked = true;
	/* Cut off is what is longer than any id, and names nothing. */
	snprintf(resource, sizeof(resource), "acs:%s:%.64s:offsite:%s%s%.*s", product, asking->region, kind,
		 kind[0] == '\0' ? "" : "/", length < ID_MAX ? (int)length : ID_MAX, id);
	call.resource = resource;
	verdict = auth_judge(asking->aliyun->auth, asking->aliyun->caller, &call);
	if (verdict != AUTH_ALLOWED && asking->verdict != AUTH_NOT_ACTION)
		asking->verdict = verdict;
}

static void ask_each(struct asking *asking, const struct naming *naming, const char *value)
{
	const char *id;
	size_t length;

	while (asking->verdict == AUTH_ALLOWED && (id = aliyun_next_id(&value, &length)) != NULL) {
		const char *slash = strcmp(naming->parameter, "RoleArn") == 0 ? memrchr(id, '/', length) : NULL;
		size_t skip = slash == NULL ? 0 : (size_t)(slash + 1 - id);

		ask(asking, naming->product, naming->kind, id + skip, length - skip);
	}
}

/* The kind that ResourceType names, of a ResourceId. */
static struct naming resource_naming(const struct http_request *request)
{
	const char *type = http_request_parameter(request, "ResourceType");
	bool instance = type != NULL && strcasecmp(type, "instance") == 0;

	if (type != NULL && strcasestr(type, "group") != NULL)
		return (struct naming){ "ResourceId", "ebs", "diskreplicagroup" };
	if (type != NULL && strcasestr(type, "pair") != NULL)
		return (struct naming){ "ResourceId", "ebs", "diskreplicapair" };
	return (struct naming){ "ResourceId", "ecs", instance ? "instance" : "disk" };
}

/* NAME, or NAME.1, NAME.2, ... */
static bool is_named(const char *parameter, const char *name)
{
	size_t length = strlen(name);

	return strncmp(parameter, name, length) == 0 &&
	       (parameter[length] == '\0' ||
		(parameter[length] == '.' && strspn(parameter + length + 1, "0123456789") == strlen(parameter + length + 1)));
}

static void ask_all(struct asking *asking, const struct http_request *request)
{
	struct naming resource = resource_naming(request);

	for (size_t i = 0; i < http_request_parameter_count(request) && asking->verdict == AUTH_ALLOWED; i++) {
		const char *name = http_request_parameter_name(request, i), *value = http_request_parameter_value(request, i);

		for (size_t j = 0; j < sizeof(namings) / sizeof(namings[0]); j++)
			if (is_named(name, namings[j].parameter))
				ask_each(asking, &namings[j], value);
		if (is_named(name, resource.parameter))
			ask_each(asking, &resource, value);
	}
}

static bool deny(const struct asking *asking, struct aliyun_error *error)
{
	const struct auth_caller *caller = asking->aliyun->caller;
	bool is_role = caller->role[0] != '\0';

	error->detail = json_pack("{s:s, s:s, s:s}", "AuthAction", asking->call.action, "AuthPrincipalType",
				  is_role ? "AssumedRoleUser" : "SubUser", "AuthPrincipalDisplayName",
				  is_role ? caller->role : caller->user);
	if (asking->verdict == AUTH_NOT_ACTION)
		return aliyun_fail(error, MHD_HTTP_FORBIDDEN, "Forbidden.Action", "User is not authorized to operate this action.");
	return aliyun_fail(error, MHD_HTTP_FORBIDDEN, "Forbidden", "User is not authorized to operate.");
}

bool aliyun_authorize(struct aliyun *aliyun, const struct aliyun_operation *operation, const struct http_request *request,
		      struct aliyun_error *error)
{
	const char *region = http_request_parameter(request, "RegionId");
	char action[128], source[HTTP_SOURCE_SIZE];
	struct asking asking = { .aliyun = aliyun, .region = region == NULL ? control_this_site(aliyun->control)->region : region };

	if (operation->read == aliyun_get_caller)
		return true; /* everybody may ask who they are */
	snprintf(action, sizeof(action), "%s:%s", aliyun_product_name(operation->product), operation->action);
	http_request_source(request, source);
	asking.call = (struct policy_call){ .action = action, .source = source, .now_s = (int64_t)time(NULL) };
	ask_all(&asking, request);
	if (!asking.asked)
		ask(&asking, aliyun_product_name(operation->product), "", "*", 1);
	return asking.verdict == AUTH_ALLOWED || deny(&asking, error);
}
