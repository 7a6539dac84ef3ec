#!/usr/bin/env bats
# What is known of a server holds when a connection breaks before the server says it again: that QUIT
# deletes what was sent (EXPIRE 0), that it has CAPA, that it wants UTF8. And what no server may
# say: a delay without end, mail without an id in silence.

load helper

setup() {
	default_setup
	ACCOUNT=('auth = "USER"')
}

# poll LINE…: the account polled, with these lines.
poll() {
	account box "${ACCOUNT[@]}" "$@" | write_config
	run --separate-stderr pophaul -v
}

# What connection N sent, in one line.
said() {
	transcript "$1" | paste -sd ' '
}

ended() {
	wait_until 10 grep -q "^$1\* end $2" "$TRANSCRIPT"
}

# Whether the state has this fact.
remembers() {
	grep "^fact $1 " "$STATE/box.uidl" | tail -n 1 | grep -q "^fact $1 [1-9][0-9]*\$"
}

LOGIN='CAPA USER jane PASS secret'
FAILS='deliver = "pipe:false"'
# What stands behind the lists of a session whose two messages are refused by the command.
RETRS='UIDL LIST RETR 1 RETR 2'

@test "EXPIRE 0 is remembered: CAPA that is refused in a later session does not lead to QUIT after a failure" {
	serve_anew 'messages 2' 'capa +EXPIRE 0' delete-retrieved 'session 1 hide 1' 'session 1 hide 2' \
		'session 2 on CAPA send -ERR not now'
	poll
	assert_status 0
	remembers expire0
	poll "$FAILS"
	assert_status 1
	assert_stderr_has 'leaving without QUIT, so that the server deletes nothing: 2 fetched messages not kept'
	assert_equal "$(said 2)" "$LOGIN CAPA $RETRS"
	ended 2 client
	poll
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 2
}

@test "EXPIRE 0 that one connection of a session has told holds for its next one, which breaks at CAPA" {
	serve_anew 'messages 2' 'capa +EXPIRE 0' delete-retrieved lock-step 'session 2 on CAPA send -ERR not now'
	poll "$FAILS"
	assert_status 1
	assert_stderr_has 'trying again in lock step'
	assert_stderr_has 'leaving without QUIT'
	assert_equal "$(said 2)" "$LOGIN CAPA $RETRS"
	ended 2 client
}

@test "a whole list without EXPIRE 0 ends it: QUIT is sent, and CAPA that is refused later changes nothing" {
	serve_anew 'messages 2' 'session 1 capa +EXPIRE 0' 'session 3 on CAPA send -ERR not now'
	poll "$FAILS"
	ended 1 client
	remembers expire0
	poll "$FAILS"
	assert_status 1
	ended 2 quit
	run ! remembers expire0
	remembers capa
	poll "$FAILS"
	assert_status 1
	assert_equal "$(said 3)" "$LOGIN CAPA $RETRS QUIT"
	ended 3 quit
}

@test "a connection that breaks once at CAPA is made again, and CAPA asked again: UTF8 is not forgotten" {
	local action

	for action in drop reset 'send +OK; send TOP; drop' 'send hello?'; do
		serve_anew 'messages 1' 'capa +UTF8' "session 1 on CAPA $action"
		poll
		assert_status 0
		refute_stderr_has 'the server breaks off at CAPA'
		assert_equal "$(said 2)" "CAPA UTF8 ${LOGIN#CAPA } CAPA UIDL LIST RETR 1 QUIT"
		remembers utf8
	done
}

@test "a server that answered CAPA once and breaks at it twice is tried next time; only then done without it" {
	serve_anew 'messages 2' 'capa +UTF8' 'capa +EXPIRE 0' delete-retrieved 'session 1 hide 1' 'session 1 hide 2' \
		'session 2-5 on CAPA drop'
	poll
	assert_status 0
	remembers capa
	poll "$FAILS"
	assert_status 69
	assert_stderr_has 'waiting for the reply to CAPA: the server closed the connection'
	assert_equal "$(count_sessions)" 3
	run ! remembers capa
	# What it said of itself is not forgotten with it.
	poll "$FAILS"
	assert_status 1
	assert_stderr_has 'the server breaks off at CAPA: connected again without it'
	assert_stderr_has 'leaving without QUIT'
	assert_equal "$(count_sessions)" 6
	assert_equal "$(said 6)" "UTF8 ${LOGIN#CAPA } $RETRS"
	ended 6 client
	poll
	assert_status 0
	assert_equal "$(said 7)" "CAPA UTF8 ${LOGIN#CAPA } CAPA $RETRS QUIT"
	remembers capa
	assert_equal "$(count_files Maildir/new)" 2
}

