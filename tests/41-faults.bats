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
# comes; the calls that do that fail as said.
while_it_grows() {
	run --separate-stderr strace -f -qq -o calls -e signal=none -e trace=sync_file_range,fadvise64 \
		${1:+-e inject="sync_file_range:$1"} timeout -k 5 60 "$BUILD/pophaul"
}

# assert_whole FILE: it ends in the 20 MiB of that message, as octets of the wire.
assert_whole() {
	assert_equal "$(sed '/^From /d; s/$/\r/' "$1" | wc -c)" "${2:-20971520}"
}

@test "a disk that fails while a large message still grows: the message counts as not delivered, and comes again" {
	local dest when

	for dest in "maildir:$HOME/Maildir" "mbox:$HOME/mbox"; do
		# The first is begun to be written out, the second, the first is waited for.
		for when in 1 2 3; do
			rm -rf "$STATE" Maildir mbox
			start_fakepop --synthetic 1 20971520
			use 'keep = "never"' "deliver = \"$dest\""
			while_it_grows error=EIO:when=$when
			assert_status 74
			assert_stderr_has 'to the disk: Input/output error'
			[ ! -s mbox ] && [ "$(count_files Maildir/new)" -eq 0 ] || fail 'what may be lost was delivered'
			assert_equal "$(grep -c INJECTED calls)" 1
			poll
			assert_status 0
			if [[ $dest == mbox:* ]]; then
				# With the blank line that ends it.
				assert_whole mbox 20971522
			else
				assert_equal "$(count_files Maildir/new)" 1
				assert_whole Maildir/new/*
			fi
			stop_servers
		done
	done
}

@test "a file system that cannot write out a part of a file gets large messages all the same" {
	local error

	start_fakepop --synthetic 1 20971520
	use
	for error in EINVAL ENOSYS ESPIPE EPERM; do
		rm -rf "$STATE" Maildir
		while_it_grows error=$error
		assert_status 0
		assert_equal "$stderr" ''
		assert_whole Maildir/new/*
	done
	rm -rf "$STATE" Maildir
	while_it_grows error=EINTR:when=2
	assert_status 0
	assert_equal "$(grep -c '^[0-9]* *sync_file_range' calls)" 4
	assert_whole Maildir/new/*
}

@test "a large message is written out as it grows, and leaves the page cache but for its end; a small one stays there" {
	start_fakepop --synthetic 1 20971520
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
}
