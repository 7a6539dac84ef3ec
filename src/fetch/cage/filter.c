#include "fetch/cage/filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "fetch/cage/nss.h"

/* gcc says it with a macro, clang with a feature. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
#endif
#endif

/*
 * The process that a filter will hold is not yet forked when its program is made: this stands for
 * its number there, which no process can have, nor any other constant of a filter.
 */
#define SELF 0x7e1fca6eU

/* A call is allowed when its arguments are so; several lines for one call are alternatives. */
#define CONDITIONS_MAX 4

struct rule {
	int call;
	unsigned count; /* of conditions; 0: whatever its arguments */
	struct scmp_arg_cmp conditions[CONDITIONS_MAX];
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* clang-format off */

/* All of an argument that is an int: nobody says what is in the rest of its register. */
#define INT_BITS  0xffffffffU
#define TYPE_BITS (INT_BITS & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))

#define HAS(arg, mask, value)     {arg, SCMP_CMP_MASKED_EQ, mask, value}
#define LACKS(arg, mask)          HAS(arg, mask, 0)
#define IS(arg, value)            HAS(arg, INT_BITS, value)
#define IS_NULL(arg)              {arg, SCMP_CMP_EQ, 0, 0}
#define CALL(name)                {SCMP_SYS(name), 0, {{0}}}
#define CALL_IF(name, count, ...) {SCMP_SYS(name), count, {__VA_ARGS__}}

/* What a session needs at any time, the most frequent first. */
static const struct rule always[] = {
	CALL(recvfrom),
	CALL(poll),
	/* Only to the other end of a connection. */
	CALL_IF(sendto, 1, IS_NULL(4)),
	/* TCP Fast Open would connect without being asked for the port. */
	CALL_IF(sendmsg, 1, LACKS(2, MSG_FASTOPEN)),
	CALL(read),
	CALL(write),
	CALL(ppoll),
	CALL(ppoll_time64),
	CALL(close),
	CALL(shutdown),
	CALL(brk),
	/* Memory, but none that can be executed. */
	CALL_IF(mmap, 1, LACKS(2, PROT_EXEC)),
	CALL_IF(mmap2, 1, LACKS(2, PROT_EXEC)),
	CALL_IF(mprotect, 1, LACKS(2, PROT_EXEC)),
	CALL(munmap),
	CALL(mremap),
	CALL(madvise),
	CALL(mlock),
	CALL(mlock2),
	CALL(munlock),
	CALL(futex),
	CALL(futex_time64),
	CALL(clock_gettime),
	CALL(clock_gettime64),
	CALL(gettimeofday),
	CALL(time),
	CALL(getrandom),
	CALL(getpid),
	CALL(gettid),
	CALL(rt_sigreturn),
	CALL(rt_sigprocmask),
	CALL(restart_syscall),
	/* abort(3), so that our own assertions end us. */
	CALL_IF(tgkill, 2, IS(0, SELF), IS(2, SIGABRT)),
	CALL(exit),
	CALL(exit_group),
#ifdef HAS_ADDRESS_SANITIZER
	/* AddressSanitizer cannot end a process without it. */
	CALL(sigaltstack),
#endif
};

/*
 * And what name service, libraries and reconnecting need before the transfer. Landlock says which
 * files.
 */
static const struct rule at_login[] = {
	CALL_IF(openat, 1, LACKS(2, O_ACCMODE | O_CREAT | O_TRUNC)),
	CALL_IF(open, 1, LACKS(1, O_ACCMODE | O_CREAT | O_TRUNC)),
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(stat),
	CALL(stat64),
	CALL(lstat),
	CALL(lstat64),
	CALL(fstat),
	CALL(fstat64),
	CALL(newfstatat),
	CALL(fstatat64),
	CALL(statx),
	CALL(statfs),
	CALL(fstatfs),
	CALL(readlink),
	CALL(readlinkat),
	CALL(lseek),
	CALL(_llseek),
	CALL(pread64),
	CALL(readv),
	CALL(writev),
	CALL(getdents64),
	CALL(getcwd),
	/*
	 * Shared libraries of the name service: code comes from files only, and is never written.
	 */
	CALL_IF(mmap, 2, HAS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC), LACKS(3, MAP_ANONYMOUS)),
	CALL_IF(mmap2, 2, HAS(2, PROT_EXEC | PROT_WRITE, PROT_EXEC), LACKS(3, MAP_ANONYMOUS)),

