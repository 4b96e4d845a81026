/* The HTTP server over a real socket: what its receiver is given, and what an answer looks like on the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/http.h"
#include "base/error.h"

#define CLOSE "Host: h\r\nConnection: close\r\n"

struct world {
	struct http_server *server;
	char seen[4096];     /* the last request: method, path, fault and body */
	unsigned status;     /* of the answer to give */
	const char *type, *body;
	const char *headers[3][2];
};

static void on_request(void *data, struct http_request *request)
{
	struct world *world = data;
	const char *sentence, *body;
	unsigned fault = http_request_fault(request, &sentence);
	size_t size;

	body = http_request_body(request, &size);
	snprintf(world->seen, sizeof(world->seen), "%s %s %u %.100s", http_request_method(request), http_request_path(request), fault,
		 body);
	assert_int_equal(fault == 0, sentence[0] == '\0');
	for (size_t i = 0; i < 3 && world->headers[i][0] != NULL; i++)
		http_request_answer_header(request, world->headers[i][0], world->headers[i][1]);
	http_request_answer(request, world->status, world->type, world->body, strlen(world->body));
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct error error;

	*state = world;
	return http_server_new("127.0.0.1:0", on_request, world, &world->server, &error);
}

static int teardown(void **state)
{
	struct world *world = *state;

	http_server_stop(world->server);
	http_server_free(world->server);
	free(world);
	return 0;
}

static int connect_to(const struct http_server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)strtoul(strrchr(http_server_address(server), ':') + 1, NULL, 10));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Sends it, and gives all that comes until the server closes. */
static const char *converse(struct world *world, const char *sent)
{
	static char got[8192];
	struct pollfd fds[] = { { .fd = http_server_fd(world->server), .events = POLLIN }, { .events = POLLIN } };
	size_t size = 0;
	ssize_t more = 1;

	fds[1].fd = connect_to(world->server);
	assert_int_equal(write(fds[1].fd, sent, strlen(sent)), strlen(sent));
	while (more > 0) {
		assert_true(poll(fds, 2, http_server_timeout(world->server)) >= 0);
		http_server_run(world->server);
		if (fds[1].revents == 0)
			continue;
		more = read(fds[1].fd, got + size, sizeof(got) - 1 - size);
		assert_true(more >= 0);
		size += (size_t)more;
	}
	got[size] = '\0';
	close(fds[1].fd);
	return got;
}

static void test_methods(void **state)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW" };
	struct world *world = *state;
	char text[200];

	world->status = 200;
	world->type = "text/plain";
	world->body = "answer";
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		snprintf(text, sizeof(text), "%s /a%%20b?c HTTP/1.1\r\n" CLOSE "Content-Length: 4\r\n\r\nbody", methods[i]);
		assert_non_null(strstr(converse(world, text), "\r\n\r\nanswer"));
		snprintf(text, sizeof(text), "%s /a b 0 body", methods[i]);
		assert_string_equal(world->seen, text);
	}
}

static void test_head(void **state)
{
	struct world *world = *state;
	const char *got;

	world->status = 200;
	world->type = "text/plain";
	world->body = "answer";
	got = converse(world, "HEAD / HTTP/1.1\r\n" CLOSE "\r\n");
	assert_string_equal(world->seen, "HEAD / 0 ");
	assert_non_null(strstr(got, "\r\nContent-Length: 6\r\n"));
	assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
}

static void test_headers(void **state)
{
	struct world *world = *state;
	const char *got;

	world->status = 201;
	world->type = "application/json";
	world->body = "{}";
	memcpy(world->headers, (const char *[3][2]){ { "X-Subject-Token", "gAAA" }, { "Vary", "X-Auth-Token" },
	       { "x-openstack-request-id", "req-1" } }, sizeof(world->headers));
	got = converse(world, "POST /v3/auth/tokens HTTP/1.1\r\n" CLOSE "Content-Length: 0\r\n\r\n");
	assert_int_equal(strncmp(got, "HTTP/1.1 201 ", 13), 0);
	assert_non_null(strstr(got, "\r\nX-Subject-Token: gAAA\r\n"));
	assert_non_null(strstr(got, "\r\nVary: X-Auth-Token\r\n"));
	assert_non_null(strstr(got, "\r\nx-openstack-request-id: req-1\r\n"));
	assert_non_null(strstr(got, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(got, "\r\n\r\n{}"));
}

static void test_no_body(void **state)
{
	static const unsigned statuses[] = { 202, 204 };
	struct world *world = *state;

	world->body = "";
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		const char *got;

		world->status = statuses[i];
		got = converse(world, "DELETE /x HTTP/1.1\r\n" CLOSE "\r\n");
		assert_int_equal(strtoul(got + strlen("HTTP/1.1 "), NULL, 10), statuses[i]);
		assert_null(strstr(got, "Content-Type"));
		assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
		assert_int_equal(strstr(got, "Content-Length: 0") != NULL, statuses[i] == 202);
	}
}

static void test_faults(void **state)
{
	struct world *world = *state;

	world->status = 400;
	world->body = "";
	converse(world, "PUT /?a=b%00 HTTP/1.1\r\n" CLOSE "\r\n");
	assert_string_equal(world->seen, "PUT / 400 ");
	converse(world, "PUT / HTTP/1.1\r\n" CLOSE "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n%z");
	assert_string_equal(world->seen, "PUT / 400 %z");
	converse(world, "PUT / HTTP/1.1\r\n" CLOSE "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n%z");
	assert_string_equal(world->seen, "PUT / 0 %z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
