/* What a disk does for the requests of one NBD client: each becomes one disk request after the other. The shard's thread. */
#ifndef DAEMON_NBD_WORK_H
#define DAEMON_NBD_WORK_H

#include <stdbool.h>

#include "base/list.h"

struct disk;
struct nbd_request;

/* Embedded in the client. */
struct nbd_works {
	struct list idle; /* struct work, for reuse: as many as were ever in flight at once */
	bool abandoned;   /* set by the client: what a request has left to do is left undone */
	void (*on_done)(struct nbd_works *works, struct nbd_request *request, int result);
};

/* on_done is called once for each request, with 0 or a negative errno, from the loop or from within the submit. */
void nbd_works_init(struct nbd_works *works,
		    void (*on_done)(struct nbd_works *works, struct nbd_request *request, int result));
/* Nothing may be in flight. */
void nbd_works_fini(struct nbd_works *works);
/* Borrows disk and request until on_done. */
void nbd_works_submit(struct nbd_works *works, struct disk *disk, struct nbd_request *request);

#endif
