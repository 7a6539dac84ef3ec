/*
 * A fetcher that has been taken over, in place of the program's own: the rest of the program
 * (build/tests/takeover/takeover) is what it always is. An account's `user` names the attack
 * (attacks[]), and 79-taken-over.bats what must come of it.
 *
 * The played server has three messages, u1 to u3, in all attacks, so that a session of the user
 * "honest" behind an attack shows what the attack has left.
 */
#include "fetch/fetcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "fetch/cage/sandbox.h"

#define MESSAGES 3

/* A deliverer that takes so much, or waits so long, has lost. */
#define FLOOD_FRAMES  (64u << 20)
#define FLOOD_SECONDS 50

static struct link *link_out;
static const struct account *victim;

/* ---- what every fetcher does ---- */

/* The deliverer has hung up: the attack is over. */
static void
send_all(void)
{
	struct error why;

	if (link_flush_all(link_out, clock_monotonic_ms() + FLOOD_SECONDS * 1000, &why) != 0)
		_exit(0);
}

static struct link_frame
await_frame(void)
{
	struct link_frame frame;
	struct error why;

	send_all();
	if (link_wait(link_out, &frame, clock_monotonic_ms() + FLOOD_SECONDS * 1000, NULL, &why) !=
		1)
		_exit(0);
	return frame;
}

static void
await(enum link_type type)
{
	while (await_frame().type != type)
		continue;
}

static void
begin_listing(void)
{
	link_put_value(link_out, LINK_PHASE, LINK_PHASE_LOGGED_IN);
	link_put_value(link_out, LINK_LISTING, 1);
}

static void
put_row(uint32_t number, const void *id, size_t len)
{
	link_put_row(link_out, &(struct link_row){.number = number, .uidl = id, .uidl_len = len});
}

static void
end_listing(uint32_t rows, uint64_t octets)
{
	for (uint32_t i = 0; i < rows; i++)
		link_put_data(link_out, LINK_SIZES, &octets, sizeof octets);
	link_put_server(link_out, &(struct link_server){.login_delay = 0});
	link_put_value(link_out, LINK_LISTED, rows);
}

static void
list(void)
{
	static const char *const ids[MESSAGES] = {"u1", "u2", "u3"};

	begin_listing();
	for (uint32_t i = 0; i < MESSAGES; i++)
		put_row(i + 1, ids[i], 2);
	end_listing(MESSAGES, 24);
}

static void
put_text(const char *text)
{
	link_put_data(link_out, LINK_DATA, text, strlen(text));
}

static void
put_message(uint32_t number)
{
	char text[64];

	snprintf(text, sizeof text, "Subject: %u\n\ntext of %u\n", number, number);
	link_put_number(link_out, LINK_BEGIN, number);
	put_text(text);
	link_put_number(link_out, LINK_END, number);
}

static void
put_all_messages(void)
{
	for (uint32_t number = 1; number <= MESSAGES; number++)
		put_message(number);
	link_put(link_out, LINK_DRAINED);
}

static void
put_result(bool ok, enum error_class class, const char *text)
{
	const struct link_result result = {.ok = ok, .class = class};

	link_put_result(link_out, &result, text);
}

/* List, and have the plan. */
static void
list_and_wait(void)
{
	list();
	await(LINK_PLANNED);
}

/* What is planned is sent, what may be deleted is, and QUIT is agreed to. */
static void
be_honest(void)
{
	uint32_t wanted = 0, doomed = 0;
	struct link_frame frame;

	list();
	while ((frame = await_frame()).type != LINK_PLANNED) {
		if (frame.type != LINK_ACTION)
			continue;
		if (frame.u.verb == LINK_VERB_FETCH) {
			put_message(frame.number);
			wanted++;
		} else if (frame.u.verb == LINK_VERB_DELETE) {
			link_put_number(link_out, LINK_DELETED, frame.number);
			doomed++;
		}
	}
	link_put(link_out, LINK_DRAINED);
	while (wanted != 0) {
		frame = await_frame();
		if (frame.type != LINK_SETTLED)
			continue;
		wanted--;
		if (frame.u.outcome != LINK_OUTCOME_DELETE)
			continue;
		link_put_number(link_out, LINK_DELETED, frame.number);
		doomed++;
	}
	if (doomed == 0)
		return;
	link_put(link_out, LINK_QUITTING);
	await(LINK_AGREED);
	link_put(link_out, LINK_GONE);
}

