/*
 * What an account is, as plain data: filled by config/ (a file's sections, a
 * POP URL, the command line), read by everybody, changed by nobody afterwards.
 * Strings are owned by the account; account_release() frees and wipes.
 */
#ifndef POPHAUL_CONFIG_ACCOUNT_H
#define POPHAUL_CONFIG_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/secret.h"

enum account_tls {
	ACCOUNT_TLS_IMPLICIT, /* from the first octet, port 995 */
	ACCOUNT_TLS_STARTTLS, /* STLS on port 110, which must succeed */
	ACCOUNT_TLS_NONE      /* cleartext, only when written */
};

enum account_pipelining {
	ACCOUNT_PIPELINING_AUTO, /* where CAPA lists it and the state does not warn of it */
	ACCOUNT_PIPELINING_ON,   /* always */
	ACCOUNT_PIPELINING_OFF   /* lock step */
};

/* The cage of the process that speaks to the server. */
enum account_sandbox {
	ACCOUNT_SANDBOX_AUTO,    /* as far as the kernel can */
	ACCOUNT_SANDBOX_REQUIRE, /* in force, or no session */
	ACCOUNT_SANDBOX_OFF
};

enum account_keep_kind { ACCOUNT_KEEP_FOREVER, ACCOUNT_KEEP_NEVER, ACCOUNT_KEEP_AGE };

struct account_keep {
	enum account_keep_kind kind;
	int64_t seconds; /* ACCOUNT_KEEP_AGE: since the delivery */
};

enum account_dest_kind {
	ACCOUNT_DEST_NONE, /* nothing configured: enough for --list */
	ACCOUNT_DEST_MAILDIR,
	ACCOUNT_DEST_MBOX,
	ACCOUNT_DEST_PIPE
};

struct account_dest {
	enum account_dest_kind kind;
	char *text;  /* as configured, with ~ and ${VAR} expanded: "maildir:/home/jane/Maildir" */
	char *path;  /* maildir, mbox: absolute */
	char **argv; /* pipe: NULL-ended words, placeholders (%a %u %h %s %%) still in them */
};

/* A user of the system. */
struct account_user {
	char *name; /* NULL: whoever runs pophaul */
	char *home;
	uid_t uid;
};

/* No limit, for the limits below. */
#define ACCOUNT_NO_LIMIT 0

struct account {
	char *name; /* see account_is_name(); the key of its state */

	char *host; /* DNS name or address, without brackets and final dot */
	uint16_t port;
	enum account_tls tls;
	char *tls_trust_file; /* PEM; NULL: the system's store */
	char *tls_crl_file;   /* PEM; NULL: nobody is revoked */
	char *tls_host;       /* the name that the certificate must bear; NULL: `host` */
	char *tls_priority;   /* of GnuTLS, on top of our own; NULL: none */
	char *tls_cert;       /* the client's certificate, a path or an URL; NULL: none */
	char *tls_key;        /* its key, likewise; NULL: stands with it */
	char **pin;           /* NULL-ended, in the form of trust_parse_pin(); NULL: none */
	bool pin_only;        /* in place of chain and name */
	bool cleartext;       /* ACCOUNT_TLS_NONE is meant, whatever the host */

	char *user;
	struct secret password; /* from `password`, the prompt, or resolved in the worker */
	char *password_file;
	char **password_command; /* argv; NULL: none */
	char *credential;        /* its name in systemd's folder */
	char *token_file;        /* of an OAuth 2 access token, */
	char **token_command;    /* and these never beside a password */
	char *authorize_as;      /* the user to act for (RFC 4422 section 3.4.1); NULL: `user` */
	char **auth;             /* NULL-ended upper-case names in order; NULL: auto */

	struct account_user run_as;
	struct account_dest dest;
	struct account_keep keep;
	uint64_t max_size;     /* octets; bigger messages are left; ACCOUNT_NO_LIMIT */
	uint32_t max_messages; /* fetched in one session; ACCOUNT_NO_LIMIT */
	bool until_empty;      /* session after session, until there is nothing new */
	uint32_t newest;       /* only the last so many of the listing; ACCOUNT_NO_LIMIT */
	bool received;         /* add a Received: line */
	bool quit_after_failure;
	bool skip; /* polled only when named */

	enum account_sandbox sandbox;
	enum account_pipelining pipelining;
	int64_t timeout_ms;         /* longest silence of the server */
	uint64_t min_rate;          /* octets a second within a reply; ACCOUNT_NO_LIMIT */
	int64_t session_limit_ms;   /* the longest session; ACCOUNT_NO_LIMIT */
	int64_t connect_timeout_ms; /* all addresses together, TLS included */
	int64_t pipe_timeout_ms;    /* a pipe command's life */
	int64_t lock_timeout_ms;    /* waiting for an mbox's locks */
};

/* Leaves room for ".uidl.damaged-TIME" behind it in a file's name. */
#define ACCOUNT_NAME_MAX 200

/*
 * Whether an account's name may have `c` in it: letters, digits and . _ @ + -, but no . or - at
 * first.
 */
bool account_name_allows(char c, bool is_first);

/* Whether it is a name that an account may have. */
bool account_is_name(const char *name);

/* Whether its login may want a password: false when all mechanisms of `auth` do without. */
bool account_needs_password(const struct account *account);

/*
 * Whether its login may have to open files and sockets of this machine's, and of hosts that only
 * the login knows (Kerberos: tickets, its key servers; a key in a PKCS#11 token): a cage that
 * forbids that has to wait.
 */
bool account_needs_open_login(const struct account *account);

/* Whether the key or certificate that it shows to servers is in a PKCS#11 token. */
bool account_has_token_key(const struct account *account);

/* Whether it logs in with an OAuth 2 access token, and so by no mechanism for passwords. */
bool account_has_token(const struct account *account);

/*
 * A server that is slow, not dead (one that scans a message for viruses before its first octet, or
 * rewrites a big mailbox at QUIT), is waited for as `timeout_ms` says, but so long at most once
 * somebody waits for the session's end.
 */
#define ACCOUNT_STOP_MS ((int64_t)30000)

/* How long a session that was asked to stop may wait for its server. */
int64_t account_stop_ms(const struct account *account);

/* Whether its mail would be handed to a command that is root's without anybody having said so. */
bool account_runs_as_root(const struct account *account);

/* What is said to that, behind the account's name. */
#define ACCOUNT_AS_ROOT                                                                            \
	"would run a command as root: say whose mail it is with run-as = \"USER\" "                \
	"(or with run-as = \"root\" that it has to be root)"

void account_release(struct account *account);

#endif
