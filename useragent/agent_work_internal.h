/* What agent_work.c and agent_recovery.c share. */
#pragma once

#include "useragent/agent_work.h"

/** What is ours by settings, record and the key in hand; release with ours_deinit(). */
void agent_work_ours(struct agent_work *work, struct ours *ret);

/** Writes the record, logs a failure. Returns 0 or a negative errno. */
int agent_work_write_record(struct agent_work *work);

/** Makes `leaf` the record's current certificate, installed now, in the stores that verified it. In
 * memory only. */
void agent_work_set_current(struct agent_work *work, X509 *leaf, const char *request_id);

/** Takes the stores that verified into the record. In memory only. */
void agent_work_set_stores(struct agent_work *work);

/** Notes which stores this job was about. */
void agent_work_note_stores(struct agent_work *work);

/** Draws when the current certificate is renewed. In memory only. */
void agent_work_plan_renewal(struct agent_work *work);
