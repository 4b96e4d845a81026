/* What is said of a peer while the daemon runs: how fast its link may ship. Kept in the catalog, told to the shard at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "catalog/catalog.h"
#include "control/internal.h"

static void tell_limit(struct control *control, const struct peer *peer)
{
	struct shard_command command = { .kind = SHARD_PEER_LIMIT };

	text_copy(command.u.peer.zone, sizeof command.u.peer.zone, peer->site.zone);
	command.u.peer.bytes_per_second = peer->limit;
	send_command(control, &command, NULL, NULL);
}

void operate_limit_peer(struct call *call)
{
	struct control *control = call->control;
	struct peer *peer = peer_find(control, call->request.zone);
	struct error error = { 0 };
	char body[32];

	if (!call_is_of_this_region(call)) {
		call_seek(call, REFUSE_NO_SUCH_REGION, "there is no region %s here", call->request.region);
		return;
	}
	if (peer == NULL) {
		call_end(call, REFUSE_NO_SUCH_ZONE, "site %s is no peer in this site's configuration", call->request.zone);
		return;
	}
	snprintf(body, sizeof body, "%llu", (unsigned long long)call->request.size);
	if (catalog_begin(control->catalog, &error) < 0 ||
	    catalog_put(control->catalog, "limit", peer->site.zone, body, &error) < 0 ||
	    catalog_commit(control->catalog, &error) < 0) {
		call_end_error(call, &error);
		return;
	}
	peer->limit = call->request.size;
	tell_limit(control, peer);
	call_end(call, REFUSE_NONE, "%s", "");
}

static int on_limit(void *data, const char *id, const char *body, struct error *error)
{
	struct control *control = data;
	struct peer *peer = peer_find(control, id);

	(void)error;
	if (peer != NULL) { /* else it has left the configuration */
		peer->limit = strtoull(body, NULL, 10);
		tell_limit(control, peer);
	}
	return 0;
}

int limits_resume(struct control *control, struct error *error)
{
	return catalog_each(control->catalog, "limit", on_limit, control, error);
}
