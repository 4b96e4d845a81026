/* A connection that is for another shard of its site, on its way there: the socket changes threads, so it takes a while. */
#ifndef SIM_VISITOR_H
#define SIM_VISITOR_H

#include <stddef.h>

struct engine;
struct env;
struct env_socket;

/* What on_visitor of an engine has given, to the engine that was wanted. */
void visitor_send(struct env *env, struct engine *engine, struct env_socket *socket, const void *bytes, size_t size);

#endif
