/* Links: one authenticated stream to each peer, carrying frames of all units both ways.
 *
 * The site whose name sorts first dials. Both prove that they hold the shared secret by HMAC-SHA256 over both names and both
 * nonces, the dialler first, so a stranger learns nothing. Frames sent while the link is down are dropped: whoever sends
 * has to begin again when it is up. One shard's thread. */
#ifndef REPL_LINK_H
#define REPL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "wire/frame.h"

struct engine;
struct env;
struct error;
struct link;
struct links;
struct pace;

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
};

struct links *links_new(struct env *env, const char *site, const struct link_handler *handler, void *data);
void links_each(struct links *links, void (*visit)(struct engine *engine, struct link *link));
int links_listen(struct links *links, const char *address, struct error *error);
const char *links_address(const struct links *links);
int links_add(struct links *links, const char *peer, const char *address, const char *secret, struct error *error);
struct link *links_find(struct links *links, const char *peer);
/* Ends everything; idle once nothing is in flight. */
void links_close(struct links *links);
bool links_are_idle(const struct links *links);
void links_free(struct links *links);

const char *link_peer(const struct link *link);
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
