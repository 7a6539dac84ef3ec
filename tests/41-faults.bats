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