	/* TCP by its name, for Landlock does not take MPTCP for it. */
	CALL_IF(socket, 3, IS(0, AF_INET), HAS(1, TYPE_BITS, SOCK_STREAM), IS(2, IPPROTO_TCP)),
	CALL_IF(socket, 3, IS(0, AF_INET), HAS(1, TYPE_BITS, SOCK_STREAM), IS(2, 0)),
	CALL_IF(socket, 3, IS(0, AF_INET), HAS(1, TYPE_BITS, SOCK_DGRAM), IS(2, IPPROTO_UDP)),
	CALL_IF(socket, 3, IS(0, AF_INET), HAS(1, TYPE_BITS, SOCK_DGRAM), IS(2, 0)),
	CALL_IF(socket, 3, IS(0, AF_INET6), HAS(1, TYPE_BITS, SOCK_STREAM), IS(2, IPPROTO_TCP)),
	CALL_IF(socket, 3, IS(0, AF_INET6), HAS(1, TYPE_BITS, SOCK_STREAM), IS(2, 0)),
	CALL_IF(socket, 3, IS(0, AF_INET6), HAS(1, TYPE_BITS, SOCK_DGRAM), IS(2, IPPROTO_UDP)),
	CALL_IF(socket, 3, IS(0, AF_INET6), HAS(1, TYPE_BITS, SOCK_DGRAM), IS(2, 0)),
	/* The addresses of this machine decide in which order a server's are tried (RFC 6724). */
	CALL_IF(socket, 3, IS(0, AF_NETLINK), HAS(1, TYPE_BITS, SOCK_RAW), IS(2, NETLINK_ROUTE)),
	CALL_IF(socket, 3, IS(0, AF_NETLINK), HAS(1, TYPE_BITS, SOCK_DGRAM), IS(2, NETLINK_ROUTE)),
	/* Of netlink; Landlock denies it to TCP, and nothing here may listen. */
	CALL(bind),
	CALL(connect),
	CALL_IF(sendto, 1, LACKS(3, MSG_FASTOPEN)),
	CALL_IF(sendmmsg, 1, LACKS(3, MSG_FASTOPEN)),
	CALL(recvmsg),
	CALL(getsockname),
	CALL(getpeername),
	CALL(getsockopt),
	CALL_IF(setsockopt, 1, IS(1, SOL_SOCKET)),
	CALL_IF(setsockopt, 1, IS(1, IPPROTO_TCP)),
	CALL_IF(setsockopt, 1, IS(1, IPPROTO_IP)),
	CALL_IF(setsockopt, 1, IS(1, IPPROTO_IPV6)),
	CALL_IF(setsockopt, 1, IS(1, SOL_NETLINK)),
	CALL_IF(ioctl, 1, IS(1, FIONREAD)),
	CALL_IF(ioctl, 1, IS(1, SIOCGIFINDEX)),
	CALL_IF(ioctl, 1, IS(1, SIOCGIFNAME)),
	CALL_IF(fcntl, 1, IS(1, F_GETFL)),
	CALL_IF(fcntl, 1, IS(1, F_SETFL)),
	CALL_IF(fcntl, 1, IS(1, F_GETFD)),
	CALL_IF(fcntl, 1, IS(1, F_SETFD)),
	CALL_IF(fcntl, 1, IS(1, F_DUPFD_CLOEXEC)),
	CALL_IF(fcntl64, 1, IS(1, F_GETFL)),
	CALL_IF(fcntl64, 1, IS(1, F_SETFL)),
	CALL_IF(fcntl64, 1, IS(1, F_GETFD)),
	CALL_IF(fcntl64, 1, IS(1, F_SETFD)),
	CALL_IF(fcntl64, 1, IS(1, F_DUPFD_CLOEXEC)),

	CALL(uname),
	CALL(sysinfo),
	CALL(getuid),
	CALL(getuid32),
	CALL(geteuid),
	CALL(geteuid32),
	CALL(getgid),
	CALL(getgid32),
	CALL(getegid),
	CALL(getegid32),
	CALL(getresuid),
	CALL(getresgid),
	CALL(getppid),
	CALL(sched_yield),
	CALL(clock_getres),
	CALL(pause),
	CALL(nanosleep),
	CALL(clock_nanosleep),
	/* Asking for a limit, not setting one. */
	CALL_IF(prlimit64, 2, IS(0, 0), IS(2, 0)),

	/*
	 * Root's fetcher has kept the right to empty its root (base/privilege.h); the others have
	 * none.
	 */
	CALL(fchdir),
	CALL(chroot),
	CALL(capset),
	/* The second step. */
	CALL(seccomp),
	{SYS_landlock_create_ruleset, 0, {{0}}},
	{SYS_landlock_restrict_self, 0, {{0}}},
};

