/*
 * Steps into the cage, and tries what must not be possible in it. Each attempt runs in a process of
 * its own, without a cage too where anybody may do it, so that what is refused is refused by the
 * cage.
 */
#include "fetch/cage/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "fetch/cage/filter.h"
#include "fetch/cage/landlock.h"
#include "fetch/cage/nss.h"

#define REFUSED 0
#define DONE    1

/* Linux 6.1 has their numbers, older headers not all of their names. */
#define ABI_WITH_NET    4
#define ABI_WITH_SCOPES 6
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static char folder[] = "/tmp/pophaul-sandbox-XXXXXX";
static char victim[64], other[64];
static char trusted[] = "/bin/true";
static struct account account;
static int abi;

/* Open before the cage is closed. */
static int held_tcp, held_udp, held_listener, held_file, held_pair[2];
static uint16_t other_port;

/* Whether the cage has refused: by Landlock, by the filter, or as glibc is told so. */
static int
outcome(long result)
{
	if (result >= 0)
		return DONE;
	return errno == EPERM || errno == EACCES || errno == EAFNOSUPPORT ? REFUSED : -errno;
}

static int
read_other(void)
{
	return outcome(open(victim, O_RDONLY | O_CLOEXEC));
}

static int
read_hosts(void)
{
	return outcome(open("/etc/hosts", O_RDONLY | O_CLOEXEC));
}

static int
read_trust_file(void)
{
	return outcome(open(account.tls_trust_file, O_RDONLY | O_CLOEXEC));
}

