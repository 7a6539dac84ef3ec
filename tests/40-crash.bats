#!/usr/bin/env bats
# Death of one process, or of all, at a call that has an effect: the next session leaves everything
# as if nothing had happened. A sample, whose densest part is a whole commit; make check-crash
# tries each call there is (crash/README).

load helper

# sampled DEST KIND DEATHS
sampled() {
	BUILD=$BUILD run timeout -k 5 300 "$TESTS/crash/deaths" -j 2 --only "$1:$2" --sample "$3"
	assert_status 0
	assert_output_has "$3 passed, 0 failed"
}

@test "Maildir: the deliverer dies, at 36 points: each message is there once" {
	sampled maildir deliverer 36
}

@test "Maildir: all processes die, at 16 points: each message is there once" {
	sampled maildir all 16
}

@test "Maildir: the fetcher or the poller dies, at 12 points: each message is there once" {
	sampled maildir fetcher 8
	sampled maildir poller 4
}

@test "Maildir, and mail that stays on the server: anybody dies, at 16 points: nothing comes again" {
	sampled kept deliverer 12
	sampled kept all 4
}

@test "Maildir, and a server that deletes at DELE: anybody dies, at 20 points: each message is there once" {
	sampled hasty deliverer 8
	sampled hasty all 8
	sampled hasty fetcher 4
}

@test "mbox: the deliverer dies, at 36 points: each message is there once" {
	sampled mbox deliverer 36
}

@test "mbox: all processes die, at 16 points: each message is there once" {
	sampled mbox all 16
}

@test "mbox: the fetcher or the poller dies, at 12 points: each message is there once" {
	sampled mbox fetcher 8
	sampled mbox poller 4
}

@test "pipe: the deliverer dies, at 36 points: no message is lost, and at most one comes twice" {
	sampled pipe deliverer 36
}

@test "pipe: all processes die, at 16 points: no message is lost, and at most one comes twice" {
	sampled pipe all 16
}

@test "pipe: the fetcher or the poller dies, at 12 points: no message is lost, and at most one comes twice" {
	sampled pipe fetcher 8
	sampled pipe poller 4
}

@test "the comparison objects to mail that is lost, doubled or cut, to strays, locks and a state that is not clean" {
	run timeout -k 5 300 "$TESTS/crash/objections"
	assert_status 0
	assert_output_has '45 passed, 0 failed'
}

@test "a file system without nameless files gets its dot lock by a named one" {
	run python3 - "$TESTS/crash" "$BATS_TEST_TMPDIR/ground" "$BUILD" <<-'EOF'
		import sys
		sys.path.insert(0, sys.argv[1])
		import ground
		mbox = ground.Ground(sys.argv[2], sys.argv[3], "mbox")
		trial = mbox.trial()
		calls = [l for l in trial.run("deliverer", trace="openat").log.splitlines() if l.startswith("openat")]
		trial.close()
		first = next(i for i, call in enumerate(calls, 1) if "O_TMPFILE" in call)
		trial = mbox.trial()
		run = trial.run("deliverer", "openat:error=EOPNOTSUPP:when=%d" % first, "openat,link,linkat")
		linked = [line for line in run.log.splitlines() if line.startswith("link(") and line.endswith("= 0")]
		print("hit:", run.hit, "linked by name:", len(linked))
		print("problems:", trial.problems(run))
		trial.close()
	EOF
	assert_status 0
	assert_output_has 'hit: True linked by name: 1'
	assert_output_has 'problems: []'
}