/* Raw octets where a frame should be. */
static void
put_raw(const void *octets, size_t len)
{
	send_all();
	if (send(link_fd(link_out), octets, len, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		_exit(0);
}

static void
put_raw_frame(uint32_t type, const void *payload, uint32_t len)
{
	const uint32_t head[2] = {len, type};

	put_raw(head, sizeof head);
	put_raw(payload, len);
}

/* ---- frames out of turn ---- */

static void
text_of_no_message(void)
{
	list_and_wait();
	put_text("Subject: 1\n\ntext of 1\n");
}

static void
message_in_message(void)
{
	list_and_wait();
	link_put_number(link_out, LINK_BEGIN, 1);
	put_message(2);
}

static void
message_twice(void)
{
	list_and_wait();
	put_message(1);
	put_message(1);
}

static void
message_unlisted(void)
{
	list_and_wait();
	put_message(4711);
}

static void
message_zero(void)
{
	list_and_wait();
	put_message(0);
}

/* Its account asks for one message only. */
static void
message_unplanned(void)
{
	list_and_wait();
	put_message(3);
	put_message(1);
}

static void
end_of_another(void)
{
	list_and_wait();
	link_put_number(link_out, LINK_BEGIN, 1);
	put_text("Subject: 1\n");
	link_put_number(link_out, LINK_END, 2);
}

static void
end_of_nothing(void)
{
	list_and_wait();
	link_put_number(link_out, LINK_END, 1);
}

static void
cut_and_ended(void)
{
	list_and_wait();
	link_put_number(link_out, LINK_BEGIN, 1);
	put_text("Subject: 1\n");
	link_put_number(link_out, LINK_CUT, 1);
	link_put_number(link_out, LINK_END, 1);
}

static void
deleted_unfetched(void)
{
	list_and_wait();
	link_put_number(link_out, LINK_DELETED, 1);
	link_put(link_out, LINK_QUITTING);
	await(LINK_AGREED);
	link_put(link_out, LINK_GONE);
}

static void
deleted_unsettled(void)
{
	list_and_wait();
	put_message(1);
	link_put_number(link_out, LINK_DELETED, 1);
}

/* Its account delivers to a command that takes nothing. */
static void
deleted_unkept(void)
{
	list_and_wait();
	put_message(1);
	link_put(link_out, LINK_DRAINED);
	await(LINK_SETTLED);
	link_put_number(link_out, LINK_DELETED, 1);
	link_put(link_out, LINK_QUITTING);
	link_put(link_out, LINK_GONE);
}

static void
gone_at_once(void)
{
	list_and_wait();
	link_put(link_out, LINK_GONE);
}

static void
quitting_without_deletions(void)
{
	list_and_wait();
	put_all_messages();
	link_put(link_out, LINK_QUITTING);
}

static void
gone_twice(void)
{
	be_honest();
	link_put(link_out, LINK_GONE);
}

static void
well_without_listing(void)
{
	put_result(true, ERROR_BUG, "");
}

/* What was planned did not come, and all is said to be well. */
static void
well_without_mail(void)
{
	list_and_wait();
	put_result(true, ERROR_BUG, "");
}

static void
listed_again(void)
{
	list_and_wait();
	list();
}

static void
rows_unlisted(void)
{
	put_row(1, "u1", 2);
}

static void
row_twice(void)
{
	begin_listing();
	put_row(1, "u1", 2);
	put_row(1, "u1", 2);
	end_listing(2, 24);
}

static void
frames_of_the_deliverer(void)
{
	link_put_action(link_out, 1, LINK_VERB_DELETE);
	link_put_settled(link_out, 1, LINK_OUTCOME_DELETE);
}

static void
frames_for_the_poller(void)
{
	const struct link_report report = {.ok = true, .fetched = 1000000};

	list_and_wait();
	(void)!write(STDOUT_FILENO, "a lie\n", 6);
	link_put_data(link_out, LINK_TEXT, "a lie\n", 6);
	link_put_report(link_out, &report, "");
}

static void
token_unasked(void)
{
	link_put(link_out, LINK_WANT_TOKEN);
}

static void
token_in_transfer(void)
{
	list_and_wait();
	link_put(link_out, LINK_WANT_TOKEN);
}

/* ---- frames that are none ---- */

static void
garbage(void)
{
	list_and_wait();
	put_raw("\377\376\375\374garbage!\0\0\0\0", 16);
}

static void
frame_of_4_gib(void)
{
	list_and_wait();
	put_raw("\377\377\377\377\14\0\0\0", 8);
	for (unsigned i = 0; i < FLOOD_FRAMES; i++)
		put_raw("octets of a frame without an end", 32);
}

static void
half_a_frame(void)
{
	list_and_wait();
	put_raw("\20\0\0\0\14\0\0\0half", 12);
	_exit(0);
}

static void
number_too_short(void)
{
	list_and_wait();
	put_raw_frame(LINK_BEGIN, "\1\0\0", 3);
}

static void
class_unknown(void)
{
	list_and_wait();
	put_raw_frame(LINK_RESULT, "\0\310\0\0\0\0\0\0\0text", 13);
}

static void
phase_unknown(void)
{
	link_put_value(link_out, LINK_PHASE, 99);
}

static void
row_zero(void)
{
	begin_listing();
	put_raw_frame(LINK_ROW, "\0\0\0\0u1", 6);
}

static void
delay_of_a_century(void)
{
	begin_listing();
	put_row(1, "u1", 2);
	link_put_data(link_out, LINK_SIZES, "\30\0\0\0\0\0\0\0", 8);
	link_put_server(link_out, &(struct link_server){.login_delay = 3155760000});
	link_put_value(link_out, LINK_LISTED, 1);
}

/* ---- floods ---- */

static void
rows_without_end(void)
{
	begin_listing();
	for (uint32_t i = 1; i < FLOOD_FRAMES; i++) {
		char id[16];
		int len = snprintf(id, sizeof id, "%x", i);

		put_row(i, id, (size_t)len);
		if (i % 1024 == 0)
			send_all();
	}
}

static void
ids_without_end(void)
{
	static char id[LINK_UIDL_MAX];

	memset(id, 'i', sizeof id);
	begin_listing();
	for (uint32_t i = 1; i < FLOOD_FRAMES; i++) {
		snprintf(id, sizeof id, "%u", i);
		put_row(i, id, sizeof id);
		send_all();
	}
}

static void
rows_of_2_gib(void)
{
	begin_listing();
	put_row(1, "u1", 2);
	link_put_data(link_out, LINK_SIZES, "\30\0\0\0\0\0\0\0", 8);
	link_put_server(link_out, &(struct link_server){.login_delay = 0});
	link_put_value(link_out, LINK_LISTED, (uint64_t)1 << 31);
}

static void
sizes_without_end(void)
{
	static const char sizes[LINK_PAYLOAD_MAX];

	begin_listing();
	put_row(1, "u1", 2);
	for (unsigned i = 0; i < FLOOD_FRAMES; i++) {
		link_put_data(link_out, LINK_SIZES, sizes, sizeof sizes);
		send_all();
	}
}

/* Sums of sizes must not wrap. */
static void
sizes_of_16_eib(void)
{
	begin_listing();
	put_row(1, "u1", 2);
	put_row(2, "u2", 2);
	put_row(3, "u3", 2);
	end_listing(MESSAGES, UINT64_MAX - 1);
	await(LINK_PLANNED);
	put_all_messages();
	put_result(true, ERROR_BUG, "");
}

static void
begins_without_end(void)
{
	list_and_wait();
	for (unsigned i = 0; i < FLOOD_FRAMES; i++) {
		link_put_number(link_out, LINK_BEGIN, 1);
		link_put_number(link_out, LINK_CUT, 1);
		send_all();
	}
}

static void
refusals_without_end(void)
{
	static char text[LINK_PAYLOAD_MAX];

	memset(text, '\033', sizeof text);
	list_and_wait();
	for (unsigned i = 0; i < FLOOD_FRAMES; i++) {
		link_put_text(link_out, LINK_REFUSED, 1 + i % MESSAGES, text, sizeof text);
		send_all();
	}
}

/* As often as a fetcher that is at work says so. */
static void
alive_without_end(void)
{
	const struct timespec pause = {.tv_nsec = 100000000};
	int64_t end = clock_monotonic_ms() + FLOOD_SECONDS * 1000;

	list_and_wait();
	while (clock_monotonic_ms() < end) {
		link_put(link_out, LINK_ALIVE);
		send_all();
		nanosleep(&pause, NULL);
	}
}

static void
silence(void)
{
	list_and_wait();
	sleep(FLOOD_SECONDS);
}

/* A plan of many messages finds nobody who reads it. */
static void
deaf(void)
{
	const uint32_t rows = 200000;

	begin_listing();
	for (uint32_t i = 1; i <= rows; i++) {
		char id[16];

		put_row(i, id, (size_t)snprintf(id, sizeof id, "%x", i));
	}
	end_listing(rows, 24);
	send_all();
	sleep(FLOOD_SECONDS);
}

static void
descriptors(void)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} control = {
		.head = {.cmsg_len = CMSG_LEN(64 * sizeof(int)),
			 .cmsg_level = SOL_SOCKET,
			 .cmsg_type = SCM_RIGHTS}
        };
	int fds[64];
	char octet[8] = {0, 0, 0, 0, LINK_ALIVE};
	struct iovec part = {octet, sizeof octet};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control};

	for (size_t i = 0; i < 64; i++)
		fds[i] = link_fd(link_out);
	memcpy(CMSG_DATA(&control.head), fds, sizeof fds);
	list_and_wait();
	for (int i = 0; i < 1000; i++) {
		while (sendmsg(link_fd(link_out), &message, MSG_NOSIGNAL) < 0 &&
			(errno == EAGAIN || errno == ETOOMANYREFS))
			continue;
	}
	put_all_messages();
	put_result(true, ERROR_BUG, "");
}