@test "where CAPA breaks every connection nobody knows what QUIT does: none is sent after a failure" {
	serve_anew 'messages 2' 'on CAPA drop'
	poll "$FAILS"
	assert_status 1
	assert_stderr_has 'leaving without QUIT, so that the server deletes nothing: 2 fetched messages not kept'
	assert_equal "$(said 3)" "${LOGIN#CAPA } $RETRS"
	ended 3 client
	poll
	assert_status 0
	assert_equal "$(said 6)" "${LOGIN#CAPA } $RETRS QUIT"
	assert_equal "$(count_files Maildir/new)" 2
}

@test "a server that hangs at CAPA is asked a second time only where it has answered it before" {
	serve_anew 'messages 1' 'session 1 on CAPA stall' 'session 4-5 on CAPA stall'
	poll 'timeout = "1s"'
	assert_status 0
	assert_stderr_has 'the server breaks off at CAPA: connected again without it'
	assert_equal "$(said 2)" "${LOGIN#CAPA } UIDL LIST RETR 1 QUIT"
	poll
	assert_status 0
	poll 'timeout = "1s"'
	assert_status 69
	assert_equal "$(count_sessions)" 5
	poll
	assert_status 0
}

@test "what is remembered is written when it changes, and survives that the file is written anew" {
	serve_anew 'messages 60' 'capa +UTF8' 'capa +EXPIRE 0' 'session 2+ message "Subject: x\n\nx\n"'
	poll 'keep = "never"'
	assert_status 0
	cp "$STATE/box.uidl" before
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(grep -c '^fact \(capa\|utf8\|expire0\) ' "$STATE/box.uidl")" 3
	remembers capa
	remembers utf8
	remembers expire0
	[ "$(wc -l <"$STATE/box.uidl")" -lt "$(wc -l <before)" ]
}

@test "--list and --dry-run know what is remembered, and write nothing" {
	serve_anew 'messages 1' 'capa +UTF8' 'session 2+ on CAPA send -ERR no'
	poll
	cp "$STATE/box.uidl" before
	for mode in --list --dry-run; do
		run --separate-stderr pophaul "$mode"
		assert_status 0
	done
	assert_equal "$(said 2)" "CAPA UTF8 ${LOGIN#CAPA } CAPA UIDL LIST QUIT"
	cmp before "$STATE/box.uidl"
}

@test "a message that LIST has and UIDL leaves out is told, and counts as skipped" {
	serve_anew 'messages 4' 'hide 2 UIDL' 'hide 3 UIDL'
	account box "${ACCOUNT[@]}" | write_config
	for _ in 1 2; do
		run --separate-stderr pophaul
		assert_status 0
		assert_equal "$stderr" "pophaul: box: without a unique id, so not fetched: 2 messages; LIST has number 2 and UIDL leaves it out"
	done
	assert_equal "$(count_files Maildir/new)" 2
	run --separate-stderr pophaul --log-format json -v
	assert_output_or_stderr_has '"skipped":2'
	assert_output_or_stderr_has '"left":4'
}

assert_output_or_stderr_has() {
	[[ $output$stderr == *"$1"* ]] || fail "no $1" "$output$stderr"
}

@test "one that comes between UIDL and LIST is the next session's, without a word" {
	serve_anew 'messages 3' 'session 1 hide 3 UIDL'
	account box "${ACCOUNT[@]}" | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$output$stderr" ''
	run --separate-stderr pophaul
	assert_equal "$(count_files Maildir/new)" 3
}

@test "no LOGIN-DELAY locks an account out for longer than a day" {
	serve_anew 'messages 1' 'capa +LOGIN-DELAY 300'
	poll
	assert_status 0
	sed -i 's/^\(fact login [0-9]*\) .*/\1 9223372036854775807/' "$STATE/box.uidl"
	"$TESTS/state-sum" "$STATE/box.uidl"
	poll
	assert_status 75
	assert_stderr_has 'the server asks for 86400 s between logins'
	later +86405s poll
	assert_status 0
	assert_equal "$(count_sessions)" 2
}
