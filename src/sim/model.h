/* The oracle: remembers every write, and says whether an image of all disks can be a point in time.
 *
 * Every sector a write changed is stamped with the write's number (zeros for TRIM and WRITE_ZEROES). An instant T explains a
 * sector that shows write w if w had been issued by T and the next write to that sector had not been acknowledged before T. An
 * image is a point in time if one instant explains every sector of every disk. Pure. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_SECTOR 512u
#define MODEL_DISKS_MAX 8u

struct model;

/* `images`: what the disks hold at the beginning, or NULL for zeros. `series` (1 or more, another for each model of a run) makes
 * the stamps of two models differ. */
struct model *model_new(unsigned disk_count, const uint64_t *sizes, const uint8_t *const *images, uint32_t series);
void model_free(struct model *model);
/* A disk grows; what is new may show anything that is no stamp, until it is written. */
void model_grow(struct model *model, unsigned disk, uint64_t size);

/* A write of whole sectors is issued: gives its number. zero: it leaves zeros. */
uint64_t model_issue(struct model *model, unsigned disk, uint64_t offset, uint64_t length, bool zero, uint64_t now);
void model_ack(struct model *model, uint64_t number, uint64_t now);
/* An acknowledged write that was stable by itself (FUA). */
void model_stable(struct model *model, uint64_t number);
/* It will never be acknowledged, and what it left is seen by model_adopt. */
void model_fail(struct model *model, uint64_t number);
/* A flush that began at `began` was acknowledged: writes acknowledged before it are stable. */
void model_flush(struct model *model, unsigned disk, uint64_t began);
/* What write `number` puts into a sector. */
void model_stamp(const struct model *model, uint64_t number, uint8_t out[MODEL_SECTOR]);

enum model_loss {
	MODEL_LOSS_NONE,  /* a kill: what was acknowledged is there */
	MODEL_LOSS_SYNC,  /* a sync failed: what was not flushed before may be gone */
	MODEL_LOSS_POWER, /* the same; and what is there now is on the platter */
};
/* The primary has come back with these bytes. False (and why) when a stable write is missing. From now on the bytes are the
 * truth: what an unacknowledged or lost write left counts as written now. */
bool model_adopt(struct model *model, unsigned disk, const uint8_t *bytes, enum model_loss loss, uint64_t now, char why[200]);

/* Is the image one instant, not before `not_before`? */
bool model_is_point_in_time(const struct model *model, const uint8_t *const *images, uint64_t not_before, char why[200]);

#endif