static int
read_passwd(void)
{
	return outcome(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
read_memory_file(void)
{
	return outcome(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
}

static int
list_folder(void)
{
	return outcome(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int
open_for_writing(void)
{
	return outcome(open(victim, O_WRONLY | O_CLOEXEC));
}

static int
create_file(void)
{
	return outcome(open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

static int
create_temporary(void)
{
	return outcome(open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
}

static int
truncate_file(void)
{
	return outcome(truncate(victim, 0));
}

static int
truncate_held(void)
{
	return outcome(ftruncate(held_file, 0));
}

static int
remove_file(void)
{
	return outcome(unlink(victim));
}

static int
rename_file(void)
{
	return outcome(rename(victim, other));
}

static int
link_file(void)
{
	return outcome(link(victim, other));
}

static int
link_symbolically(void)
{
	return outcome(symlink(victim, other));
}

static int
make_folder(void)
{
	return outcome(mkdir(other, 0700));
}

static int
make_fifo(void)
{
	return outcome(mknod(other, S_IFIFO | 0600, 0));
}

static int
change_mode(void)
{
	return outcome(chmod(victim, 0777));
}

static int
change_owner(void)
{
	return outcome(chown(victim, getuid(), getgid()));
}

static int
change_times(void)
{
	return outcome(utimes(victim, NULL));
}

static int
open_by_handle(void)
{
	struct {
		struct file_handle head;
		unsigned char octets[MAX_HANDLE_SZ];
	} handle = {.head.handle_bytes = MAX_HANDLE_SZ};
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, victim, &handle.head, &mount_id, 0) != 0 &&
		errno != EPERM && errno != EACCES)
		return REFUSED;
	return outcome(open_by_handle_at(held_file, &handle.head, O_RDONLY));
}

static int
execute(void)
{
	return outcome(execl("/bin/true", "true", (char *)NULL));
}

static int
execute_memory(void)
{
	static char name[] = "true";
	char *const argv[] = {name, NULL};
	int fd = memfd_create("code", 0);

	if (fd >= 0)
		return DONE;
	/* And what is open already. */
	return outcome(syscall(SYS_execveat, held_file, "", argv, argv, AT_EMPTY_PATH));
}

static int
fork_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static int
clone_process(void)
{
	/*
	 * None that a kernel takes, so that nobody has to be waited for; it is refused before that
	 * is seen.
	 */
	return outcome(syscall(SYS_clone3, NULL, (size_t)0));
}

static int
start_thread(void)
{
	return outcome(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
}

static int
kill_parent(void)
{
	return outcome(kill(getppid(), 0));
}

static int
abort_parent(void)
{
	/* SIGABRT is what we may send to ourselves; its parent ignores it. */
	return outcome(syscall(SYS_tgkill, getppid(), getppid(), SIGABRT));
}

static int
trace_parent(void)
{
	return outcome(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int
read_parent(void)
{
	char octet;
	struct iovec here = {&octet, 1}, there = {folder, 1};

	return outcome(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
}

static int
open_parent(void)
{
	return outcome(syscall(SYS_pidfd_open, getppid(), 0));
}

static int
make_tcp(void)
{
	return outcome(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
}

static int
make_udp(void)
{
	return outcome(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int
make_netlink(void)
{
	return outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
}

static int
make_audit(void)
{
	return outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT));
}

static int
make_raw(void)
{
	return outcome(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
}

static int
make_multipath(void)
{
	return outcome(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP));
}

static int
make_local_datagram(void)
{
	return outcome(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

static int
make_local_stream(void)
{
	return outcome(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
make_pair(void)
{
	int ends[2];

	return outcome(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

static int
make_pipe(void)
{
	int ends[2];

	return outcome(pipe(ends));
}

static struct sockaddr_in
loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int
connect_to(uint16_t port)
{
	struct sockaddr_in address = loopback(port);

	return outcome(connect(held_tcp, (struct sockaddr *)&address, sizeof address));
}

static int
connect_to_server(void)
{
	return connect_to(account.port);
}

static int
connect_elsewhere(void)
{
	return connect_to(other_port);
}

static int
connect_fast_elsewhere(void)
{
	struct sockaddr_in address = loopback(other_port);

	return outcome(sendto(held_tcp, "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL,
		(struct sockaddr *)&address, sizeof address));
}

static int
send_to_address(void)
{
	struct sockaddr_in address = loopback(other_port);

	return outcome(sendto(held_udp, "x", 1, 0, (struct sockaddr *)&address, sizeof address));
}

static int
bind_port(void)
{
	struct sockaddr_in address = loopback(0);

	return outcome(bind(held_tcp, (struct sockaddr *)&address, sizeof address));
}

static int
listen_on_port(void)
{
	return outcome(listen(held_tcp, 1));
}

static int
accept_connection(void)
{
	int fd = accept(held_listener, NULL, NULL);

	return fd < 0 && errno == EAGAIN ? DONE : outcome(fd);
}

static int
ask_for_octets(void)
{
	int count;

	return outcome(ioctl(held_pair[0], FIONREAD, &count));
}

static int
push_into_terminal(void)
{
	return outcome(ioctl(held_pair[0], TIOCSTI, "x"));
}

static int
change_flags(void)
{
	return outcome(fcntl(held_pair[0], F_SETFL, O_NONBLOCK));
}

static int
make_owner(void)
{
	return outcome(fcntl(held_pair[0], F_SETOWN, getppid()));
}

static int
copy_descriptor(void)
{
	return outcome(dup2(held_pair[0], 100));
}

static int
is_mapped(void *at)
{
	return outcome(at == MAP_FAILED ? -1 : 0);
}

static int
map_code(void)
{
	return is_mapped(
		mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int
map_library(void)
{
	return is_mapped(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, held_file, 0));
}

static int
map_writable_library(void)
{
	return is_mapped(
		mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, held_file, 0));
}

static int
make_memory_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return outcome(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int
change_user(void)
{
	return outcome(setuid(getuid()));
}

static int
change_groups(void)
{
	return outcome(syscall(SYS_setresgid, getgid(), getgid(), getgid()));
}

static int
become_dumpable(void)
{
	return outcome(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int
set_limit(void)
{
	struct rlimit limit;

	limit.rlim_cur = limit.rlim_max = 100;
	return outcome(setrlimit(RLIMIT_NOFILE, &limit));
}

static int
handle_signal(void)
{
	struct sigaction action = {.sa_handler = SIG_IGN};

	return outcome(sigaction(SIGUSR1, &action, NULL));
}

static int
mount_system(void)
{
	return outcome(mount("none", folder, "tmpfs", 0, NULL));
}

static int
leave_namespace(void)
{
	return outcome(unshare(CLONE_FILES));
}

static int
change_folder(void)
{
	return outcome(chdir("/"));
}

static int
change_root(void)
{
	return outcome(chroot("/"));
}

/* Calls with senseless arguments: without the cage, another error. */
static int
set_up_ring(void)
{
	return outcome(syscall(SYS_io_uring_setup, 1, NULL));
}

static int
load_program(void)
{
	return outcome(syscall(SYS_bpf, 9999, NULL, 0));
}

static int
watch_performance(void)
{
	return outcome(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static int
use_keys(void)
{
	return outcome(syscall(SYS_keyctl, 0, -3, 1));
}

static int
handle_faults(void)
{
	return outcome(syscall(SYS_userfaultfd, 1));
}

static int
restart_machine(void)
{
	return outcome(syscall(SYS_reboot, 0, 0, 0, NULL));
}

static int
use_memory_and_descriptors(void)
{
	struct pollfd watch = {.fd = STDERR_FILENO, .events = POLLOUT};
	char *memory = malloc(10000000), octet;

	if (memory == NULL)
		return REFUSED;
	memset(memory, 1, 10000000);
	free(memory);
	return poll(&watch, 1, 10) >= 0 && write(STDERR_FILENO, "", 0) == 0 &&
			send(held_pair[0], "x", 1, MSG_NOSIGNAL) == 1 &&
			recv(held_pair[1], &octet, 1, 0) == 1
		? DONE
		: REFUSED;
}

enum step { STEP_NONE, STEP_LOGIN, STEP_TRANSFER };

static void
enter(enum step step)
{
	struct sandbox_report report;
	struct error err;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (step >= STEP_LOGIN && sandbox_close_files(&account, &report, &err) != 0)
		_exit(77);
	if (step >= STEP_TRANSFER && sandbox_close_all(&account, &report, &err) != 0)
		_exit(77);
}

/* REFUSED, DONE, or less than 0: another error, or the end of the process. */
static int
attempt(enum step step, int (*what)(void))
{
	int status, result = -1000;
	int ends[2];
	pid_t pid;

	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		held_tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		enter(step);
		result = what();
		(void)!write(ends[1], &result, sizeof result);
		_exit(0);
	}
	close(ends[1]);
	if (read(ends[0], &result, sizeof result) != sizeof result)
		result = what == execute ? DONE : -1000;
	close(ends[0]);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return result;
}

/* Not looked at: it takes rights, or depends on the machine. */
#define ANY 2

static const struct {
	const char *name;
	int (*what)(void);
	int alone, login, transfer;
} cases[] = {
	{"read a file of the user's",      read_other,                 DONE,    REFUSED, REFUSED},
	{"read /etc/hosts",                read_hosts,                 DONE,    DONE,    REFUSED},
	{"read /etc/passwd",               read_passwd,                DONE,    REFUSED, REFUSED},
	{"read the file to trust",         read_trust_file,            DONE,    REFUSED, REFUSED},
	{"read memory as a file",          read_memory_file,           ANY,     REFUSED, REFUSED},
	{"list a folder",                  list_folder,                DONE,    REFUSED, REFUSED},
	{"open a file for writing",        open_for_writing,           DONE,    REFUSED, REFUSED},
	{"create a file",                  create_file,                ANY,     REFUSED, REFUSED},
	{"create a file without a name",   create_temporary,           ANY,     REFUSED, REFUSED},
	{"truncate a file",                truncate_file,              DONE,    REFUSED, REFUSED},
	{"truncate an open file",          truncate_held,              ANY,     REFUSED, REFUSED},
	{"remove a file",                  remove_file,                ANY,     REFUSED, REFUSED},
	{"rename a file",                  rename_file,                ANY,     REFUSED, REFUSED},
	{"link a file",                    link_file,                  ANY,     REFUSED, REFUSED},
	{"make a symbolic link",           link_symbolically,          ANY,     REFUSED, REFUSED},
	{"make a folder",                  make_folder,                ANY,     REFUSED, REFUSED},
	{"make a FIFO",                    make_fifo,                  ANY,     REFUSED, REFUSED},
	{"change a mode",                  change_mode,                DONE,    REFUSED, REFUSED},
	{"change an owner",                change_owner,               DONE,    REFUSED, REFUSED},
	{"change times",                   change_times,               DONE,    REFUSED, REFUSED},
	{"open by handle",                 open_by_handle,             ANY,     REFUSED, REFUSED},
	{"execute a program",              execute,                    DONE,    REFUSED, REFUSED},
	{"execute what is in memory",      execute_memory,             DONE,    REFUSED, REFUSED},
	{"fork",			   fork_process,               DONE,    REFUSED, REFUSED},
	{"start a process by clone3",      clone_process,              -EINVAL, REFUSED, REFUSED},
	{"start a thread",                 start_thread,               -EINVAL, REFUSED, REFUSED},
	{"kill another process",           kill_parent,                DONE,    REFUSED, REFUSED},
	{"abort another process",          abort_parent,               DONE,    REFUSED, REFUSED},
	{"trace another process",          trace_parent,               ANY,     REFUSED, REFUSED},
	{"read another process",           read_parent,                ANY,     REFUSED, REFUSED},
	{"open another process",           open_parent,                DONE,    REFUSED, REFUSED},
	{"make a TCP socket",              make_tcp,                   DONE,    DONE,    REFUSED},
	{"make a UDP socket",              make_udp,                   DONE,    DONE,    REFUSED},
	{"make a netlink socket",          make_netlink,               DONE,    DONE,    REFUSED},
	{"make another netlink socket",    make_audit,                 DONE,    REFUSED, REFUSED},
	{"make a raw socket",              make_raw,                   ANY,     REFUSED, REFUSED},
	{"make a multipath TCP socket",    make_multipath,             ANY,     REFUSED, REFUSED},
	{"make a local datagram socket",   make_local_datagram,        DONE,    REFUSED, REFUSED},
	{"make a local stream socket",     make_local_stream,          DONE,    ANY,     REFUSED},
	{"make a pair of sockets",         make_pair,                  DONE,    REFUSED, REFUSED},
	{"make a pipe",                    make_pipe,                  DONE,    REFUSED, REFUSED},
	{"connect to the server",          connect_to_server,          DONE,    DONE,    REFUSED},
	{"connect elsewhere",              connect_elsewhere,          DONE,    ANY,     REFUSED},
	{"connect elsewhere by Fast Open", connect_fast_elsewhere,     ANY,     REFUSED, REFUSED},
	{"send to an address",             send_to_address,            DONE,    DONE,    REFUSED},
	{"bind a port",                    bind_port,                  DONE,    ANY,     REFUSED},
	{"listen",			 listen_on_port,             DONE,    REFUSED, REFUSED},
	{"accept a connection",            accept_connection,          DONE,    REFUSED, REFUSED},
	{"ask how much is there to read",  ask_for_octets,             DONE,    DONE,    REFUSED},
	{"type into a terminal",           push_into_terminal,         ANY,     REFUSED, REFUSED},
	{"change a descriptor's flags",    change_flags,               DONE,    DONE,    REFUSED},
	{"have signals sent elsewhere",    make_owner,                 DONE,    REFUSED, REFUSED},
	{"copy a descriptor",              copy_descriptor,            DONE,    REFUSED, REFUSED},
	{"map memory as code",             map_code,                   DONE,    REFUSED, REFUSED},
	{"map a library",                  map_library,                DONE,    DONE,    REFUSED},
	{"map code that can be written",   map_writable_library,       DONE,    REFUSED, REFUSED},
	{"make memory code",               make_memory_code,           DONE,    REFUSED, REFUSED},
	{"change the user",                change_user,                DONE,    REFUSED, REFUSED},
	{"change the group",               change_groups,              DONE,    REFUSED, REFUSED},
	{"become dumpable",                become_dumpable,            DONE,    REFUSED, REFUSED},
	{"set a limit",                    set_limit,                  DONE,    REFUSED, REFUSED},
	{"handle a signal",                handle_signal,              DONE,    REFUSED, REFUSED},
	{"mount",			  mount_system,               ANY,     REFUSED, REFUSED},
	{"leave a namespace",              leave_namespace,            DONE,    REFUSED, REFUSED},
	{"change the folder",              change_folder,              DONE,    REFUSED, REFUSED},
 /* Until the login is over it is a matter of the capability, which root's fetcher has. */
	{"change the root",                change_root,                ANY,     ANY,     REFUSED},
	{"set up a ring",                  set_up_ring,                ANY,     REFUSED, REFUSED},
	{"load a program into the kernel", load_program,               ANY,     REFUSED, REFUSED},
	{"watch the performance",          watch_performance,          ANY,     REFUSED, REFUSED},
	{"use keys",		       use_keys,                   ANY,     REFUSED, REFUSED},
	{"handle page faults",             handle_faults,              ANY,     REFUSED, REFUSED},
	{"restart the machine",            restart_machine,            ANY,     REFUSED, REFUSED},
	{"use memory and descriptors",     use_memory_and_descriptors, DONE,    DONE,    DONE   },
};

static void
make_victim(void)
{
	int fd = open(victim, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && write(fd, "octets", 6) == 6 && close(fd) == 0);
}

static void
check_case(size_t i)
{
	int alone = cases[i].alone == ANY ? ANY : attempt(STEP_NONE, cases[i].what);
	int login, transfer;

	make_victim();
	login = attempt(STEP_LOGIN, cases[i].what);
	transfer = attempt(STEP_TRANSFER, cases[i].what);
	if (!CHECK(alone == cases[i].alone) ||
		!CHECK(cases[i].login == ANY || login == cases[i].login) ||
		!CHECK(transfer == cases[i].transfer))
		fprintf(stderr, "\t%s: %d, %d, %d\n", cases[i].name, alone, login, transfer);
}

/* What only some kernels can deny. */
static void
check_ports(void)
{
	int wanted = abi >= ABI_WITH_NET && nss_reach() != NSS_ANYWHERE ? REFUSED : DONE;

	CHECK(attempt(STEP_LOGIN, connect_elsewhere) == wanted);
	CHECK(attempt(STEP_LOGIN, bind_port) == (abi >= ABI_WITH_NET ? REFUSED : DONE));
	CHECK(attempt(STEP_LOGIN, make_local_stream) == (nss_reach() == NSS_DNS ? REFUSED : DONE));
}

/* Landlock alone, as in a kernel without seccomp: the second lock of the same doors. */
static int
try_landlock_alone(void)
{
	const struct landlock_grants nothing = {.folders = NULL};
	struct error err;

	if (landlock_close(&nothing, &err) != abi)
		return -1;
	if (read_other() != REFUSED || open_for_writing() != REFUSED || remove_file() != REFUSED ||
		create_file() != REFUSED || read_hosts() != REFUSED || execute() != REFUSED)
		return DONE;
	if (abi >= ABI_WITH_NET && connect_elsewhere() != REFUSED)
		return DONE;
	return abi >= ABI_WITH_SCOPES && kill_parent() != REFUSED ? DONE : REFUSED;
}

/* An assertion that fails in the cage must end the process as it does elsewhere. */
static int
fail_assertion(void)
{
	abort();
}

static void
handle_abort(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	sigemptyset(&action.sa_mask);
	sigaction(SIGABRT, &action, NULL);
}

static void
check_abort(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		handle_abort(SIG_DFL);
		enter(STEP_TRANSFER);
		fail_assertion();
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
		WTERMSIG(status) == SIGABRT);
}

/* What is reported of the first step, and whether a file can be read then. */
static int
read_in_first_step(const struct account *what, const char *wanted)
{
	struct sandbox_report report;
	struct error err;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (sandbox_close_files(what, &report, &err) != 0 || strcmp(report.text, wanted) != 0)
		return -1;
	return read_other();
}

static int
leave_out_first_step(void)
{
	static char gssapi[] = "GSSAPI";
	char *names[] = {gssapi, NULL};
	struct account with_ticket = account;

	with_ticket.auth = names;
	return read_in_first_step(&with_ticket,
		"step 1: left out, since this login needs files and sockets of its own");
}

static int
switch_off(void)
{
	struct account free = account;

	free.sandbox = ACCOUNT_SANDBOX_OFF;
	return read_in_first_step(&free, "off, as configured");
}

static int
report_first_step(void)
{
	char wanted[64];

	snprintf(wanted, sizeof wanted, "step 1: Landlock ABI %d, seccomp", abi);
	return read_in_first_step(&account, wanted);
}

/* A file of the name service as it may stand in /etc. */
static void
test_name_service(void)
{
	static const struct {
		const char *text;
		enum nss_reach reach;
	} files[] = {
		{"",								 NSS_DNS     },
		{"passwd: files systemd\nhosts: files dns\n",                        NSS_DNS     },
		{"hosts:files dns myhostname",                                       NSS_DNS     },
		{"hosts: files mdns4_minimal [NOTFOUND=return] dns\n",               NSS_SOCKETS },
		{"hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", NSS_SOCKETS },
		{"#hosts: wins\n  hosts:\tfiles dns # wins\npasswd: wins",           NSS_DNS     },
		{"hosts: files dns[NOTFOUND=return]wins\n",                          NSS_ANYWHERE},
		{"hosts: files nis dns\n",					   NSS_ANYWHERE},
		{"HOSTS: files dnsx\n",					      NSS_ANYWHERE},
		{"hosts: dns [",						     NSS_DNS     },
		{"hosts: files\nhosts: sss\n",                                       NSS_SOCKETS },
		{"networks: wins\nhosts",					    NSS_DNS     },
	};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		if (!CHECK(nss_reach_of(files[i].text, strlen(files[i].text)) == files[i].reach))
			fprintf(stderr, "\t%s\n", files[i].text);
	}
}

static int
listener(uint16_t *port_out)
{
	struct sockaddr_in address = loopback(0);
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
		listen(fd, 100) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	*port_out = ntohs(address.sin_port);
	return fd;
}

static void
prepare(void)
{
	CHECK(mkdtemp(folder) != NULL);
	snprintf(victim, sizeof victim, "%s/victim", folder);
	snprintf(other, sizeof other, "%s/other", folder);
	make_victim();
	account.tls_trust_file = trusted;
	held_listener = listener(&account.port);
	listener(&other_port);
	held_udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	held_file = open("/bin/true", O_RDONLY | O_CLOEXEC);
	CHECK(held_udp >= 0 && held_file >= 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, held_pair) == 0);
	/* An attempt that succeeds must not end the test. */
	handle_abort(SIG_IGN);
}

int
main(void)
{
	struct error err;

	test_name_service();
	abi = landlock_abi(&err);
	if (abi == 0 || filter_probe(&err) != 0) {
		fprintf(stderr, "nothing to test here: %s\n", err.text);
		return check_done();
	}
	prepare();
	sandbox_prepare();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check_case(i);
	check_ports();
	CHECK(attempt(STEP_NONE, try_landlock_alone) == REFUSED);
	check_abort();
	CHECK(attempt(STEP_NONE, leave_out_first_step) == DONE);
	CHECK(attempt(STEP_NONE, switch_off) == DONE);
	CHECK(attempt(STEP_NONE, report_first_step) == REFUSED);
	CHECK(unlink(victim) == 0);
	CHECK(rmdir(folder) == 0);
	return check_done();
}
