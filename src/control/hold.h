/* A hook for tests, in builds with the option `hold` alone: states that pass too quickly to be looked at stand still.
 *
 * While the file that OFFSITE_HOLD names says "hold STATE", the step that would lead a pair or a group out of STATE waits: a
 * command for its unit, or the question to the other site that ends "creating". While it says "fail STATE" that command is
 * answered with an error; while it says "late STATE" it is carried out, and control is busy with something else until all is
 * over. The tick looks again. Without the option nothing of it is in what is built: tools/check-symbols. */
#ifndef CONTROL_HOLD_H
#define CONTROL_HOLD_H

#include "control/internal.h"

#ifdef OFFSITE_HOLD
/* True: taken, done later. */
bool hold_command(struct control *control, const struct shard_command *command, command_done *on_done, void *data);
bool hold_question(struct control *control, const char *zone, json_t *question, ask_done *on_reply, void *data);
void hold_tick(struct control *control);
#else
#define hold_command(control, command, on_done, data) false
#define hold_question(control, zone, question, on_reply, data) false
#define hold_tick(control) ((void)0)
#endif

#endif
