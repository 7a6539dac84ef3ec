#!/usr/bin/env bats
# What the two processes of a session tell each other when a server is slow, breaks off or
# fails in an odd moment, and what of it reaches a person.

load helper

# poll LINE… [-- OPTION…]: the account "box" with these lines, polled.
poll() {
	local lines=()

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		lines+=("$1")
		shift
	done
	account box "${lines[@]}" | write_config
	run --separate-stderr pophaul "${@:2}"
}

@test "a listing and a header that drip in are waited for, however long they take" {
	# The deliverer's patience here is four seconds, each of these takes about five.
	start_fakepop -e 'messages 100' -e 'capa -TOP' -e 'on UIDL drip 40 100; normal'
	account listing 'timeout = "1s"' 'min-rate = 10' 'connect-timeout = "1s"' >accounts
	start_fakepop -e "message \"Subject: slow\nX-Long: $(printf '%0500d' 0)\n\nbody\n\"" \
		-e 'on TOP drip 11 100; normal'
	account header 'timeout = "1s"' 'min-rate = 10' 'connect-timeout = "1s"' >>accounts
	write_config <accounts
	run --separate-stderr pophaul --list -v
	assert_status 0
	assert_output_has 'listing: 100 messages'
	assert_output_has 'Subject: slow'
}

@test "a listing that stops in its middle is given up after timeout" {
	start_fakepop -e 'messages 3' -e 'on UIDL raw "+OK\r\n1 a\r\n"; stall'
	poll 'timeout = "1s"' -- -l
	assert_status 69
	assert_stderr_has 'in the middle of the reply to UIDL: no answer for 1 second'
	refute_stderr_has 'seconds'
}

@test "a connection that is cut within a header of --list is an error of the network" {
	start_fakepop -e 'messages 3' -e 'on TOP 2 raw "+OK\r\nSubject: x"; drop'
	poll -- --list -v
	assert_status 69
	assert_stderr_has 'in the middle of message 2: the server closed the connection'
	refute_stderr_has 'out of turn'
}

@test "a server that takes its leave before the plan is an error of the network in --dry-run" {
	start_fakepop -e 'messages 1' -e 'on LIST raw "+OK\r\n1 1000\r\n.\r\n-ERR going down\r\n"; drop'
	poll -- -n
	assert_status 69
	assert_stderr_has 'the server says unasked: "-ERR going down"'
	refute_stderr_has 'out of turn'
}

@test "a server without UIDL that takes its leave before the plan is no mistake of ours" {
	start_fakepop -e 'messages 1' -e 'capa -UIDL' -e 'on UIDL send -ERR what' \
		-e 'on LIST raw "+OK\r\n1 1000\r\n.\r\n-ERR going down\r\n"; drop'
	poll 'keep = "forever"'
	assert_status 69
	refute_stderr_has 'out of turn'
}

@test "a state that cannot be written says why, not only that it failed before" {
	local size

	start_fakepop -e 'messages 1'
	poll
	assert_status 0
	"$TESTS/state-sum" "$STATE/box.uidl"
	size=$(stat -c %s "$STATE/box.uidl")
	printf 'fact padding %0*d\n' $((1024 - size - 14 - 5)) 0 >>"$STATE/box.uidl"
	"$TESTS/state-sum" "$STATE/box.uidl"
	assert_equal "$(stat -c %s "$STATE/box.uidl")" 1019
	account box 'keep = "never"' | write_config
	run --separate-stderr bash -c 'ulimit -f 1; exec timeout -k 5 60 "$0"' "$BUILD/pophaul"
	assert_status 74
	assert_stderr_has "box.uidl': File too large"
	# The messages that were deleted and could not be recorded so are found out the next time.
	run --separate-stderr pophaul
	assert_status 0
}

@test "what fails every message alike is told once" {
	start_fakepop -e 'messages 3'
	poll 'deliver = "pipe:/nonexistent/command"'
	assert_status 78
	assert_equal "$stderr" "pophaul: box: command '/nonexistent/command' exited with status 127: pophaul: cannot run '/nonexistent/command': No such file or directory"
	account box 'deliver = "pipe:/nonexistent/command"' | write_config
	run --separate-stderr pophaul -v
	assert_stderr_has 'message 1 (uid-1): command'
	refute_stderr_has 'more message'
}

@test "one is one message, and two are two messages" {
	start_fakepop -e 'messages 1'
	poll 'max-size = 10' -- -v
	assert_stderr_has 'left on the server: 1 message bigger than max-size (10 octets)'
	run --separate-stderr pophaul -l
	assert_output_has 'box: 1 message, 1000 octets, 1 of them new'
	start_fakepop -e 'messages 2'
	poll 'max-size = 10' -- -v
	assert_stderr_has 'left on the server: 2 messages bigger than max-size (10 octets)'
	run --separate-stderr pophaul -l
	assert_output_has 'box: 2 messages, 2000 octets, 2 of them new'
}

@test "what fails before the login says which host it was" {
	local case

	for case in 'greeting -ERR full|the server refused the connection' 'greeting nonsense|unexpected reply' \
		'drop|waiting for the greeting'; do
		start_fakepop -e "${case%|*}"
		poll -- -v
		assert_stderr_has "box: '$HOST': ${case#*|}"
	done
	start_fakepop --stls -e 'on STLS send -ERR no'
	poll
	assert_stderr_has "box: '$HOST': the server refused STLS"
}
