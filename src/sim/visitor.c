#include "sim/visitor.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "env/env.h"
#include "repl/engine.h"

struct visitor {
	struct env_io io;
	struct engine *engine;
	struct env_socket *socket;
	size_t size;
	uint8_t bytes[];
};

static void on_visited(struct env_io *io, int result)
{
	struct visitor *visitor = io->data;

	(void)result;
	engine_accept(visitor->engine, visitor->socket, visitor->bytes, visitor->size);
	free(visitor);
}

void visitor_send(struct env *env, struct engine *engine, struct env_socket *socket, const void *bytes, size_t size)
{
	struct visitor *visitor = memory_new(1, sizeof *visitor + size);

	visitor->io = (struct env_io){ .on_done = on_visited, .data = visitor };
	visitor->engine = engine;
	visitor->socket = socket;
	visitor->size = size;
	memcpy(visitor->bytes, bytes, size);
	env_defer(env, &visitor->io);
}
