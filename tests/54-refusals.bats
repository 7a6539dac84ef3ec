#!/usr/bin/env bats
# Servers that refuse single commands, and the matrix of broken servers that other fetchers were
# tried with ("pop3 B4"): the whole transcript, what arrived, the status, the message.

load helper

# slow_command ACTION: a command works on message 1 until the server has got NOOP, and answers it so.
slow_command() {
	mkdir "$1" && cd "$1" || return
	BATS_TEST_TMPDIR=$PWD
	default_setup
	start_fakepop -e 'messages 1' -e "session 1 on NOOP ${1//_/ }"
	cat >slow <<-EOS
		#!/bin/sh
		n=0
		until grep -q 'NOOP\$' "$TRANSCRIPT" || [ "\$n" -gt 600 ]; do
			n=\$((n + 1))
			sleep 0.1
		done
		sleep 0.2
		cat >>"$HOME/arrived"
	EOS
	chmod +x slow
	account slow 'timeout = "1s"' "deliver = \"pipe:$HOME/slow\"" 'keep = "never"' | write_config
	status=0
	pophaul 2>err || status=$?
	echo "$status" >first
	pophaul 2>>err || status=$?
	cp "$TRANSCRIPT" transcript
	stop_servers
	touch finished
}

# Polls that take twenty seconds begin first and are looked at last.
setup_file() {
	local action

	for action in drop send_-ERR send_+OK stall flood_0_+OK; do
		(cd "$BATS_FILE_TMPDIR" && slow_command "$action") >/dev/null 2>&1 3>&- &
	done
}

# poll LINE…: the account polled.
poll() {
	account box 'auth = "USER"' 'timeout = "1s"' "$@" | write_config
	run --separate-stderr pophaul
}

# session_is N COMMANDS: the whole transcript of session N behind the login and the listing.
session_is() {
	assert_equal "$(transcript "$1" | head -n 6 | paste -sd ' ')" 'CAPA USER jane PASS secret CAPA UIDL LIST'
	assert_equal "$(transcript "$1" | tail -n +7 | paste -sd ' ')" "$2"
}

# ended_with STATUS [MESSAGE…]: the status, and all of what was said.
ended_with() {
	assert_status "$1"
	assert_equal "$output$stderr" "$(printf 'pophaul: box: %s\n' "${@:2}" | sed '/: $/d')"
}

# The messages here, by the numbers of generated ones.
here() {
	find Maildir -type f -exec sed -n 's/^Subject: Generated message //p' {} + | sort -n | paste -sd ' '
}

@test "one RETR in ten is refused: the nine others arrive and are deleted, the tenth comes next time" {
	serve_anew 'messages 10' 'session 1 on RETR 10 send -ERR not now'
	poll 'keep = "never"'
	ended_with 1 'message 10 (uid-10): the server refuses it: "not now"'
	session_is 1 "$(seq -f 'RETR %g' -s ' ' 10) $(seq -f 'DELE %g' -s ' ' 9) QUIT"
	assert_equal "$(here)" '1 2 3 4 5 6 7 8 9'
	poll 'keep = "never"'
	ended_with 0
	session_is 2 'RETR 1 DELE 1 QUIT'
	assert_equal "$(here)" "$(seq -s ' ' 10)"
}

@test "refusals that are the messages' own stop nothing; with a code, or when the last message is refused too, they stop the account until next time" {
	serve_anew 'messages 8' 'capa -PIPELINING' 'session 1 on RETR 2 send -ERR a' 'session 1 on RETR 3 send -ERR b'
	poll 'keep = "never"'
	ended_with 1 'message 2 (uid-2): the server refuses it: "a"' 'message 3 (uid-3): the server refuses it: "b"'
	session_is 1 "$(seq -f 'RETR %g' -s ' ' 8) DELE 1 DELE 4 DELE 5 DELE 6 DELE 7 DELE 8 QUIT"
	for way in +PIPELINING -PIPELINING; do
		serve_anew 'messages 8' "capa $way" 'on /^RETR [234]/ send -ERR no'
		poll 'keep = "never"'
		ended_with 1 'message 2 (uid-2): the server refuses it: "no"' \
			'message 3 (uid-3): the server refuses it: "no"' 'message 4 (uid-4): the server refuses it: "no"'
		assert_equal "$way: $(here)" "$way: 1 5 6 7 8"
		assert_equal "$(transcript_events 1 | grep -c '^deleted')" 5
	done
	assert_equal "$(transcript 1 | grep '^RETR' | paste -sd ' ')" \
		'RETR 1 RETR 2 RETR 3 RETR 4 RETR 8 RETR 5 RETR 6 RETR 7'
	serve_anew 'messages 8' 'capa -PIPELINING' 'session 1 on /^RETR [2348]/ send -ERR no'
	poll 'keep = "never"'
	assert_status 76
	assert_stderr_has 'the server refused several messages in a row: "no"'
	session_is 1 'RETR 1 RETR 2 RETR 3 RETR 4 RETR 8 DELE 1 QUIT'
	poll 'keep = "never"'
	ended_with 0
	session_is 2 "$(seq -f 'RETR %g' -s ' ' 7) $(seq -f 'DELE %g' -s ' ' 7) QUIT"
	assert_equal "$(here)" "$(seq -s ' ' 8)"
	serve_anew 'messages 8' 'capa -PIPELINING' 'session 1 on /^RETR [234]/ send -ERR [SYS/TEMP] no'
	poll 'keep = "never"'
	assert_status 75
	session_is 1 'RETR 1 RETR 2 RETR 3 RETR 4 DELE 1 QUIT'
}

