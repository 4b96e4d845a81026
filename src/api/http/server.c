/* Requests and answers over libmicrohttpd, in its external epoll mode: no thread of its own.
 *
 * A request is READING until its last byte, WAITING while its receiver has it (its connection is suspended unless the answer
 * comes at once), ANSWERED when there is something to send. When the server stops in between it is DROPPED: its connection is
 * gone, and it stays in the list until its receiver answers or the server is freed. */
#include "api/http/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/internal.h"
#include "base/error.h"
#include "base/list.h"
#include "base/memory.h"

#define FORM "application/x-www-form-urlencoded"
#define CONNECTION_MEMORY (896u * 1024) /* bytes, touched when used: the request line, its parameters and the headers must fit */

struct http_server {
	struct MHD_Daemon *daemon;
	int epoll_fd;
	http_on_request *on_request;
	void *data;
	struct list requests; /* struct http_request */
	struct http_arrivals arrivals;
	char address[160];
};

enum request_state { REQUEST_READING, REQUEST_WAITING, REQUEST_ANSWERED, REQUEST_DROPPED };

struct http_request {
	struct list link; /* of the server */
	struct http_server *server;
	struct MHD_Connection *connection;
	enum request_state state;
	bool suspended;
	char *method;
	char *path;
	char *body;
	size_t size;
	bool too_long; /* the body: what came beyond the limit was not kept */
	unsigned fault;
	struct http_parameters parameters;
	size_t query_count; /* of them */
	struct http_parameters headers; /* of the answer */
	struct MHD_Response *response;
	unsigned status;
};

static void request_free(struct http_request *request)
{
	list_remove(&request->link);
	http_parameters_fini(&request->parameters);
	http_parameters_fini(&request->headers);
	if (request->response != NULL)
		MHD_destroy_response(request->response);
	free(request->body);
	free(request->method);
	free(request->path);
	free(request);
}

/* --- reading --- */

static enum MHD_Result on_query_parameter(void *data, enum MHD_ValueKind kind, const char *name, size_t name_size,
					  const char *value, size_t value_size)
{
	struct http_parameters *parameters = data;

	(void)kind;
	return http_parameters_add(parameters, name, name_size, value, value_size) == 0 ? MHD_YES : MHD_NO;
}

static bool request_read_query(struct http_request *request)
{
	int there = MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, NULL, NULL);

	MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND, on_query_parameter, &request->parameters);
	request->query_count = request->parameters.count;
	return (size_t)(there < 0 ? 0 : there) == request->query_count;
}

static bool request_read_form(struct http_request *request)
{
	const char *type = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Content-Type");

	return type == NULL || strncasecmp(type, FORM, sizeof(FORM) - 1) != 0 ||
	       http_parameters_add_form(&request->parameters, request->body, request->size) == 0;
}

static void request_append(struct http_request *request, const char *bytes, size_t size)
{
	if (request->size + size > HTTP_BODY_MAX) {
		request->too_long = true;
		return;
	}
	request->body = memory_resize(request->body, request->size + size + 1, 1);
	memcpy(request->body + request->size, bytes, size);
	request->size += size;
	request->body[request->size] = '\0';
}

static struct http_arrival *arrival_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* All of it is here. The query is read of what is refused, too: it may tell in whose words. */
static void request_dispatch(struct http_request *request)
{
	bool in_time = http_arrival_end(&request->server->arrivals, arrival_of(request->connection));
	bool is_read = request_read_query(request);

	request->state = REQUEST_WAITING;
	if (!in_time)
		request->fault = MHD_HTTP_REQUEST_TIMEOUT;
	else if (request->too_long)
		request->fault = MHD_HTTP_CONTENT_TOO_LARGE;
	else if (!is_read || !request_read_form(request))
		request->fault = MHD_HTTP_BAD_REQUEST;
	request->server->on_request(request->server->data, request);
}

static struct http_request *request_new(struct http_server *server, struct MHD_Connection *connection, const char *method,
					const char *path)
{
	struct http_request *request = memory_new(1, sizeof(*request));

	request->server = server;
	request->connection = connection;
	request->method = memory_copy_text(method);
	request->path = memory_copy_text(path);
	request->body = memory_new(1, 1);
	list_append(&server->requests, &request->link);
	return request;
}

static enum MHD_Result request_send(struct http_request *request)
{
	return MHD_queue_response(request->connection, request->status, request->response);
}

/* Called by the library for the head, for each piece of the body, at its end, and once more after a suspension. */
static enum MHD_Result on_access(void *data, struct MHD_Connection *connection, const char *path, const char *method,
				 const char *version, const char *bytes, size_t *size, void **private)
{
	struct http_server *server = data;
	struct http_request *request = *private;

	(void)version;
	if (request == NULL) {
		*private = request_new(server, connection, method, path);
		return MHD_YES;
	}
	if (*size > 0) {
		request_append(request, bytes, *size);
		*size = 0;
		return MHD_YES;
	}
	if (request->state == REQUEST_READING)
		request_dispatch(request);
	if (request->state == REQUEST_ANSWERED)
		return request_send(request);
	request->suspended = true;
	MHD_suspend_connection(connection);
	return MHD_YES;
}

static void on_completed(void *data, struct MHD_Connection *connection, void **private, enum MHD_RequestTerminationCode why)
{
	struct http_server *server = data;
	struct http_request *request = *private;

	(void)why;
	*private = NULL;
	http_arrival_begin(&server->arrivals, arrival_of(connection));
	if (request == NULL)
		return;
	if (request->state != REQUEST_DROPPED)
		request_free(request);
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = data;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		http_arrival_free(*context);
		return;
	}
	*context = http_arrival_new(MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd);
	http_arrival_begin(&server->arrivals, *context);
}