/* What somebody types at the terminal that it tells its errors to. */
static void
keys(void)
{
	static const char told[] = "the thief at the terminal\n";
	char key;

	if (isatty(STDERR_FILENO) == 0)
		put_result(false, ERROR_BUG, "standard error is no terminal");
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (isatty(fd) == 0)
			continue;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		if (read(fd, &key, 1) >= 0 || errno != EBADF)
			put_result(false, ERROR_BUG, "keys can be read");
	}
	if (write(STDERR_FILENO, told, sizeof told - 1) < 0)
		put_result(false, ERROR_BUG, "errors cannot be told");
	be_honest();
	put_result(true, ERROR_BUG, "");
}

/* ---- what messages and ids say ---- */

/* The ids are opaque: this is mail like any other, and known the next time. */
static void
ids_as_paths(void)
{
	static const struct {
		const char *id;
		size_t len;
	} ids[MESSAGES] = {
		{"../../../escaped",           16},
                {"/tmp/escaped\0u2",           15},
		{"u3\ngot 1 2 3 u4\r\n%00%2e", 23}
        };
	struct link_frame frame;

	begin_listing();
	for (uint32_t i = 0; i < MESSAGES; i++)
		put_row(i + 1, ids[i].id, ids[i].len);
	end_listing(MESSAGES, 24);
	while ((frame = await_frame()).type != LINK_PLANNED) {
		if (frame.type == LINK_ACTION)
			put_message(frame.number);
	}
	link_put(link_out, LINK_DRAINED);
	put_result(true, ERROR_BUG, "");
}

