/* HTTP for the doors: takes requests whole, hands them to one function, sends its answers. libmicrohttpd inside.
 *
 * Runs on the control thread, driven by its poll loop: when http_server_fd() is readable or http_server_timeout() has passed,
 * http_server_run() does what is due. Knows nothing of any dialect. */
#ifndef API_HTTP_HTTP_H
#define API_HTTP_HTTP_H

#include <stddef.h>

struct error;
struct http_request;
struct http_server;

#define HTTP_BODY_MAX (1024u * 1024u)  /* bytes; more is a fault, 413 */
#define HTTP_PARAMETERS_MAX 1024u      /* of query and form together; more is a fault, 400 */
#define HTTP_CONNECTIONS_MAX 256u      /* more wait in the kernel's queue */
#define HTTP_IDLE_S 30u                /* a connection without a byte for so long is closed */
#define HTTP_ARRIVAL_S 60u             /* a request that takes longer to arrive, head and body, is a fault, 408 */
#define HTTP_CUT_S 120u                /* one that is not there by then is not answered: its connection is closed */

/* A whole request, of any method. The receiver keeps it until it calls http_request_answer, exactly once, at once or later. */
typedef void http_on_request(void *data, struct http_request *request);

/* Listens on "HOST:PORT" (port 0 picks one). */
int http_server_new(const char *address, http_on_request *on_request, void *data, struct http_server **out_server,
		    struct error *error);
const char *http_server_address(const struct http_server *server); /* "HOST:PORT" as bound; borrows */
int http_server_fd(const struct http_server *server);
int http_server_timeout(const struct http_server *server); /* milliseconds, -1: none */
void http_server_run(struct http_server *server);

/* Stops listening and closes all connections; an answer to a request that still waits for one is dropped. */
void http_server_stop(struct http_server *server);
/* After the stop, when nobody will answer a request any more. */
void http_server_free(struct http_server *server);

/* --- a request; all strings are borrowed until its answer --- */

/* 0, or the status with which it must be refused: it came too late, its body is too long (and was not kept), or its parameters
 * cannot be read (some may be missing). The sentence says why, without a stop. */
unsigned http_request_fault(const struct http_request *request, const char **out_sentence);
const char *http_request_method(const struct http_request *request);
const char *http_request_path(const struct http_request *request); /* decoded, without the query */
const char *http_request_header(const struct http_request *request, const char *name); /* NULL when missing */
const char *http_request_body(const struct http_request *request, size_t *out_size); /* ends with a zero that is not counted */

/* Parameters of the query and, when the content type says so, of the form in the body; decoded, in their order. None holds
 * a zero byte. */
size_t http_request_parameter_count(const struct http_request *request);
size_t http_request_query_count(const struct http_request *request); /* of them, the first: those of the query */
const char *http_request_parameter_name(const struct http_request *request, size_t index);
const char *http_request_parameter_value(const struct http_request *request, size_t index);
/* The first of that name, or NULL. */
const char *http_request_parameter(const struct http_request *request, const char *name);

/* The caller's address, without its port; "" when there is none. */
#define HTTP_SOURCE_SIZE 64
void http_request_source(const struct http_request *request, char out[HTTP_SOURCE_SIZE]);

/* A request that came another way than by HTTP, of parameters only: read as any, and dropped instead of answered. */
struct http_request *http_request_make(void);
/* Copies the two. */
int http_request_put(struct http_request *request, const char *name, const char *value);
void http_request_drop(struct http_request *request);

/* One more header of the answer to come; both are copied. */
void http_request_answer_header(struct http_request *request, const char *name, const char *value);
/* Sends the answer (copied) and gives the request back. `type` is the content type, NULL for an answer without body. */
void http_request_answer(struct http_request *request, unsigned status, const char *type, const char *body, size_t size);

#endif