/* --- the server --- */

int http_server_new(const char *address, http_on_request *on_request, void *data, struct http_server **out_server,
		    struct error *error)
{
	struct http_server *server = memory_new(1, sizeof(*server));
	const union MHD_DaemonInfo *info;
	int fd;
	int code = http_listen(address, &fd, server->address, sizeof(server->address), error);

	if (code < 0) {
		free(server);
		return code;
	}
	list_init(&server->requests);
	http_arrivals_init(&server->arrivals);
	server->on_request = on_request;
	server->data = data;
	server->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, server,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
		MHD_OPTION_END);
	info = server->daemon == NULL ? NULL : MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL) {
		if (server->daemon == NULL)
			close(fd);
		else
			MHD_stop_daemon(server->daemon);
		free(server);
		return error_set(error, -EIO, "cannot start the HTTP server on %.100s", address);
	}
	server->epoll_fd = info->epoll_fd;
	*out_server = server;
	return 0;
}

const char *http_server_address(const struct http_server *server)
{
	return server->address;
}

int http_server_fd(const struct http_server *server)
{
	return server->epoll_fd;
}

int http_server_timeout(const struct http_server *server)
{
	int arrivals_ms = http_arrivals_timeout(&server->arrivals);
	MHD_UNSIGNED_LONG_LONG limit_ms;

	if (MHD_get_timeout(server->daemon, &limit_ms) != MHD_YES || (arrivals_ms >= 0 && limit_ms > (unsigned)arrivals_ms))
		return arrivals_ms;
	return limit_ms > 60000 ? 60000 : (int)limit_ms;
}

void http_server_run(struct http_server *server)
{
	MHD_run(server->daemon);
	http_arrivals_cut(&server->arrivals);
}

void http_server_stop(struct http_server *server)
{
	list_for_each(entry, &server->requests) {
		struct http_request *request = container_of(entry, struct http_request, link);

		if (request->state != REQUEST_WAITING)
			continue;
		/* Suspended connections may not be there when the library stops. */
		request->state = REQUEST_DROPPED;
		if (request->suspended)
			MHD_resume_connection(request->connection);
	}
	MHD_stop_daemon(server->daemon);
	server->daemon = NULL;
}

void http_server_free(struct http_server *server)
{
	assert(server->daemon == NULL);
	list_for_each(entry, &server->requests)
		request_free(container_of(entry, struct http_request, link));
	free(server);
}

/* --- a request --- */

unsigned http_request_fault(const struct http_request *request, const char **out_sentence)
{
	*out_sentence = request->fault == MHD_HTTP_REQUEST_TIMEOUT ? "The request took too long to arrive" :
		request->fault == MHD_HTTP_CONTENT_TOO_LARGE ? "The request's body is longer than 1 MiB" :
		request->fault != 0 ? "The parameters cannot be read: too many, or badly encoded" : "";
	return request->fault;
}

const char *http_request_method(const struct http_request *request)
{
	return request->method;
}

const char *http_request_path(const struct http_request *request)
{
	return request->path;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
	return request->connection == NULL ? NULL : MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_request_body(const struct http_request *request, size_t *out_size)
{
	*out_size = request->size;
	return request->body;
}

size_t http_request_parameter_count(const struct http_request *request)
{
	return request->parameters.count;
}

size_t http_request_query_count(const struct http_request *request)
{
	return request->query_count;
}

const char *http_request_parameter_name(const struct http_request *request, size_t index)
{
	return request->parameters.rows[index].name;
}

const char *http_request_parameter_value(const struct http_request *request, size_t index)
{
	return request->parameters.rows[index].value;
}

const char *http_request_parameter(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->parameters.count; i++)
		if (strcmp(request->parameters.rows[i].name, name) == 0)
			return request->parameters.rows[i].value;
	return NULL;
}

void http_request_source(const struct http_request *request, char out[HTTP_SOURCE_SIZE])
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	out[0] = '\0';
	if (info == NULL || info->client_addr == NULL)
		return;
	if (info->client_addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr, out, HTTP_SOURCE_SIZE);
	else if (info->client_addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr, out, HTTP_SOURCE_SIZE);
}

struct http_request *http_request_make(void)
{
	struct http_request *request = memory_new(1, sizeof(*request));

	list_init(&request->link);
	return request;
}

int http_request_put(struct http_request *request, const char *name, const char *value)
{
	return http_parameters_add(&request->parameters, name, strlen(name), value, strlen(value));
}

void http_request_drop(struct http_request *request)
{
	request_free(request);
}

void http_request_answer_header(struct http_request *request, const char *name, const char *value)
{
	int code = http_parameters_add(&request->headers, name, strlen(name), value, strlen(value));

	assert(code == 0);
	(void)code;
}

static struct MHD_Response *response_new(const struct http_request *request, const char *type, const char *body, size_t size)
{
	char *copy = memory_new(size + 1, 1);
	struct MHD_Response *response;

	if (size > 0)
		memcpy(copy, body, size);
	response = MHD_create_response_from_buffer(size, copy, MHD_RESPMEM_MUST_FREE);
	if (type != NULL)
		MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	for (size_t i = 0; i < request->headers.count; i++)
		MHD_add_response_header(response, request->headers.rows[i].name, request->headers.rows[i].value);
	return response;
}

void http_request_answer(struct http_request *request, unsigned status, const char *type, const char *body, size_t size)
{
	if (request->state == REQUEST_DROPPED) {
		request_free(request);
		return;
	}
	assert(request->state == REQUEST_WAITING);
	request->response = response_new(request, type, body, size);
	request->status = status;
	request->state = REQUEST_ANSWERED;
	if (request->suspended) {
		request->suspended = false;
		MHD_resume_connection(request->connection);
	}
}
