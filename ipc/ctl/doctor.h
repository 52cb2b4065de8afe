/* Asking the doctor, for the commands that show what it says: doctor, repair, report. */
#pragma once

#include "ipc/ctl/findings.h"

#include "ipc/varlink_client.h"

/* What came besides the findings. */
struct doctor_answer {
    struct json_object *status; /* GetStatus's; NULL: none */
    char *error;                /* by which the daemon refused; NULL: it did not */
    struct json_object *error_parameters;
};

void doctor_answer_deinit(struct doctor_answer *answer);
#define CLEANUP_DOCTOR_ANSWER CLEANUP(doctor_answer_deinit)

/** Speaks with the daemon and adds everything that is found; that it cannot be reached is a
 * finding, too. `parameters`: of Diagnose; owned. Says nothing but what is wrong with the command
 * line or that memory is out. Returns CTL_GOOD, or an exit status after having said why. */
int doctor_ask(
    struct ctl *ctl, struct json_object *parameters, struct findings *findings,
    struct doctor_answer *ret);
