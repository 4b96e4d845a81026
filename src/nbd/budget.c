#include "nbd/budget.h"

#include <assert.h>

#include "nbd/internal.h"

void nbd_budget_init(struct nbd_budget *budget, uint64_t max)
{
	assert(max >= NBD_REQUEST_BYTES_MAX); /* or the first in line could wait for ever */
	*budget = (struct nbd_budget){ .max = max };
	list_init(&budget->line);
}

void nbd_budget_use(struct nbd_budget *budget, const struct arena_space *space)
{
	arena_init(&budget->buffers.arena, space);
}

void nbd_budget_fini(struct nbd_budget *budget)
{
	assert(budget->used == 0);
	buffers_fini(&budget->buffers);
}

bool budget_take(struct nbd_session *session, uint64_t size)
{
	struct nbd_budget *budget = session->budget;
	struct budget_turn *turn = &session->turn;
	bool fits = list_is_empty(&budget->line) && size <= budget->max && budget->used <= budget->max - size;

	assert(turn->wanted == 0);
	if (turn->granted > 0) {
		assert(turn->granted == size);
		turn->granted = 0;
		return true;
	}
	if (fits || (session->held_bytes == 0 && size <= BUDGET_SMALL)) {
		budget->used += size;
		return true;
	}
	turn->wanted = size;
	list_append(&budget->line, &turn->link);
	return false;
}

void budget_give(struct nbd_session *session, uint64_t size)
{
	struct nbd_budget *budget = session->budget;

	assert(budget->used >= size);
	budget->used -= size;
	while (!list_is_empty(&budget->line)) {
		struct nbd_session *first = container_of(budget->line.next, struct nbd_session, turn.link);

		if (budget->used + first->turn.wanted > budget->max)
			break;
		list_remove(&first->turn.link);
		first->turn.granted = first->turn.wanted;
		first->turn.wanted = 0;
		budget->used += first->turn.granted;
		first->ops->wake(first->host);
	}
}

void budget_leave(struct nbd_session *session)
{
	uint64_t granted = session->turn.granted;

	if (session->turn.wanted > 0)
		list_remove(&session->turn.link);
	session->turn.wanted = session->turn.granted = 0;
	if (granted > 0)
		budget_give(session, granted);
}
