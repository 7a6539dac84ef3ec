#!/usr/bin/env bats
# The bench runs: what it says of speed is no test's matter, and so small it says nothing.

load helper

bench() {
	run --separate-stderr env BENCH_DIR="$BATS_TEST_TMPDIR" BUILD="$BUILD" SCALE=0.01 ROUNDS=1 \
		timeout -k 5 120 "$TESTS/bench/run" "$@"
}

@test "the bench measures pophaul against the bundled server, and leaves a table and the single runs" {
	bench start lock-step known stream
	assert_status 0
	assert_output_matches '^pophaul +[0-9]'
	assert_output_matches '^40 ms, no pipelining +pophaul +1 .* 1[0-9]$'
	assert_output_matches '^1 GiB from fakepop +probe +1 '
	assert_output_matches '^(ok  |MISS)  known +1,000,000: seconds '
	grep -q '^start,pophaul --version,1,0\.' "$BUILD/bench/bench.csv"
	cmp "$BUILD/bench/table.txt" <(head -n -1 <<<"$output")
	run ! ls -d "$BATS_TEST_TMPDIR"/pophaul-bench*
}

@test "the bench measures the others beside it against Dovecot" {
	command -v dovecot >/dev/null || [ -x /usr/sbin/dovecot ] || skip 'no Dovecot here'
	# Its users must get there.
	run --separate-stderr env BENCH_DIR=/var/tmp BUILD="$BUILD" SCALE=0.005 ROUNDS=1 timeout -k 5 120 "$TESTS/bench/run" big mbox
	assert_status 0
	assert_output_matches '^one message of 1 GiB +probe +1 '
	assert_output_matches '^mbox +pophaul +1 '
}

@test "a workload that does not exist is refused, with a list of those that do" {
	bench swimming
	assert_status 1
	assert_stderr_has "bench: no workload 'swimming'; there are: start idle maildir"
}

@test "a program that does not deliver what is there is no measurement" {
	printf '#!/bin/sh\n[ "$1" = --version ] || exit 0\necho pophaul 0\n' >liar
	chmod +x liar
	mkdir -p there/tests/fakepop
	cp liar there/pophaul
	cp "$BUILD/tests/fakepop/fakepop" there/tests/fakepop
	BUILD=$HOME/there bench stream
	assert_status 1
	assert_stderr_has 'bench: pophaul ended with 0 and delivered 0 of 1 messages'
}