/* Each header is an envelope sender that a command gets as an argument, or an mbox in a line. */
static void
senders(void)
{
	static const char *const heads[MESSAGES] = {"Return-Path: <-oQ/tmp/escaped@x>\n",
		"Return-Path: <a@b$(touch escaped);`touch escaped`>\n",
		"Return-Path: <a@b\r\n\0From evil@x Thu Jan  1 00:00:00 1970\n>\n"};

	list_and_wait();
	for (uint32_t i = 0; i < MESSAGES; i++) {
		link_put_number(link_out, LINK_BEGIN, i + 1);
		put_text(heads[i]);
		link_put_data(link_out, LINK_DATA, "Subject: x\n\n\0From a@b\nFrom c@d\n", 31);
		link_put_number(link_out, LINK_END, i + 1);
	}
	link_put(link_out, LINK_DRAINED);
	put_result(true, ERROR_BUG, "");
}

static void
terminal(void)
{
	static const char text[] = "\033]0;title\007\033[2J\n\rpophaul: all is well";

	list_and_wait();
	link_put_text(link_out, LINK_REFUSED, 1, text, sizeof text - 1);
	put_result(false, ERROR_NET, "\033[31m\n\rpophaul: all is well\302\233");
}

/* ---- the process ---- */

static void
dies(void)
{
	list_and_wait();
	put_message(1);
	link_put_number(link_out, LINK_BEGIN, 2);
	put_text("Subject: 2\n");
	send_all();
	raise(SIGKILL);
}

