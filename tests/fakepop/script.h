/*
 * A script: what this server has and where it differs from a correct one. The
 * language is described in README beside this file.
 *
 * The parent reads the lines once for "every session" (SCRIPT_EVERY_SESSION):
 * errors end the process, messages are added to the maildrop. Each session's
 * process reads them again for its own number and gets what holds there.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_SCRIPT_H
#define POPHAUL_TESTS_FAKEPOP_SCRIPT_H

#include <gnutls/gnutls.h>
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "maildrop.h"
#include "util.h"

#define SCRIPT_EVERY_SESSION 0

enum action_kind {
	ACTION_SEND,     /* text: a line */
	ACTION_RAW,      /* text: octets */
	ACTION_FLOOD,    /* text again and again, a: octets in all, 0: without end */
	ACTION_FILE,     /* text: path of octets */
	ACTION_NORMAL,   /* what the server would have answered */
	ACTION_CUT,      /* a: the usual answer, cut after so many octets */
	ACTION_EXPECT,   /* pattern: read a line, which must match */
	ACTION_READ,     /* read a line, whatever it is */
	ACTION_DROP,     /* close */
	ACTION_BYE,      /* close, with close_notify */
	ACTION_RESET,    /* RST */
	ACTION_STALL,    /* never answer again */
	ACTION_WAIT,     /* a: milliseconds */
	ACTION_DRIP,     /* a: octets, b: milliseconds */
	ACTION_DISCARD,  /* forget commands already received */
	ACTION_STARTTLS, /* shake hands */
	ACTION_LOGIN,    /* the client is logged in */
	ACTION_COMMIT,   /* delete for good what the client has deleted */
	ACTION_TOUCH,    /* text: path of a file to create */
	ACTION_AWAIT     /* text: path of a file to wait for */
};

struct pattern {
	char *words;   /* a line's first words, in any case; NULL: `regex` */
	bool is_whole; /* `words` is the whole line, in this case */
	regex_t regex;
};

struct action {
	enum action_kind kind;
	char *text;
	size_t len;
	uint64_t a, b;
	struct pattern pattern;
};

struct actions {
	struct action *items;
	size_t count;
};

struct rule {
	struct pattern pattern;
	struct actions actions;
	uint64_t times; /* how often it holds, over all sessions; 0: always */
	size_t counter; /* in maildrop's `uses` */
};

enum capa_when { CAPA_ALWAYS, CAPA_BEFORE_LOGIN, CAPA_AFTER_LOGIN };

/* "+LINE" and "-TAG" change the usual list; any other text replaces it. */
struct capa_line {
	enum capa_when when;
	char *text;
};

struct script {
	struct rule *rules;
	size_t rule_count;
	struct actions dialogue; /* instead of the greeting */

	char *user, *password;
	bool any_user;
	char *apop; /* the timestamp, NULL: no APOP */
	char *greeting;
	struct capa_line *capa;
	size_t capa_count;
	bool capa_none;        /* -ERR to CAPA */
	bool delete_retrieved; /* QUIT deletes what was retrieved, as EXPIRE 0 says */
	bool lock_step;        /* drop the connection on pipelined commands */
	bool exclusive;        /* one session at a time: -ERR [IN-USE] */
	uint64_t latency_ms;
	char *tls_priority;
	gnutls_datum_t tls_tickets; /* their key; empty: none are sent */

	/* While it is read. */
	struct maildrop *drop;
	uint64_t session; /* SCRIPT_EVERY_SESSION: of the parent */
	size_t message_count;
	size_t counters;
	const char *where;
	unsigned line;
	const char *dir; /* of the script, for relative paths; NULL: the working folder */
};

/* A file of lines, or a line, as the parent keeps it. */
struct script_source {
	const char *name;
	char *dir;
	char *text;
};

/* Read the file. */
struct script_source script_open(const char *path);

/* Zeroed and with the usual values; then script_add() for each source in order. */
void script_begin(struct script *script, struct maildrop *drop, uint64_t session);
void script_add(struct script *script, const struct script_source *source);

/* The first rule that matches the line and is not used up; it is used once more. NULL: none. */
const struct rule *script_find(struct script *script, const char *line);

bool pattern_matches(const struct pattern *pattern, const char *line);

#endif