@test "+OK alone is an answer to every command that asks for one line" {
	serve_anew 'messages 2' 'greeting +OK' 'capa +UTF8' 'on UTF8 send +OK' 'on USER send +OK' 'on PASS login; send +OK' \
		'on DELE send +OK' 'on QUIT send +OK'
	poll 'keep = "never"'
	ended_with 0
	assert_equal "$(here)" '1 2'
}

@test "what begins as a status is one, whatever it goes on with" {
	serve_anew 'messages 3' 'on USER send +OKAY' 'on PASS login; send +OK.' 'on RETR 1 send -ERROR: gone' \
		'on RETR 3 raw "+OKAY\r\nSubject: Generated message 3\r\n\r\nx\r\n.\r\n"' 'on DELE send +ok' 'on QUIT commit; send +Ok,bye'
	poll 'keep = "never"'
	ended_with 1 'message 1 (uid-1): the server refuses it: "OR: gone"'
	assert_equal "$(here)" '2 3'
}

@test "a status that is none ends the session, and nothing is delivered or deleted by it" {
	local status_line

	for status_line in '-ERROR' ' +OK' 'junk' '\x00+OK' '+\x00OK' ''; do
		serve_anew 'messages 3' 'capa -PIPELINING' "session 1 on RETR 2 raw \"$status_line\\r\\nSubject: x\\r\\n\\r\\nx\\r\\n.\\r\\n\""
		poll 'keep = "never"'
		assert_equal "$status_line: $(here) $(count_files Maildir/tmp)" "$status_line: 1 0"
		assert_status 76
		session_is 1 'RETR 1 RETR 2'
		poll 'keep = "never"'
		assert_status 0
		assert_equal "$(here)" '1 2 3'
	done
}

@test "replies that end in LF alone are replies; texts do not" {
	serve_anew 'messages 2' 'on USER raw "+OK\n"' 'on PASS login; raw "+OK\n"' 'on UIDL raw "+OK\n1 uid-1\n2 uid-2\n.\n"' \
		'on LIST raw "+OK\n1 1000\n2 1000\n.\n"' 'on DELE raw "+OK\n"' 'on QUIT raw "+OK\n"'
	poll 'keep = "never"'
	ended_with 0
	assert_equal "$(here)" '1 2'
}

# A refusal of CAPA means that nothing is known, so that there it is the hang-up that is told.
@test "a passing trouble on any command but CAPA ends quietly and later, wherever the server then hangs up" {
	local row command wanted text

	for row in 'CAPA|69|pophaul: box: waiting for the reply to USER: the server closed the connection' \
		'USER|75|' 'PASS|75|' 'UIDL|75|' 'LIST|75|'; do
		IFS='|' read -r command wanted text <<<"$row"
		serve_anew 'messages 2' 'capa -PIPELINING' "session 1 on $command send -ERR [SYS/TEMP] autologout; drop"
		poll 'keep = "never"'
		# Whether our USER was on its way when the server hung up is a matter of time.
		[ "$command" != CAPA ] || stderr=${stderr/connection lost: Connection reset by peer/the server closed the connection}
		assert_equal "$command: $status $output$stderr" "$command: $wanted $text"
		assert_equal "$(count_files Maildir)" 0
		poll 'keep = "never"'
		assert_equal "$command: $status $output$stderr" "$command: 0 "
		assert_equal "$(here)" '1 2'
	done
}

# ---- the matrix ----

@test "pop3 B4: duplicate, empty and long UIDLs: all arrive, and once" {
	serve_anew 'messages 5' 'uidl 1 same' 'uidl 2 same' 'uidl 3 same' 'uidl 4 ""' "uidl 5 $(printf '%0600d' 5)"
	poll
	ended_with 0
	assert_equal "$(here)" '1 2 3 4 5'
	poll
	ended_with 0
	session_is 2 QUIT
}

@test "pop3 B4: cut inside RETR: no part of it is delivered" {
	serve_anew 'messages 3' 'session 1 on RETR 2 cut 500'
	poll
	ended_with 69 'message 2 (uid-2): it did not come to its end' 'in the middle of message 2: the server closed the connection'
	assert_equal "$(here) $(count_files Maildir)" '1 1'
	poll
	ended_with 0
	session_is 2 'RETR 1 RETR 2 RETR 3 QUIT'
}