static void
leaves(void)
{
	list_and_wait();
	put_message(1);
	link_put_number(link_out, LINK_BEGIN, 2);
	put_text("Subject: 2\n");
	send_all();
	_exit(0);
}

static void
add_if(struct buf *got, bool has, const char *what)
{
	if (has)
		buf_printf(got, "%s%s", got->len != 0 ? ", " : "", what);
}

/* The files are named in HOARD, by colons: other accounts' and this one's. */
static void
add_files(struct buf *got)
{
	const char *at = getenv("HOARD");
	char path[4096];

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, ":");

		snprintf(path, sizeof path, "%.*s", (int)len, at);
		add_if(got, open(path, O_RDONLY) >= 0, path);
		add_if(got, open(path, O_WRONLY) >= 0, path);
		add_if(got, unlink(path) == 0, path);
		at += len + (at[len] == ':');
	}
}

/* In the cage, whose second step is closed when `all`: tells what could be had. */
static void
steal(bool all)
{
	struct sandbox_report report;
	struct buf got = {0};
	struct error err;
	char path[64];

	list_and_wait();
	if (sandbox_close_files(victim, &report, &err) != 0 ||
		(all && sandbox_close_all(victim, &report, &err) != 0))
		_exit(1);
	add_files(&got);
	snprintf(path, sizeof path, "/proc/%d/mem", (int)getppid());
	add_if(&got, open(path, O_RDONLY) >= 0, path);
	add_if(&got, kill(getppid(), 0) == 0, "kill");
	if (ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0) {
		add_if(&got, true, "ptrace");
		waitpid(getppid(), NULL, __WALL);
		ptrace(PTRACE_DETACH, getppid(), NULL, NULL);
	}
	/* Nobody else's link, lock or mailbox is open here. */
	for (int fd = STDERR_FILENO + 1; fd < 1000; fd++)
		add_if(&got,
			fd != link_fd(link_out) && (lseek(fd, 0, SEEK_CUR) >= 0 || errno == ESPIPE),
			"a descriptor");
	put_result(false, ERROR_NET, got.len == 0 ? "got nothing" : buf_data(&got));
	send_all();
	_exit(0);
}

static void
thief_at_login(void)
{
	steal(false);
}

static void
thief_in_transfer(void)
{
	steal(true);
}

