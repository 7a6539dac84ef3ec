/*
 * run-as: the user whose an account's mail is, and whose home `~` is in its values.
 */
#ifndef POPHAUL_CONFIG_RUNAS_H
#define POPHAUL_CONFIG_RUNAS_H

#include "base/error.h"
#include "config/account.h"

/*
 * The user of that name into `out`, whose old value is released. ERROR_CONFIG: there is none, or it
 * is another than who runs this, and that is not root.
 */
int runas_parse(const char *name, struct account_user *out, struct error *err)
	__attribute__((warn_unused_result));

/*
 * `~` is from now on the home of the user that this text names, if it names one that pophaul can be
 * and is not yet; else, and for NULL, its own.
 */
void runas_set_home(const char *name);

#endif
