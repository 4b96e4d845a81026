/* The door: which route, who calls and may they, what is the body; and the answer's form. A call is handed to its handler
 * whole and checked so far, and ends with exactly one answer. */
#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api/http/http.h"
#include "api/huawei/huawei.h"
#include "api/huawei/internal.h"
#include "api/huawei/routes.h"
#include "api/huawei/sdrs.h"
#include "api/huawei/signature.h"
#include "auth/audit.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#define JSON_TYPE "application/json"

/* --- life --- */

static void call_free(struct huawei_call *call)
{
	if (call->on_free != NULL)
		call->on_free(call->state);
	free(call->state);
	auth_caller_clear(&call->caller);
	json_decref(call->body);
	list_remove(&call->link);
	free(call->path);
	free(call);
}

/* Every site of a region has the same project. */
static void project_make(const char *region, char out[HUAWEI_PROJECT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	char hex[SHA256_HEX_SIZE];

	hash_sha256(region, strlen(region), digest);
	hash_to_hex(digest, sizeof(digest), hex);
	text_copy(out, HUAWEI_PROJECT_SIZE, hex);
}

struct huawei *huawei_new(const struct huawei_config *config, struct error *error)
{
	struct huawei *huawei = memory_new(1, sizeof(*huawei));

	list_init(&huawei->calls);
	huawei->control = config->control;
	huawei->auth = config->auth;
	huawei->catalog = config->catalog;
	for (size_t i = 0; i < 2; i++)
		if (config->nbd_uris[i] != NULL)
			text_copy(huawei->nbd_uris[i], sizeof(huawei->nbd_uris[i]), config->nbd_uris[i]);
	if (config->url != NULL)
		text_copy(huawei->url, sizeof(huawei->url), config->url);
	project_make(control_this_site(config->control)->region, huawei->project);
	if (jobs_new(config->control, config->catalog, huawei_plans, &huawei->jobs, error) == 0)
		return huawei;
	free(huawei);
	return NULL;
}

void huawei_stop(struct huawei *huawei)
{
	jobs_free(huawei->jobs);
	huawei->jobs = NULL;
}

void huawei_free(struct huawei *huawei)
{
	/* Calls that control/ had not answered when it ended; it ends first. */
	list_for_each(entry, &huawei->calls)
		call_free(container_of(entry, struct huawei_call, link));
	free(huawei);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void huawei_answer_within(struct huawei_call *call, uint32_t seconds, void (*on_late)(struct huawei_call *call))
{
	call->late_ms = now_ms() + 1000u * (uint64_t)seconds;
	call->on_late = on_late;
}

uint32_t huawei_tick(struct huawei *huawei)
{
	uint64_t now = now_ms();

	list_for_each(entry, &huawei->calls) {
		struct huawei_call *call = container_of(entry, struct huawei_call, link);

		if (call->late_ms != 0 && call->late_ms <= now)
			call->on_late(call);
	}
	huawei_rpo_tick(huawei);
	return jobs_tick(huawei->jobs);
}

/* --- answers --- */

static void call_audit(const struct huawei_call *call, unsigned status)
{
	const char *colon = strchr(call->action, ':');
	char source[HTTP_SOURCE_SIZE], product[sizeof(call->action)];

	text_copy(product, sizeof(product), call->action);
	product[strcspn(product, ":")] = '\0';
	http_request_source(call->request, source);
	audit_log(&(struct audit){ .request_id = call->request_id, .source = source, .caller = &call->caller, .known = call->known,
				   .product = colon == NULL ? NULL : product, .action = colon == NULL ? NULL : colon + 1,
				   .object = call->object, .status = status, .code = call->status == 0 ? "OK" : call->code });
}

static void call_send(struct huawei_call *call, unsigned status, const char *text)
{
	http_request_answer_header(call->request, "X-Request-Id", call->request_id);
	http_request_answer_header(call->request, "x-openstack-request-id", call->request_id);
	if (call->family == HUAWEI_VOLUMES)
		huawei_put_version(call);
	http_request_answer(call->request, status, text == NULL ? NULL : JSON_TYPE, text == NULL ? "" : text,
			    text == NULL ? 0 : strlen(text));
	call_audit(call, status);
	call->ended = true;
	if (!call->handled)
		call_free(call);
}

void huawei_answer(struct huawei_call *call, unsigned status, json_t *body)
{
	AUTO_FREE char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	call_send(call, status, text == NULL ? "{}" : text);
}

void huawei_accept(struct huawei_call *call, unsigned status)
{
	call_send(call, status, NULL);
}

void huawei_fail(struct huawei_call *call, unsigned status, const char *code, const char *format, ...)
{
	va_list arguments;

	call->status = status;
	text_copy(call->code, sizeof(call->code), code[0] == '\0' ? huawei_status_code(call->family, status) : code);
	va_start(arguments, format);
	vsnprintf(call->message, sizeof(call->message), format, arguments);
	va_end(arguments);
	text_clean(call->message);
	huawei_answer(call, status, huawei_error_body(call));
}

void huawei_refuse(struct huawei_call *call, enum refusal refusal, const char *text)
{
	const struct huawei_refusal line = huawei_refusal_of(call->family, refusal);

	huawei_fail(call, line.status, line.code, "%s", text[0] == '\0' ? line.sentence : text);
}

/* Too many of them is over in a moment; a catalog that fails is not. */
void huawei_fail_begin(struct huawei_call *call, const struct error *error)
{
	huawei_fail(call, error->code == -EBUSY ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_INTERNAL_SERVER_ERROR, "", "%s",
		    error->text);
}

void huawei_base_url(const struct huawei_call *call, char out[256])
{
	const char *host = http_request_header(call->request, "Host");

	if (call->huawei->url[0] != '\0')
		text_copy(out, 256, call->huawei->url);
	else
		snprintf(out, 256, "http://%.200s", host == NULL ? "localhost" : host);
	text_clean(out);
}

/* --- may they? --- */

static const struct {
	const char *product, *kind;
} resources[CONTROL_RESOURCES] = {
	[CONTROL_RESOURCE_DISK] = { "ecs", "disk" }, [CONTROL_RESOURCE_PAIR] = { "ebs", "diskreplicapair" },
	[CONTROL_RESOURCE_GROUP] = { "ebs", "diskreplicagroup" }, [CONTROL_RESOURCE_INSTANCE] = { "ecs", "instance" },
};

bool huawei_may(struct huawei_call *call, const char *action, int resource, const char *id)
{
	const char *region = control_this_site(call->huawei->control)->region;
	char name[400], source[HTTP_SOURCE_SIZE];
	struct policy_call asked = { .action = action, .resource = name, .source = source, .now_s = (int64_t)time(NULL) };

	text_copy(call->action, sizeof(call->action), action);
	http_request_source(call->request, source);
	if (resource < 0 || id == NULL)
		snprintf(name, sizeof(name), "acs:%.*s:%s:offsite:*", (int)strcspn(action, ":"), action, region);
	else
		snprintf(name, sizeof(name), "acs:%s:%s:offsite:%s/%s", resources[resource].product, region,
			 resources[resource].kind, id);
	if (auth_judge(call->huawei->auth, &call->caller, &asked) == AUTH_ALLOWED)
		return true;
	huawei_fail(call, MHD_HTTP_FORBIDDEN, "", "Policies do not let %s do %s on %s.",
		    call->caller.role[0] != '\0' ? call->caller.role : call->caller.user, action, name);
	return false;
}

/* --- who is it? --- */

static bool refuse_caller(struct huawei_call *call, const char *code, const char *sentence)
{
	http_request_answer_header(call->request, "WWW-Authenticate", "Keystone uri=\"/v3\"");
	huawei_fail(call, MHD_HTTP_UNAUTHORIZED, code, "%s", sentence);
	return false;
}

static bool check_token(struct huawei_call *call, const char *token)
{
	enum auth_answer answer = auth_find_token(call->huawei->auth, token, (int64_t)time(NULL), &call->caller);

	call->known = answer == AUTH_FOUND;
	if (answer == AUTH_TOKEN_EXPIRED)
		return refuse_caller(call, "APIGW.0301", "The token has expired: ask for another one.");
	return call->known || refuse_caller(call, "APIGW.0301", "The token is not valid: it is of another site, was revoked, or its "
								"access key is gone.");
}

static bool check_signature(struct huawei_call *call)
{
	enum huawei_signature answer =
		huawei_check_signature(call->huawei->auth, call->request, (int64_t)time(NULL), &call->caller);

	call->known = answer == HUAWEI_SIGNED;
	switch (answer) {
	case HUAWEI_SIGNED:
		return true;
	case HUAWEI_SIGNATURE_UNTIMELY:
		return refuse_caller(call, "APIGW.0303", "X-Sdk-Date is more than 15 minutes away from this site's clock.");
	case HUAWEI_SIGNATURE_NO_KEY:
		return refuse_caller(call, "APIGW.0301", "The access key is not known here, or disabled.");
	case HUAWEI_SIGNATURE_MALFORMED:
		return refuse_caller(call, "APIGW.0301", "The header Authorization cannot be read, or names headers that are not there.");
	case HUAWEI_SIGNATURE_WRONG:
		break;
	}
	return refuse_caller(call, "APIGW.0301", "The signature is wrong: the secret is, or the request was changed on its way.");
}

static bool identify(struct huawei_call *call)
{
	const char *token = http_request_header(call->request, "X-Auth-Token");

	/* The signature first: it does not cover the other header. */
	if (huawei_is_signed(call->request))
		return check_signature(call);
	if (token != NULL)
		return check_token(call, token);
	return refuse_caller(call, "APIGW.0301", "Give a token in X-Auth-Token, or sign the request with SDK-HMAC-SHA256.");
}

/* --- which route? --- */

struct search {
	const struct huawei_route *route; /* with that method */
	struct huawei_match match;
	char allowed[64];                 /* methods of the path; "": there is no such path */
};

static bool method_fits(const char *method, const char *asked)
{
	return strcmp(method, asked) == 0 || (strcmp(asked, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

static void search_tables(struct huawei_call *call, const char *const *parts, size_t count, struct search *search)
{
	const char *method = http_request_method(call->request);

	for (const struct huawei_routes *table = huawei_tables; table->rows != NULL; table++) {
		for (const struct huawei_route *route = table->rows; route->method != NULL; route++) {
			struct huawei_match match;
			size_t length = strlen(search->allowed);

			if (!huawei_path_matches(route->path, parts, count, &match))
				continue;
			if (strstr(search->allowed, route->method) == NULL) /* a path can be of several patterns */
				snprintf(search->allowed + length, sizeof(search->allowed) - length, "%s%s",
					 length == 0 ? "" : ", ", route->method);
			call->family = table->family;
			if (!method_fits(route->method, method))
				continue;
			search->route = route;
			search->match = match;
			return;
		}
	}
}

/* What the client seems to speak, until the route is known: its errors are to be read by it. */
static enum huawei_family family_of(const char *path)
{
	if (strncmp(path, "/v1", 3) == 0)
		return HUAWEI_SDRS;
	if (strstr(path, "/os-vendor-replication") != NULL)
		return HUAWEI_REPLICATION;
	return strncmp(path, "/v3/auth", 8) == 0 || strncmp(path, "/identity", 9) == 0 ? HUAWEI_IDENTITY : HUAWEI_VOLUMES;
}

/* What cannot stand in an answer names nothing that there is. */
static bool is_text(const char *path)
{
	AUTO_FREE char *clean = memory_copy_text(path);

	text_clean(clean);
	return strcmp(clean, path) == 0;
}

/* False: too many parts to be any route's. */
static bool split(char *path, const char *parts[HUAWEI_PARTS_MAX], size_t *out_count)
{
	size_t count = 0;

	while (path != NULL && *path == '/') {
		*path++ = '\0';
		if (count == HUAWEI_PARTS_MAX)
			return false;
		parts[count++] = path;
		path = strchr(path, '/');
	}
	if (count > 1 && parts[count - 1][0] == '\0')
		count--;
	*out_count = count;
	return true;
}

static void find_route(struct huawei_call *call, struct search *search)
{
	const char *parts[HUAWEI_PARTS_MAX];
	size_t count;

	call->family = family_of(call->path);
	if (!is_text(call->path) || !split(call->path, parts, &count))
		return;
	search_tables(call, parts, count, search);
	call->route = search->route;
	for (size_t i = 0; i < HUAWEI_PARTS_MAX; i++)
		call->arguments[i] = search->route == NULL ? "" : search->match.arguments[i];
	if (search->route == NULL)
		return;
	if (search->route->resource >= 0) {
		huawei_id((enum control_resource)search->route->resource, call->arguments[0], call->object);
		call->arguments[0] = call->object;
	}
}

/* --- in order --- */

/* What is no text cannot be asked of another site, nor stand in an answer. */
static bool check_query(struct huawei_call *call)
{
	for (size_t i = 0; i < http_request_parameter_count(call->request); i++) {
		json_t *name = json_string(http_request_parameter_name(call->request, i));
		json_t *value = json_string(http_request_parameter_value(call->request, i));
		bool good = name != NULL && value != NULL;

		json_decref(name);
		json_decref(value);
		if (good)
			continue;
		huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "The parameters must be UTF-8.");
		return false;
	}
	return true;
}

static bool check_route(struct huawei_call *call, const struct search *search)
{
	if (call->route != NULL && (search->match.project == NULL || strcmp(search->match.project, call->huawei->project) == 0))
		return true;
	if (call->route != NULL) {
		huawei_fail(call, MHD_HTTP_FORBIDDEN, "", "There is one project here, %s: this is another one.", call->huawei->project);
	} else if (search->allowed[0] != '\0') {
		http_request_answer_header(call->request, "Allow", search->allowed);
		huawei_fail(call, MHD_HTTP_METHOD_NOT_ALLOWED, "", "%.16s is not allowed here; %s is.",
			    http_request_method(call->request), search->allowed);
	} else {
		huawei_fail(call, MHD_HTTP_NOT_FOUND, "", "There is nothing at %.200s.", http_request_path(call->request));
	}
	return false;
}

static bool read_body(struct huawei_call *call)
{
	size_t size;
	const char *bytes = http_request_body(call->request, &size);
	json_error_t why;

	if (size == 0)
		return true;
	call->body = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &why);
	if (json_is_object(call->body))
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "The body must be a JSON object%s%.200s.", call->body == NULL ? ": " : "",
		    call->body == NULL ? why.text : "");
	return false;
}

static void request_id_make(char out[HUAWEI_UUID_SIZE + 4])
{
	uint8_t random[16] = { 0 };
	char hex[33];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		log_event(LOG_WARNING, "api.no_random", "advice=\"request ids repeat\"");
	random[6] = (uint8_t)(0x40 | (random[6] & 0x0f));
	random[8] = (uint8_t)(0x80 | (random[8] & 0x3f));
	hash_to_hex(random, sizeof(random), hex);
	snprintf(out, HUAWEI_UUID_SIZE + 4, "req-%.8s-%.4s-%.4s-%.4s-%s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static void call_handle(struct huawei_call *call)
{
	struct search search = { 0 };
	const char *sentence;
	unsigned fault = http_request_fault(call->request, &sentence);

	find_route(call, &search);
	if (fault != 0) {
		huawei_fail(call, fault, "", "%s.", sentence);
		return;
	}
	if ((call->route == NULL || call->route->action != NULL) && !identify(call))
		return;
	if (!check_route(call, &search) || !check_query(call) || !read_body(call))
		return;
	if (call->route->action != NULL && call->route->action[0] != '\0' &&
	    !huawei_may(call, call->route->action, call->route->resource, call->route->resource < 0 ? NULL : call->object))
		return;
	call->route->handle(call);
}

void huawei_on_request(void *data, struct http_request *request)
{
	struct huawei *huawei = data;
	struct huawei_call *call = memory_new(1, sizeof(*call));

	call->huawei = huawei;
	call->request = request;
	call->path = memory_copy_text(http_request_path(request));
	list_append(&huawei->calls, &call->link);
	request_id_make(call->request_id);
	call->handled = true;
	call_handle(call);
	call->handled = false;
	if (call->ended)
		call_free(call);
}
