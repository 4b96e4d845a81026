/* Memory for payloads, shared by all sessions of a server. A request takes what it needs before it is looked at further; when
 * there is not enough its session stands in line, first come, first served, and takes no other request meanwhile. One thread. */
#ifndef NBD_BUDGET_H
#define NBD_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "nbd/buffers.h"

struct nbd_session;

struct nbd_budget {
	uint64_t max, used; /* bytes; `used` may exceed the maximum by BUDGET_SMALL a session */
	struct list line;   /* of sessions, by turn.link */
	struct buffers buffers;
};

/* A session's place in the line. */
struct budget_turn {
	struct list link;
	uint64_t wanted;  /* while it stands in line, else 0 */
	uint64_t granted; /* it has had its turn: what it wanted is its own, and not used yet */
};

/* `max`: bytes, NBD_REQUEST_BYTES_MAX or more. */
void nbd_budget_init(struct nbd_budget *budget, uint64_t max);
/* Right after it: large buffers are taken from this space, which is borrowed to the end. */
void nbd_budget_use(struct nbd_budget *budget, const struct arena_space *space);
/* After the last session. */
void nbd_budget_fini(struct nbd_budget *budget);

/* --- of nbd/ alone --- */

/* What a session that holds nothing always gets: so that those who hold much and read nothing cannot stop the others. */
#define BUDGET_SMALL (64u * 1024u)

/* False when the session has to wait; its host is woken when it has what it wanted. The same size is then taken again. */
bool budget_take(struct nbd_session *session, uint64_t size);
void budget_give(struct nbd_session *session, uint64_t size);
/* Gives up the place in line, or what was granted and not taken. */
void budget_leave(struct nbd_session *session);

#endif
