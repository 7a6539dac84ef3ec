# Calls that fail once: disks that err and fill up, descriptors, memory and processes that run out,
# networks that break. crash/faults makes one call of one process fail in a session of 60
# messages, at one place of each thing that calls are made for, and runs a session without faults
# behind it: nothing is lost, nothing comes twice, the status fits, and the error is named.
# All places and errors: tests/crash/faults, in make check-crash.

load helper

# faults OPTION…: some hundreds of sessions; the report ends with what failed.
faults() {
	POPHAUL_LIMIT=300
	BUILD=$BUILD run timeout -k 5 "$POPHAUL_LIMIT" python3 "$TESTS/crash/faults" "$@"
	[ "$status" -eq 0 ] || fail "$(grep -v ' to go$' <<<"$output" | tail -n 40)"
	assert_output_matches '^[1-9][0-9]* passed, 0 failed$'
}

@test "each kind of call of a Maildir's deliverer fails once: nothing is lost, doubled or hushed up" {
	faults --sample --only maildir:deliverer
}

@test "each kind of call of an mbox's deliverer fails once: nothing is lost, doubled or hushed up" {
	faults --sample --only mbox:deliverer
}

@test "each kind of call of a pipe's deliverer fails once: nothing is lost, at most one message repeated" {
	faults --sample --only pipe:deliverer
}

@test "each kind of call of the fetcher and of the poller fails once: nothing is lost, doubled or hushed up" {
	faults --sample --only maildir:fetcher --only maildir:poller
}

# short_writes NTH OCTETS: the program, each NTH of whose writes takes OCTETS (0: half).
short_writes() {
	rm -rf seen "$STATE" Maildir mbox out
	LD_PRELOAD=$BATS_FILE_TMPDIR/short_write.so SHORT_WRITE_NTH=$1 SHORT_WRITE_OCTETS=$2 SHORT_WRITE_SEEN=$HOME/seen \
		ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
		run --separate-stderr pophaul
	assert_status 0
	assert_equal "$stderr" ''
	[ -e seen ] || fail 'no write was cut'
}

# without_dates FILE: an mbox without the dates of its From_ lines.
without_dates() {
	sed 's/^\(From [^ ]*\) [A-Z].*/\1/' "$1" | sha256sum
}

@test "writes that take less than they were given are gone on with: files, spools, state and network" {
	local dest whole

	"${CC:-cc}" -D_GNU_SOURCE -shared -fPIC -o "$BATS_FILE_TMPDIR/short_write.so" "$TESTS/crash/short_write.c" -ldl
	corpus "$HOME/corpus"
	start_fakepop --folder "$HOME/corpus"
	account home | write_config
	for cuts in '1 0' '2 1' '3 7'; do
		# shellcheck disable=SC2086
		short_writes $cuts
		assert_maildir_has corpus Maildir
	done
	for dest in "mbox:$HOME/mbox" "pipe:sh -c 'cat >>$HOME/out'"; do
		rm -rf "$STATE" mbox out
		account home "deliver = \"$dest\"" | write_config
		run pophaul
		assert_status 0
		whole=$(without_dates "$([ -e mbox ] && echo mbox || echo out)")
		for cuts in '1 0' '2 1' '3 7'; do
			# shellcheck disable=SC2086
			short_writes $cuts
			assert_equal "$(without_dates "$([ -e mbox ] && echo mbox || echo out)")" "$whole"
		done
	done
}

# while_it_grows INJECTION: a session with one message of 20 MiB, of which two windows are written out while it
# comes: the first is begun, the second is begun, the first is waited for. The calls that do that fail as said.
while_it_grows() {
	run --separate-stderr strace -f -qq -o calls -e signal=none -e trace=sync_file_range,fadvise64 \
		${1:+-e inject="sync_file_range:$1"} timeout -k 5 60 "$BUILD/pophaul"
}

# The digest of that message; nothing when it is not there once.
large_message() {
	[ "$(count_files Maildir/new)" -ne 1 ] || sha256sum <"$(echo Maildir/new/*)"
}

# serve_large [KEEP]: a server with that message, which is known to nobody; WHOLE is its digest.
serve_large() {
	rm -rf "$STATE" Maildir
	stop_servers
	start_fakepop --synthetic 1 20971520
	if [ -z "${WHOLE-}" ]; then
		use
		poll
		WHOLE=$(large_message)
		rm -rf "$STATE" Maildir
	fi
}

@test "a disk that fails while a large message still grows: the message counts as not delivered, and comes again" {
	local fault

	# Of what is waited for, every error is the fate of octets; no fsync would repeat it.
	for fault in EIO:when=1 ENOSPC:when=2 EIO:when=3 EINVAL:when=3 EPERM:when=3 ENOSYS:when=3 EINTR:when=3; do
		serve_large
		use 'keep = "never"'
		while_it_grows "error=$fault"
		assert_status 74
		assert_stderr_has "cannot write '"
		assert_stderr_has "' to the disk: "
		[ "$(count_files Maildir/new)" -eq 0 ] || fail 'what may be lost was delivered'
		assert_equal "$(grep -c INJECTED calls)" 1
		poll
		assert_status 0
		assert_equal "$(large_message)" "$WHOLE"
	done
}

@test "a file system that cannot write out a part of a file gets large messages all the same" {
	local error

	for error in EINVAL ENOSYS ESPIPE EPERM; do
		serve_large
		use
		while_it_grows error=$error
		assert_status 0
		assert_equal "$stderr" ''
		# It is asked once.
		assert_equal "$(grep -c sync_file_range calls)" 1
		assert_equal "$(large_message)" "$WHOLE"
	done
	serve_large
	use
	while_it_grows error=EINTR:when=2
	assert_status 0
	assert_equal "$(grep -c sync_file_range calls)" 4
	assert_equal "$(large_message)" "$WHOLE"
}

# Errors are a file's, not an octet's: what one message waits for may be the fate of another in the same file.
@test "an mbox is not written out before the end: whose octets were lost could not be told" {
	serve_large
	use "deliver = \"mbox:$HOME/mbox\""
	while_it_grows
	assert_status 0
	[ ! -s calls ] || fail "$(<calls)"
	assert_equal "$(sed '1d; $d' mbox | sha256sum)" "$WHOLE"
}

@test "a large message is written out as it grows, and leaves the page cache but for its end; a small one stays there" {
	serve_large
	use
	while_it_grows
	assert_status 0
	assert_equal "$(sed 's/^[0-9]* *//; s/([0-9]*, /(/; s/ *= 0$//' calls)" 'sync_file_range(0, 8388608, SYNC_FILE_RANGE_WRITE)
sync_file_range(8388608, 8388608, SYNC_FILE_RANGE_WRITE)
sync_file_range(0, 8388608, SYNC_FILE_RANGE_WAIT_BEFORE|SYNC_FILE_RANGE_WRITE|SYNC_FILE_RANGE_WAIT_AFTER)
fadvise64(0, 8388608, POSIX_FADV_DONTNEED)'
	stop_servers
	rm -rf "$STATE" Maildir
	start_fakepop --synthetic 3 8000000
	use
	while_it_grows
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 3
	[ ! -s calls ] || fail "$(<calls)"
	stop_servers
	rm -rf "$STATE" Maildir
	start_fakepop --synthetic 1 12000000
	use
	while_it_grows
	assert_status 0
	assert_equal "$(sed 's/^[0-9]* *//; s/([0-9]*, /(/; s/ *= 0$//' calls)" 'sync_file_range(0, 8388608, SYNC_FILE_RANGE_WRITE)'
}
