#include "poll/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/child.h"
#include "base/file.h"
#include "base/log.h"
#include "base/privilege.h"
#include "base/stop.h"
#include "fetch/fetcher.h"

/* How long the fetcher has to end by itself once its session is over. */
#define FAREWELL_MS 5000

/* More is no password; who hands over may be another user by then, and is believed in nothing. */
#define PASSWORD_MAX ((size_t)1024 * 1024)

enum handover_flag {
	LOCK_STEP = 1,
	HAS_CAPA = 2,
	EXPIRE_NOW = 4,
	UTF8 = 8,
	HAS_PASSWORD = 16,
	SURVEYS = 32
};

/*
 * What goes ahead of all frames, followed by the password and the ticket; both ends are one
 * program.
 */
struct handover {
	uint64_t flags;
	uint64_t password_len;
	uint64_t ticket_len;
};

/* False when the worker is gone before it has said all, and errno is 0 then, or on an error. */
static bool
take_over(int fd, struct launch_terms *terms, struct secret *password)
{
	struct handover from;
	struct error ignored;

	if (file_read_exactly(fd, &from, sizeof from, "the worker", &ignored) != 0 ||
		from.password_len > PASSWORD_MAX || from.ticket_len > LINK_TICKET_MAX)
		return false;
	*terms = (struct launch_terms){
		.surveys = from.flags & SURVEYS,
		.lock_step = from.flags & LOCK_STEP,
		.memory = {.has_capa = from.flags & HAS_CAPA,
			   .expire_now = from.flags & EXPIRE_NOW,
			   .utf8 = from.flags & UTF8}
        };
	/* Straight into the pages of a secret: nothing is left elsewhere. */
	if ((from.flags & HAS_PASSWORD) != 0) {
		secret_make(password, from.password_len);
		if (file_read_exactly(fd, password->data, password->len, "the worker", &ignored) !=
			0)
			return false;
	}
	if (from.ticket_len == 0)
		return true;
	secret_make(&terms->ticket, from.ticket_len);
	return file_read_exactly(
		       fd, terms->ticket.data, terms->ticket.len, "the worker", &ignored) == 0;
}

/* What is read from a person, and what a program may read of us, is not the fetcher's. */
static int
open_null(struct error *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot open '/dev/null'");
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

/* Everything of the worker is closed, and given up, before the first octet of the network. */
static _Noreturn void
be_fetcher(const struct account *account, struct account *const *accounts, size_t count, int fd)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP};
	struct launch_terms terms;
	struct secret password = {0};
	struct error err;
	struct link *link;
	int trouble, status;

	log_set_process("fetcher");
	for (size_t i = 0; i < count; i++)
		secret_release(&accounts[i]->password);
	/* A signal to the whole group is for the deliverer to answer: it says LINK_STOP. */
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		stop_set_handler(ignored[i], SIG_IGN);
	/*
	 * Neither a lock nor a file of the worker's may live on in the process that a server talks
	 * to.
	 */
	file_close_others(fd);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* After su the terminal is another user's: then it is left as it is. */
	(void)file_stop_hearing_terminal();
	trouble = open_null(&err) != 0 || fetcher_settle(account, &err) != 0;
	/* A change of user takes it away. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	errno = 0;
	if (!take_over(fd, &terms, &password)) {
		/* A worker that has ended, or found that there is nothing to do, has said why. */
		if (errno != 0)
			log_error("cannot hear the worker: %s", strerror(errno));
		_exit(EX_OK);
	}
	link = link_new(fd);
	if (trouble)
		status = fetcher_fail(link, &err);
	else if (terms.surveys)
		status = fetcher_survey(account, link);
	else
		status = fetcher_run(
			account, &password, &terms.ticket, link, terms.lock_step, &terms.memory);
	secret_release(&password);
	secret_release(&terms.ticket);
	link_free(link);
	_exit(status);
}

int
launch_fork(struct launch *launch, const struct account *account, struct account *const *accounts,
	size_t count, struct error *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot make a socket pair");
	launch->pid = fork();
	if (launch->pid == 0)
		be_fetcher(account, accounts, count, ends[1]);
	close(ends[1]);
	launch->fd = ends[0];
	if (launch->pid > 0)
		return 0;
	error_set_errno(err, ERROR_SYSTEM, "cannot fork the fetcher");
	close(ends[0]);
	return -1;
}

void
launch_send_handle(const struct launch *launch, int fd)
{
	int handle = (int)syscall(SYS_pidfd_open, launch->pid, 0);
	char octet = 0;
	struct iovec data = {.iov_base = &octet, .iov_len = sizeof octet};
	union {
		struct cmsghdr head; /* for its alignment */
		char room[CMSG_SPACE(sizeof(int))];
	} control = {{0}};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (handle >= 0) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof handle);
		memcpy(CMSG_DATA(&control.head), &handle, sizeof handle);
	}
	while (sendmsg(fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
		continue;
	if (handle >= 0)
		close(handle);
}

int
launch_take_handle(int fd)
{
	char octet;
	struct iovec data = {.iov_base = &octet, .iov_len = sizeof octet};
	union {
		struct cmsghdr head; /* for its alignment */
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.room,
		.msg_controllen = sizeof control.room};
	const struct cmsghdr *head;
	int handle = -1;
	ssize_t n;

	while ((n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		continue;
	head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(&handle, CMSG_DATA(head), sizeof handle);
	return handle;
}

void
launch_kill_by_handle(int handle)
{
	if (handle < 0)
		return;
	(void)syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0);
	close(handle);
}

int
launch_hand_over(const struct launch *launch, const struct launch_terms *terms,
	const struct secret *password, struct error *err)
{
	const struct handover to = {
		.flags = (terms->surveys ? SURVEYS : 0) | (terms->lock_step ? LOCK_STEP : 0) |
			(terms->memory.has_capa ? HAS_CAPA : 0) |
			(terms->memory.expire_now ? EXPIRE_NOW : 0) |
			(terms->memory.utf8 ? UTF8 : 0) |
			(secret_is_set(password) ? HAS_PASSWORD : 0),
		.password_len = password->len,
		.ticket_len = terms->ticket.len,
	};

	if (file_write_all(launch->fd, &to, sizeof to, "the fetcher", err) == 0 &&
		file_write_all(launch->fd, password->data, password->len, "the fetcher", err) ==
			0 &&
		file_write_all(
			launch->fd, terms->ticket.data, terms->ticket.len, "the fetcher", err) == 0)
		return 0;
	err->class = ERROR_SYSTEM;
	return -1;
}

bool
launch_end(struct launch *launch, bool at_once, int *status_out)
{
	if (launch->fd >= 0)
		close(launch->fd);
	launch->fd = -1;
	if (!at_once && child_reap_within(launch->pid, FAREWELL_MS, status_out))
		return true;
	/* Another user's, where root has started us: it is the poller's to end then. */
	if (kill(launch->pid, SIGKILL) != 0 && errno == EPERM)
		return false;
	while (waitpid(launch->pid, status_out, 0) < 0 && errno == EINTR)
		continue;
	return false;
}
