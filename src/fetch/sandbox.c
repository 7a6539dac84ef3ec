#include "fetch/sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of later kernels than the headers we may be built with. */
#define ACCESS_FS_REFER    (1ULL << 13)
#define ACCESS_FS_TRUNCATE (1ULL << 14)
#define ABI_WITH_REFER     2
#define ABI_WITH_TRUNCATE  3

/* gcc says it with a macro, clang with a feature. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
#endif
#endif

/* Everything by which a file can be changed or run. Reading stays: name service, CA store, /dev/urandom. */
#define ACCESS_FS_CHANGES                                                                          \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |                              \
		LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                   \
		LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |                       \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                       \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                     \
		LANDLOCK_ACCESS_FS_MAKE_SYM)

static bool
restrict_files(void)
{
	struct landlock_ruleset_attr rules = {.handled_access_fs = ACCESS_FS_CHANGES};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	bool is_closed;
	int fd;

	if (abi < 1)
		return false;
	if (abi >= ABI_WITH_REFER)
		rules.handled_access_fs |= ACCESS_FS_REFER;
	if (abi >= ABI_WITH_TRUNCATE)
		rules.handled_access_fs |= ACCESS_FS_TRUNCATE;
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
	if (fd < 0)
		return false;
	/* A ruleset without a rule: what it handles is denied everywhere. */
	is_closed = syscall(SYS_landlock_restrict_self, fd, 0) == 0;
	close(fd);
	return is_closed;
}

/* What no session needs, in the first step. Files are Landlock's part: opening for reading must go on. */
static const int never[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(kill),
	SCMP_SYS(tkill),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(chown),
	SCMP_SYS(fchown),
	SCMP_SYS(lchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(setxattr),
	SCMP_SYS(fsetxattr),
	SCMP_SYS(utimensat),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
};

/* All that a session needs once it is logged in. */
static const int transfer[] = {
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(close),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(getrandom),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(getsockopt),
	SCMP_SYS(sched_yield),
#ifdef HAS_ADDRESS_SANITIZER
	/* AddressSanitizer cannot end a process without it. */
	SCMP_SYS(sigaltstack),
#endif
};

static bool
add_rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		/* A call that this architecture lacks needs no rule. */
		int result = seccomp_rule_add(filter, action, calls[i], 0);

		if (result != 0 && result != -EDOM)
			return false;
	}
	return true;
}

/* Load and release. */
static bool
load(scmp_filter_ctx filter, bool is_complete)
{
	bool is_loaded;

	if (filter == NULL)
		return false;
	/* no_new_privs is set by who forked us, for both steps. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	is_loaded = is_complete && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return is_loaded;
}

struct sandbox_report
sandbox_close_files(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	struct sandbox_report report = {.has_landlock = restrict_files()};
	bool is_complete = filter != NULL;

	if (is_complete) {
		is_complete = add_rules(filter, SCMP_ACT_ERRNO(EPERM), never,
				      sizeof never / sizeof *never) &&
			/* Threads may start, processes not; clone3's flags are out of a filter's sight. */
			seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0)) == 0 &&
			seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
	}
	report.has_seccomp = load(filter, is_complete);
	return report;
}

struct sandbox_report
sandbox_close_all(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	struct sandbox_report report = {.has_landlock = false};
	bool is_complete = filter != NULL;

	if (is_complete) {
		is_complete = add_rules(filter, SCMP_ACT_ALLOW, transfer,
				      sizeof transfer / sizeof *transfer) &&
			/* Memory, but none that can be executed. */
			seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0 &&
			seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0 &&
			/* abort(3), so that our own assertions end us. */
			seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid())) == 0;
	}
	report.has_seccomp = load(filter, is_complete);
	return report;
}