/*
 * Only where the machine's name service is asked over sockets: behind some of them a user's other
 * programs obey.
 */
static const struct rule at_login_by_socket[] = {
	CALL_IF(socket, 3, IS(0, AF_UNIX), HAS(1, TYPE_BITS, SOCK_STREAM), IS(2, 0)),
};

/* clang-format on */

static struct sock_fprog programs[FILTER_STEPS];

static bool
add_rules(scmp_filter_ctx filter, const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int result = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].count, rules[i].conditions);

		/* A call that this architecture lacks needs no rule. */
		if (result != 0 && result != -EDOM)
			return false;
		if (i < UINT8_MAX)
			seccomp_syscall_priority(filter, rules[i].call, (uint8_t)(UINT8_MAX - i));
	}
	return true;
}

static bool
add_step(scmp_filter_ctx filter, enum filter_step step)
{
	if (!add_rules(filter, always, LENGTH(always)))
		return false;
	if (step == FILTER_TRANSFER)
		return true;
	if (!add_rules(filter, at_login, LENGTH(at_login)))
		return false;
	if (nss_reach() != NSS_DNS)
		return add_rules(filter, at_login_by_socket, LENGTH(at_login_by_socket));
	/* glibc asks for nscd's each time: no violation, and an answer that it knows. */
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
		       SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) == 0;
}

static scmp_filter_ctx
make_filter(enum filter_step step)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (filter != NULL && !add_step(filter, step)) {
		seccomp_release(filter);
		filter = NULL;
	}
	return filter;
}

/* libseccomp gives a program to a file only. */
static bool
read_program(int fd, struct sock_fprog *program)
{
	struct stat status;
	size_t len;

	if (fstat(fd, &status) != 0 || status.st_size <= 0)
		return false;
	len = (size_t)status.st_size;
	if (len % sizeof *program->filter != 0 || len / sizeof *program->filter > BPF_MAXINSNS)
		return false;
	program->filter = xcalloc(1, len);
	program->len = (unsigned short)(len / sizeof *program->filter);
	if (pread(fd, program->filter, len, 0) == (ssize_t)len)
		return true;
	free(program->filter);
	program->filter = NULL;
	return false;
}

static bool
make_program(enum filter_step step)
{
	scmp_filter_ctx filter;
	int fd;
	bool is_made;

	if (programs[step].filter != NULL)
		return true;
	filter = make_filter(step);
	fd = memfd_create("seccomp", MFD_CLOEXEC);
	is_made = filter != NULL && fd >= 0 && seccomp_export_bpf(filter, fd) == 0 &&
		read_program(fd, &programs[step]);
	if (fd >= 0)
		close(fd);
	if (filter != NULL)
		seccomp_release(filter);
	return is_made;
}

void
filter_prepare(void)
{
	for (int step = 0; step < FILTER_STEPS; step++)
		(void)make_program((enum filter_step)step);
}

int
filter_probe(struct error *err)
{
	/* A filter at no address is refused as such by a kernel that takes filters. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL) != 0 && errno == EFAULT)
		return 0;
	if (errno == EINVAL)
		return error_set(err, ERROR_SYSTEM, "no seccomp: this kernel has no filters");
	return error_set_errno(
		err, ERROR_SYSTEM, "no seccomp: it is refused, as in some containers");
}

/* The one constant that had to wait for this process. */
static void
name_self(struct sock_fprog *program)
{
	for (unsigned i = 0; i < program->len; i++) {
		if (program->filter[i].code == (BPF_JMP | BPF_JEQ | BPF_K) &&
			program->filter[i].k == SELF)
			program->filter[i].k = (uint32_t)getpid();
	}
}

int
filter_close(enum filter_step step, struct error *err)
{
	struct sock_fprog *program = &programs[step];
	/*
	 * Nothing honest is refused in the second step, so that a line of the kernel's is worth it.
	 */
	unsigned long flags = step == FILTER_TRANSFER ? SECCOMP_FILTER_FLAG_LOG : 0;

	if (!make_program(step))
		return error_set(err, ERROR_SYSTEM, "no seccomp: libseccomp makes no filter");
	name_self(program);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, program) == 0)
		return 0;
	if (flags != 0 && errno == EINVAL &&
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) == 0)
		return 0;
	return error_set_errno(err, ERROR_SYSTEM, "no seccomp: the filter is refused");
}
