/* Planted mistakes: what offsite-sim must be able to find.
 *
 * A simulator that finds nothing proves nothing unless it would have found something. With the build option `planted` each of
 * these mistakes can be switched on, one at a time (offsite-sim --planted NAME), and ./check shows that it is caught, and by
 * how many seeds. Without the option PLANTED(...) is the constant false: nothing of it is in what is installed. */
#ifndef BASE_PLANTED_H
#define BASE_PLANTED_H

#define PLANTED_LIST(X) \
	X(BIT_AFTER_DATA, "a block is counted as changed when its write has ended, not before it begins") \
	X(MARK_NOT_AWAITED, "a write begins while the mark of its extent is still on its way to the disk") \
	X(MARK_REMOVED_EARLY, "a mark is removed before its writes are flushed and committed at the other side") \
	X(OLD_BYTES_LOST_WRITE, "a block of a closed epoch is overwritten before it was read") \
	X(OLD_BYTES_LOST_TRIM, "the same, by TRIM and WRITE_ZEROES only") \
	X(CUT_NOT_DRAINED, "a closed epoch is read while writes admitted to it are in flight") \
	X(SWEEP_MISSES_FLIGHT, "the first copy reads a block that a write in flight is changing, and does not read it again") \
	X(FLUSH_LIES, "a flush is answered without a sync") \
	X(COMMIT_BEFORE_SYNC, "the commit record is written before the staged frames are on stable storage") \
	X(ACK_BEFORE_RECORD, "an epoch is acknowledged before its commit record is on stable storage") \
	X(COMMIT_PER_DISK, "an epoch counts as applied when its first disk is") \
	X(STAGING_TRIMMED_EARLY, "the staging file is emptied before the disks are synced") \
	X(STAGED_IN_PLACE, "frames touch the disks as they come") \
	X(LATE_FRAME_ACCEPTED, "frames of an older term are accepted") \
	X(TERM_NOT_DURABLE, "a failover raises the term in memory alone") \
	X(HANDSHAKE_CLEARS_BITS, "a welcome drops what had changed") \
	X(ABANDON_DROPS_BITS, "an epoch given up takes its blocks with it") \
	X(DIVERGENCE_FORGOTTEN, "a side that gives up the lead forgets what it alone has changed") \
	X(DEMOTED_UNSYNCED, "a side gives up the lead with writes that are not on stable storage") \
	X(READ_BACK_TRUSTED, "a record read back after a kill is acted upon before it is stable") \
	X(SWITCHOVER_HOLDS_NOTHING, "writes go on during a switchover's last epoch") \
	X(HASHES_NOT_COMPARED, "blocks that were to be compared count as the same") \
	X(DIVERGENCE_UNSYNCED, "what was saved of a divergence is not on stable storage when its blocks are overwritten") \
	X(DIVERGENCE_TORN_TRUSTED, "what was saved of a divergence is taken from the file after a power cut without a look at it") \
	X(GROWTH_UNMARKED, "what a disk has grown by counts as zeros, whatever the device holds there") \
	X(GROWTH_FORGOTTEN, "a disk that is found larger than its marks knew it counts as unchanged there")

enum planted {
	PLANTED_NOTHING,
#define X(name, text) PLANTED_##name,
	PLANTED_LIST(X)
#undef X
	PLANTED_MISTAKES,
};

#ifdef OFFSITE_PLANTED
extern enum planted planted_mistake; /* of the simulator, one thread */
#define PLANTED(name) (planted_mistake == PLANTED_##name)
#else
#define PLANTED(name) false
#endif

#endif
