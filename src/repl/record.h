/* The unit record: what a site must remember of a unit through a power cut. It is also the commit record of an epoch, one for
 * all disks of the unit.
 *
 * File "<directory>/units/<id>.unit": two slots of 4 KiB, written in turn, each synced before the next is begun.
 *   offset size field
 *        0    4 magic "OFSU"
 *        4    4 version 2
 *        8    8 sequence          the valid slot with the higher one counts
 *       16   16 lineage
 *       32    8 term
 *       40    4 condition         enum record_condition
 *       44    4 content           of the secondary's disks, as far as this side knows (enum copy_content)
 *       48    8 copy              random, made with this side's copy
 *       56    8 committed         newest epoch committed at the secondary (primary: proven to it)
 *       64    8 committed_wall_ms wall clock of the primary at its cut
 *       72    8 applied           secondary: newest epoch wholly on the disks
 *       80    4 stage             which of the two staging files holds the committed epoch
 *       84    4 disk count
 *       88    8 staged_bytes      of the committed epoch
 *       96    8 epoch_reserved    primary: epochs below may have been used
 *      104    8 frames            data frames of the committed epoch
 *      112    8 floor             the peer has `floor` on stable storage as proven: if it ever knows less, it was restored
 *                               from an old backup
 *      120    8 peer_copy         of the other side's copy, 0: not known yet
 *      128    8 wall_ahead_ms     how far the clock of committed_wall_ms was ahead of this site's; signed
 *      136    4 divergence        enum record_divergence
 *      140    4 zero
 *      144    8 checksum          XXH3 of bytes 0 to 143
 * Unknown versions are refused. */
#ifndef REPL_RECORD_H
#define REPL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "env/env.h"
#include "wire/frame.h"

#define RECORD_SLOT_SIZE 4096u
#define RECORD_SIZE 152u

enum record_condition {
	RECORD_LEADING,     /* a primary */
	RECORD_FOLLOWING,   /* a secondary */
	RECORD_FAILED_OVER, /* was a secondary, is the newer copy now */
	RECORD_SUPERSEDED,  /* was a primary, the peer has a higher term */
	RECORD_CONDITIONS,
};
/* What this side held alone when it gave up the lead: repl/divergence.h. */
enum record_divergence {
	RECORD_DIVERGENCE_NONE,
	RECORD_DIVERGENCE_KEPT,
	RECORD_DIVERGENCE_GIVEN_UP, /* it could not be kept, or not any longer */
	RECORD_DIVERGENCES,
};

const char *record_condition_name(enum record_condition condition);

struct record {
	uint8_t lineage[16];
	uint64_t term;
	enum record_condition condition;
	enum copy_content content;
	uint64_t copy, peer_copy;
	uint64_t committed, committed_wall_ms, applied;
	int64_t wall_ahead_ms;
	enum record_divergence divergence;
	uint32_t stage;
	uint32_t disk_count;
	uint64_t staged_bytes;
	uint64_t epoch_reserved;
	uint64_t frames;
	uint64_t floor;
};

/* Pure; decode gives the sequence, 0 when the slot is not valid. */
void record_encode(const struct record *record, uint64_t sequence, uint8_t slot[RECORD_SLOT_SIZE]);
uint64_t record_decode(const uint8_t slot[RECORD_SLOT_SIZE], struct record *out_record);

struct record_file {
	struct env *env;
	struct env_file *file;
	uint64_t sequence;
	bool writing;
	struct list queue; /* of struct record_write */
	uint8_t *slots;    /* 2 * RECORD_SLOT_SIZE */
	struct env_io io;
	void (*on_loaded)(void *data, int result, bool found, const struct record *record);
	void *data;
};

/* Asks for one write of the record as it is now; done, durably, when on_done is called (exactly once, in the order asked). */
struct record_write {
	struct list link;
	struct record record;
	void (*on_done)(struct record_write *write, int result);
	void *data;
};

/* on_loaded is called once, from the loop: found is false when the file was new, or never completely written. */
int record_open(struct record_file *file, struct env *env, const char *path,
		void (*on_loaded)(void *data, int result, bool found, const struct record *record), void *data);
void record_write(struct record_file *file, struct record_write *write, const struct record *record,
		  void (*on_done)(struct record_write *write, int result), void *data);
bool record_is_idle(const struct record_file *file);
void record_close(struct record_file *file); /* idle */

#endif
