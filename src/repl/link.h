/* Links: one authenticated stream to each shard of each peer, carrying frames of all units both ways.
 *
 * The site whose name sorts first dials, always the one address at which the peer's shard 0 listens; the first frame says
 * which shard is wanted, and shard 0 hands the socket to it. Both prove that they hold the shared secret by HMAC-SHA256 over both
 * names, both nonces and the shards' numbers, the dialler first, so a stranger learns nothing. Frames sent while the link is down
 * are dropped: whoever sends has to begin again when it is up. A link stays where it is until links_free, up or down. One
 * shard's thread. */
#ifndef REPL_LINK_H
#define REPL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "wire/frame.h"

struct engine;
struct env;
struct env_socket;
struct error;
struct link;
struct links;
struct pace;
struct pace_line;

#define LINK_SHARDS_MAX FRAME_SHARDS_MAX

/* A frame on its way out; made by one of the two functions below, given to link_send. */
struct frame_out {
	struct list link;
	size_t size;
	uint8_t *bytes;  /* header, payload */
	uint8_t *memory; /* of `bytes`, or NULL: this very piece */
};
struct frame_out *frame_out_new(size_t payload_size_max);
/* Of bytes that are in place already. Takes `memory`, in which they are. */
struct frame_out *frame_out_in_place(uint8_t *bytes, uint8_t *memory);

struct link_handler {
	/* The link came up, or went down (`reason`). */
	void (*on_state)(void *data, struct link *link, bool up, const char *reason);
	/* A whole, intact frame; borrowed for the call, unless link_keep_frame says otherwise. */
	void (*on_frame)(void *data, struct link *link, const struct frame_header *header, const uint8_t *frame);
	/* A stranger wants another shard of this site. Takes the socket; borrows the bytes that have come on it. */
	void (*on_visitor)(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size);
};

struct links *links_new(struct env *env, const char *site, const struct link_handler *handler, void *data);
/* Which of the site's shards this is, of how many; before anything else. Without it: the only one. */
void links_set_shard(struct links *links, unsigned shard, unsigned shards);
void links_each(struct links *links, void (*visit)(struct link *link, void *data), void *data);
int links_listen(struct links *links, const char *address, struct error *error); /* shard 0 alone */
const char *links_address(const struct links *links);
/* What on_visitor gave, at the shard that was wanted. Takes the socket. */
void links_accept(struct links *links, struct env_socket *socket, const void *bytes, size_t size);
/* Keeps the line. */
int links_add(struct links *links, const char *peer, const char *address, const char *secret, struct pace_line *line,
	      struct error *error);
/* The link to the peer's shard 0; NULL: not in the configuration. */
struct link *links_find(struct links *links, const char *peer);
/* Ends everything; idle once nothing is in flight. */
void links_close(struct links *links);
bool links_are_idle(struct links *links);
void links_free(struct links *links);

const char *link_peer(const struct link *link);
unsigned link_shard(const struct link *link);  /* the peer's, at the other end */
unsigned link_shards(const struct link *link); /* how many the peer has, as its shard 0 told last; 1 before that */
/* The link to another shard of the same peer, below LINK_SHARDS_MAX: of one that is not there it is down. */
struct link *link_to_shard(const struct link *link, unsigned shard);
struct pace *link_pace(struct link *link);
struct engine *link_engine(const struct link *link);
bool link_is_up(const struct link *link);
const char *link_reason(const struct link *link); /* why it is down */
size_t link_queued_bytes(const struct link *link);
/* How far the peer's wall clock is ahead of ours, in milliseconds, as good as half a round trip; false: not known yet. It
 * outlives the connection. */
bool link_clock(const struct link *link, int64_t *out_ahead_ms);
/* The frame that on_frame was called with, for longer than the call: the caller frees it. A large one is not copied. */
uint8_t *link_keep_frame(struct link *link, const struct frame_header *header, const uint8_t *frame);
/* Takes the frame: writes its header (checksum and all) and queues it. */
void link_send(struct link *link, struct frame_out *frame, const struct frame_header *header);
/* A header and a small payload in one call. */
void link_send_small(struct link *link, const struct frame_header *header, const void *payload, uint32_t size);

#endif
