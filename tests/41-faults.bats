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
