/*
 * Where an account's password comes from: the account itself, a file, a command, systemd's
 * credentials, ~/.netrc, or the terminal; and its OAuth 2 access token: a file or a command.
 *
 *	credential_needs_prompt()  in the poller, before workers start
 *	credential_prompt()        if so, while the terminal is still ours alone
 *	credential_resolve()       in the account's worker
 *	credential_renew_token()   there, once a server has refused the token
 */
#ifndef POPHAUL_CONFIG_SOURCE_CREDENTIAL_H
#define POPHAUL_CONFIG_SOURCE_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/secret.h"
#include "config/account.h"

/*
 * The password or token into `out`, from the first source that the account has: token-file,
 * token-command, `password` (or the prompt), password-file, password-command, credential, ~/.netrc.
 * *found_out is false, which is no error, when there is none. The command runs without a shell for
 * at most 30 s, with POPHAUL_ACCOUNT, POPHAUL_HOST and POPHAUL_USER in its environment; its errors
 * go to ours. Of a file and of the output the first line counts, without its line end, of ~/.netrc
 * the value. Errors: ERROR_CONFIG for a file that is missing or that others can read and for an
 * empty or unusable password; ERROR_AUTH for a command that fails or takes too long; ERROR_SYSTEM
 * when it cannot be started; ERROR_INTERRUPTED after a signal to stop. May block that long.
 */
int credential_resolve(const struct account *account, struct secret *out, bool *found_out,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Whether the secret stands in the configuration, a file or a credential, which root reads before
 * it becomes the account's user; a command, and ~/.netrc, are that user's.
 */
bool credential_is_roots_to_read(const struct account *account);

/*
 * credential_resolve() of such an account by root: the file may be root's, when nobody else can
 * change its path, or the user's.
 */
int credential_resolve_as_root(const struct account *account, struct secret *out, bool *found_out,
	struct error *err) __attribute__((warn_unused_result));

/*
 * The token anew; `account` has one. As credential_resolve(), but the command is told by
 * POPHAUL_TOKEN=refused that it had better not give the same again.
 */
int credential_renew_token(const struct account *account, struct secret *out, struct error *err)
	__attribute__((warn_unused_result));

/* What password-command and token-command get for all they do. */
#define CREDENTIAL_COMMAND_MS (30 * 1000)

/*
 * The part of credential_resolve() that runs token-command, else password-command, for at most
 * `limit_ms`; for tests, too.
 */
int credential_run_command(const struct account *account, int64_t limit_ms, struct secret *out,
	struct error *err) __attribute__((warn_unused_result));

/*
 * Why a file of these attributes is no place for a password, as the end of a sentence: others
 * can read it, or it is another's, who can make it so that they do. NULL when it is one.
 */
const char *credential_exposure(const struct stat *st);

/*
 * The login wants a password, no source is configured and ~/.netrc has no entry: ask a person.
 * Never for an account of another user.
 */
bool credential_needs_prompt(const struct account *account);

/*
 * Ask for the password on /dev/tty with the echo off, "Password for USER at HOST: ".
 * The terminal is set back whatever happens. ERROR_INTERRUPTED after a signal that
 * would have ended us; ERROR_CONFIG without a terminal, or for an empty answer.
 */
int credential_prompt(const struct account *account, struct secret *out, struct error *err)
	__attribute__((warn_unused_result));

#endif