@test "pop3 B4: RETR 2 -ERR: the others arrive, and the status says so" {
	serve_anew 'messages 3' 'on RETR 2 send -ERR no'
	poll
	ended_with 1 'message 2 (uid-2): the server refuses it: "no"'
	session_is 1 'RETR 1 RETR 2 RETR 3 QUIT'
	assert_equal "$(here)" '1 3'
}

@test "pop3 B4: bare-LF dot, dot with NUL, NUL and 8-bit, 70 kB line, bare CR: octet by octet" {
	mkdir wanted
	printf 'S: 1\n\na\n.\nb\n' >wanted/1
	printf 'S: 2\n\n\0b\n' >wanted/2
	printf 'S: 3\n\n\0\xe4\xff\n' >wanted/3
	printf 'S: 4\n\n%070000d\n' 0 >wanted/4
	printf 'S: 5\n\na\rb\n' >wanted/5
	printf '+OK\r\nS: 4\r\n\r\n%070000d\r\n.\r\n' 0 >line
	serve_anew 'messages 5' 'on RETR 1 raw "+OK\r\nS: 1\r\n\r\na\n.\nb\r\n.\r\n"' 'on RETR 2 raw "+OK\r\nS: 2\r\n\r\n.\x00b\r\n.\r\n"' \
		'on RETR 3 raw "+OK\r\nS: 3\r\n\r\n\x00\xe4\xff\r\n.\r\n"' "on RETR 4 content $HOME/line" \
		'on RETR 5 raw "+OK\r\nS: 5\r\n\r\na\rb\r\n.\r\n"'
	poll
	ended_with 0
	assert_maildir_has wanted Maildir
}

@test "pop3 B4: no CRLF before the end dot: only time can tell; nothing of it is delivered" {
	serve_anew 'messages 3' 'session 1 on RETR 2 raw "+OK\r\nSubject: x\r\n\r\nlastline.\r\n"; stall'
	poll
	ended_with 69 'message 2 (uid-2): it did not come to its end' 'in the middle of message 2: the server has been silent for 1 second'
	assert_equal "$(here) $(count_files Maildir)" '1 1'
}

@test "pop3 B4: DELE -ERR and QUIT -ERR: told, and nothing is fetched again for it" {
	serve_anew 'messages 3' 'session 1 on DELE 1 send -ERR no'
	poll 'keep = "never"'
	ended_with 1 'message 1 (uid-1): kept here, but the server does not delete it: "no"'
	session_is 1 'RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT'
	poll 'keep = "never"'
	ended_with 0
	session_is 2 'DELE 1 QUIT'
	serve_anew 'messages 3' 'session 1 on QUIT send -ERR some deleted messages not removed'
	poll 'keep = "never"'
	assert_status 75
	assert_equal "$(here)" '1 2 3'
	poll 'keep = "never"'
	ended_with 0
	assert_equal "$(here)" '1 2 3'
}

@test "pop3 B4: an empty listing once, then all back; a listing that is cut: nothing comes again" {
	serve_anew 'messages 3' 'session 2 hide 1' 'session 2 hide 2' 'session 2 hide 3' 'session 4 on UIDL send +OK; send 1 uid-1; drop'
	poll
	poll
	ended_with 0
	poll
	ended_with 0
	assert_equal "$(here)" '1 2 3'
	poll
	ended_with 69 'in the middle of the reply to UIDL: the server closed the connection'
	poll
	ended_with 0
	session_is 5 QUIT
	assert_equal "$(here)" '1 2 3'
}

@test "pop3 B4: a command that exits with 75 on message 2: no QUIT where that would delete, and it comes later" {
	serve_anew 'messages 3' 'capa +EXPIRE 0' delete-retrieved
	touch later
	poll "deliver = \"pipe:sh -c 'cat >$HOME/one; if grep -q -e \\\"message 2\$\\\" $HOME/one && [ -e $HOME/later ]; then exit 75; fi; cat $HOME/one >>$HOME/arrived'\""
	assert_equal "$(grep -c '^1> QUIT' "$TRANSCRIPT")" 0
	assert_equal "$(grep -c '^1\* deleted' "$TRANSCRIPT")" 0
	assert_equal "$(sed -n 's/^Subject: Generated message //p' arrived | paste -sd ' ')" '1 3'
}

# ---- the polls that setup_file began ----

@test "NOOP answered in any way, without end, or by hanging up: what the command took is here once, and deleted once" {
	local action first

	for action in drop send_-ERR send_+OK stall flood_0_+OK; do
		cd "$BATS_FILE_TMPDIR/$action/home"
		wait_until 60 test -e finished
		case $action in
		send*) first=0 ;;
		flood*) first=76 ;;
		*) first=69 ;;
		esac
		assert_equal "$action: $(<first)" "$action: $first"
		assert_equal "$action: $(grep -c '^Subject:' arrived)" "$action: 1"
		assert_equal "$action: $(grep -c '\* deleted 1 uid-1' transcript)" "$action: 1"
		assert_equal "$action: $(grep -c '> RETR' transcript)" "$action: 1"
	done
}