static const struct {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{"text-of-no-message",         text_of_no_message        },
	{"message-in-message",         message_in_message        },
	{"message-twice",              message_twice             },
	{"message-unlisted",           message_unlisted          },
	{"message-zero",               message_zero              },
	{"message-unplanned",          message_unplanned         },
	{"end-of-another",             end_of_another            },
	{"end-of-nothing",             end_of_nothing            },
	{"cut-and-ended",              cut_and_ended             },
	{"deleted-unfetched",          deleted_unfetched         },
	{"deleted-unsettled",          deleted_unsettled         },
	{"deleted-unkept",             deleted_unkept            },
	{"gone-at-once",               gone_at_once              },
	{"quitting-without-deletions", quitting_without_deletions},
	{"gone-twice",                 gone_twice                },
	{"well-without-listing",       well_without_listing      },
	{"well-without-mail",          well_without_mail         },
	{"listed-again",               listed_again              },
	{"rows-unlisted",              rows_unlisted             },
	{"row-twice",                  row_twice                 },
	{"frames-of-the-deliverer",    frames_of_the_deliverer   },
	{"frames-for-the-poller",      frames_for_the_poller     },
	{"token-unasked",              token_unasked             },
	{"token-in-transfer",          token_in_transfer         },
	{"garbage",		    garbage                   },
	{"frame-of-4-gib",             frame_of_4_gib            },
	{"half-a-frame",               half_a_frame              },
	{"number-too-short",           number_too_short          },
	{"class-unknown",              class_unknown             },
	{"phase-unknown",              phase_unknown             },
	{"row-zero",                   row_zero                  },
	{"delay-of-a-century",         delay_of_a_century        },
	{"rows-without-end",           rows_without_end          },
	{"ids-without-end",            ids_without_end           },
	{"rows-of-2-gib",              rows_of_2_gib             },
	{"sizes-without-end",          sizes_without_end         },
	{"sizes-of-16-eib",            sizes_of_16_eib           },
	{"begins-without-end",         begins_without_end        },
	{"refusals-without-end",       refusals_without_end      },
	{"alive-without-end",          alive_without_end         },
	{"silence",		    silence                   },
	{"deaf",		       deaf		      },
	{"descriptors",                descriptors               },
	{"keys",		       keys		      },
	{"ids-as-paths",               ids_as_paths              },
	{"senders",		    senders                   },
	{"terminal",                   terminal                  },
	{"dies",		       dies		      },
	{"leaves",		     leaves                    },
	{"thief-at-login",             thief_at_login            },
	{"thief-in-transfer",          thief_in_transfer         },
};

int
fetcher_prepare(struct account *const *accounts, size_t count, struct error *err)
{
	(void)accounts;
	(void)count;
	(void)err;
	sandbox_prepare();
	return 0;
}

/* It stays who it is, so that what keeps it is the cage alone. */
int
fetcher_settle(const struct account *account, struct error *err)
{
	(void)account;
	(void)err;
	return 0;
}

int
fetcher_fail(struct link *link, const struct error *err)
{
	link_out = link;
	put_result(false, err->class, err->text);
	send_all();
	return 0;
}

int
fetcher_run(const struct account *account, struct secret *password, struct secret *ticket,
	struct link *link, bool lock_step, const struct link_memory *memory)
{
	(void)password;
	(void)ticket;
	(void)lock_step;
	(void)memory;
	link_out = link;
	victim = account;
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		if (strcmp(attacks[i].name, account->user) == 0)
			attacks[i].run();
	}
	if (strcmp(account->user, "honest") == 0) {
		be_honest();
		put_result(true, ERROR_BUG, "");
	}
	/* Until the deliverer hangs up, which it does without being asked. */
	for (;;)
		(void)await_frame();
}

/* A fetcher that is to look at a server alone attacks like any other. */
int
fetcher_survey(const struct account *account, struct link *link)
{
	return fetcher_run(account, NULL, NULL, link, false, NULL);
}
