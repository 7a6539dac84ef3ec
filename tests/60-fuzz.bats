#!/usr/bin/env bats
# Cases that a machine has made (fuzz/README), repeated: what once made a parser or a
# session go wrong, and what reaches into every corner of them.

bats_require_minimum_version 1.5.0

setup() {
	TOP=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	BUILD=${BUILD:-$TOP/build}
	FUZZ=$TOP/tests/fuzz
	export TMPDIR=$BATS_TEST_TMPDIR
}

# replay TARGET: all of its cases; the last lines, of which one names the case, when it fails.
replay() {
	run timeout -k 10 120 "$BUILD/tests/fuzz/$1_replay" "$FUZZ/corpus/$1"
	[ "$status" -eq 0 ] || { tail -n 12 <<< "$output" && false; }
	[ "${lines[-1]}" = "$(find "$FUZZ/corpus/$1" -type f | wc -l) cases" ]
	[ "${lines[-1]}" != "0 cases" ]
}

@test "bodies come out the same however they are cut, and as the RFC has it by the letter" {
	replay dot
}

@test "no header of a message gives anything that harms a terminal or an envelope" {
	replay header
}

@test "frames of the link are the same however they are cut, and never out of bounds" {
	replay link
}

@test "no server makes the fetcher tell, delete or reveal what it must not" {
	replay conversation
}

@test "no fetcher makes the deliverer record, keep or write what it must not" {
	replay deliverer
}

@test "what is understood of a server's lines is within its bounds, what is shown is printable" {
	replay reply
}

@test "a state of any octets reads the same again, and knows nothing that no line says" {
	replay state
}

@test "what a dead session left is settled as the mailbox has it, and no mail is touched by that" {
	replay recovery
}

@test "what a person writes on one line is taken and makes sense, or is refused with a sentence" {
	replay value
}

@test "a configuration is taken and makes sense, or each problem has its file and its line" {
	replay conf
}

@test "every target has cases and a test here, and every corpus a target" {
	local name
	for name in $(cd "$FUZZ" && printf '%s\n' *_fuzz.c | sed 's/_fuzz\.c$//'); do
		[ -n "$(find "$FUZZ/corpus/$name" -type f)" ] || { echo "$name has no cases" && false; }
		grep -qE "^[[:space:]](replay|failed_replay) $name( |\$)" "$BATS_TEST_FILENAME" ||
			{ echo "$name has no test" && false; }
	done
	for name in "$FUZZ"/corpus/*; do
		[ -e "$FUZZ/${name##*/}_fuzz.c" ] || { echo "$name has no target" && false; }
	done
}

# failed_replay TARGET FILE: the target's abort(3), with the case named.
failed_replay() {
	run timeout -k 10 60 "$BUILD/tests/fuzz/$1_replay" "$2"
	[ "$status" -ne 0 ]
	[[ $output == *"$2"*"does not hold"* ]]
}

@test "a replay fails where its target does, names the case, and fails without one" {
	replay planted
	printf 'fail' > "$BATS_TEST_TMPDIR/case"
	failed_replay planted "$BATS_TEST_TMPDIR/case"
	run "$BUILD/tests/fuzz/planted_replay"
	[ "$status" -eq 1 ]
	run "$BUILD/tests/fuzz/planted_replay" "$BATS_TEST_TMPDIR/missing"
	[ "$status" -eq 1 ]
}
