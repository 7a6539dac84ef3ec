#!/usr/bin/env bats
# The main paths under valgrind: no octet that is not ours is read or written, nothing undefined decides, and what
# was taken is given back, in each of the three processes.

load helper

setup_file() {
	# The cage holds valgrind too, which then cannot tell what it has found; what is in the cage does not change. And
	# valgrind before 3.20 has no pidfd_open(2): a descriptor that is always ready makes the program wait for the child's end.
	cat >"$BATS_FILE_TMPDIR/uncage.c" <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <errno.h>
		#include <fcntl.h>
		#include <stdarg.h>
		#include <sys/syscall.h>
		long syscall(long number, ...)
		{
			long (*real)(long, long, long, long, long, long, long) =
				(long (*)(long, long, long, long, long, long, long))dlsym(RTLD_NEXT, "syscall");
			long a[6];
			va_list list;
			if (number == SYS_seccomp || number == SYS_landlock_create_ruleset) {
				errno = ENOSYS;
				return -1;
			}
			if (number == SYS_pidfd_open)
				return open("/dev/null", O_RDONLY | O_CLOEXEC);
			va_start(list, number);
			for (int i = 0; i < 6; i++)
				a[i] = va_arg(list, long);
			va_end(list);
			return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
		}
	END
	"${CC:-cc}" -shared -fPIC -o "$BATS_FILE_TMPDIR/uncage.so" "$BATS_FILE_TMPDIR/uncage.c" -ldl
}

setup() {
	default_setup
	! grep -qa __asan_init "$BUILD/pophaul" || skip 'valgrind cannot run what AddressSanitizer has built'
}

# poll [OPTION…]: as pophaul, each process with a log of its own.
poll() {
	rm -f "$HOME"/memcheck.*
	run --separate-stderr env LD_PRELOAD="$BATS_FILE_TMPDIR/uncage.so" timeout -k 5 120 valgrind --leak-check=full \
		--num-callers=40 --log-file="$HOME/memcheck.%p" "$BUILD/pophaul" "$@"
}

parent_of() {
	sed -n 's/^==[0-9]*== Parent PID: //p' "$1"
}

# The fetcher is forked by the worker, and the worker by the poller.
is_fetcher() {
	local worker

	worker=$HOME/memcheck.$(parent_of "$1")
	[ -e "$worker" ] && [ -e "$HOME/memcheck.$(parent_of "$worker")" ]
}

# complaints LOG [yes]: the errors and leaks in it; "yes": but for what the fetcher has inherited from those who
# forked it, which is still in use there.
complaints() {
	sed 's/^==[0-9]*== \{0,1\}//' "$1" | awk -v inherits="${2-}" '
		function end() {
			is_inherited = inherits != "" && block ~ /are (definitely|possibly) lost/ && block !~ /be_fetcher|fetcher_run/
			if (block ~ /(at|by) 0x/ && !is_inherited)
				print block
			block = ""
		}
		/^ *$/ { end(); next }
		{ block = block $0 "\n" }
		END { end() }'
}

# assert_clean PROCESSES: at least so many of them, all without complaint.
assert_clean() {
	local log

	[ "$(find "$HOME" -name 'memcheck.*' | wc -l)" -ge "$1" ] || fail "not $1 processes: $(ls "$HOME")"
	for log in "$HOME"/memcheck.*; do
		if is_fetcher "$log"; then
			assert_equal "$(complaints "$log" yes)" ''
		else
			assert_equal "$(complaints "$log")" ''
		fi
	done
}

@test "valgrind: what it would say is seen" {
	cat >bad.c <<-'END'
		#include <stdlib.h>
		#include <sys/wait.h>
		#include <unistd.h>
		static void fetcher_run(void) { char *p = malloc(3); if (p[1]) write(1, "", 0); }
		static void run_session(void) { char *p = malloc(7); p[0] = 1; if (fork() == 0) { fetcher_run(); _exit(0); } wait(0); free(p); }
		int main(void) { if (fork() == 0) { run_session(); _exit(0); } wait(0); return 0; }
	END
	"${CC:-cc}" -g -O0 -o bad bad.c 2>/dev/null
	valgrind --leak-check=full --log-file="$HOME/memcheck.%p" ./bad
	for log in memcheck.*; do
		! is_fetcher "$log" || found=$(complaints "$log" yes)
	done
	[[ $found == *'uninitialised value'* && $found == *'3 bytes in 1 blocks are definitely lost'* ]]
	[[ $found != *'7 bytes'* ]]
	run ! assert_clean 3
}

@test "valgrind: TLS, SCRAM, a Maildir and deletions, then a run that finds nothing new" {
	start_dovecot
	corpus messages
	put_messages messages jane
	account home "port = $PORTS" 'tls = implicit' 'auth = SCRAM-SHA-256' 'keep = never' | write_config
	poll
	assert_status 0
	assert_maildir_has messages Maildir
	assert_clean 3
	poll
	assert_status 0
	assert_clean 3
}

@test "valgrind: mbox in lock step, with mail that is known, new, refused and too big" {
	start_fakepop --no-pipelining -e 'messages 6' -e 'message "Subject: x\n\nFrom me\n.\n"' -e 'on RETR 3 send -ERR no' \
		-e 'session 1 hide 5' -e 'size 6 99999999' -e 'uidl 2 a%b' -e 'uidl 4 same' -e 'uidl 5 same'
	account home 'deliver = "mbox:~/mbox"' 'max-size = 1M' | write_config
	poll
	assert_status 1
	assert_clean 3
	poll
	assert_status 1
	assert_clean 3
	assert_equal "$(grep -c '^From ' mbox)" 5
}

@test "valgrind: commands that succeed, fail and do not exist" {
	start_fakepop -e 'messages 3'
	account home "deliver = \"pipe:sh -c 'cat >>mail; ! grep -q message.2 mail'\"" 'received = yes' | write_config
	poll
	assert_status 1
	assert_clean 3
	account home 'deliver = "pipe:/nowhere"' | write_config
	poll --state-dir other
	assert_clean 3
	[ "$status" -ne 0 ]
}

@test "valgrind: sessions that break off, logins that fail, a recovery" {
	start_fakepop -e 'messages 4' -e 'session 1 on RETR 3 cut 300' -e 'session 2 on PASS send -ERR [AUTH] no'
	account home 'timeout = 1s' 'auth = USER' | write_config
	poll
	assert_status 69
	assert_clean 3
	poll
	assert_status 77
	assert_clean 3
	echo "try torn" >>"$STATE/home.uidl"
	poll -v
	assert_status 0
	assert_clean 3
	assert_equal "$(count_files Maildir/new)" 4
	start_fakepop -e 'on UIDL stall'
	account home 'timeout = 1s' | write_config
	poll
	assert_status 69
	assert_clean 3
}

@test "valgrind: several accounts, a listing, a dry run, a check, mistakes" {
	start_fakepop -e 'messages 3'
	{ account a; account b 'deliver = "maildir:~/b"'; } | write_config
	poll -l -v
	assert_status 0
	assert_clean 5
	poll -n --log-format json
	assert_status 0
	assert_clean 5
	poll -vv --progress always
	assert_status 0
	assert_clean 5
	poll -t
	assert_status 0
	assert_clean 1
	echo 'account "c" { hots = "x"' >>"$CONF"
	poll -t
	assert_status 78
	assert_clean 1
	poll --nonsense
	assert_status 64
	assert_clean 1
}
