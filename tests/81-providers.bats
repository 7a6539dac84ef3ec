#!/usr/bin/env bats
# Providers as their users meet them, whole sessions at a time ("pop3 B1", "pop3 B2", as in 54): mailboxes that
# show a part of themselves, logins in two steps. What single replies of theirs look like is in 54.

load helper

setup() {
	default_setup
}

# is N STATUS COMMANDS MAIL: how the run just made ended, all that session N said, and the mail so far. A clock that
# runs 300 times as fast makes a slow disk's commit one in which the server hears NOOP, as it is to.
is() {
	[ "$status" -eq "$2" ] || fail "status is $status, not $2" "$stderr" "$(transcript "$1")"
	assert_equal "$(transcript "$1" | grep -vx NOOP | paste -sd ' ')" "$3"
	assert_equal "$(mails_here)" "$4"
}

# part N FIRST LAST: lines of script by which session N has the messages from FIRST to LAST of the six only; SHOWN.
part() {
	local n

	for n in 1 2 3 4 5 6; do
		[ "$n" -ge "$2" ] && [ "$n" -le "$3" ] || SHOWN+=("session $1 hide $n")
	done
}

GMAIL=('greeting +OK Gpop ready for requests from 192.0.2.1 d9443c01a7336-x' 'capa before USER' 'capa before RESP-CODES'
	'capa before EXPIRE 0' 'capa before LOGIN-DELAY 300' 'capa before TOP' 'capa before UIDL' 'capa before X-GOOGLE-RICO'
	'capa before SASL PLAIN XOAUTH2 OAUTHBEARER' 'capa after USER' 'capa after RESP-CODES' 'capa after EXPIRE 0'
	'capa after LOGIN-DELAY 300' 'capa after TOP' 'capa after UIDL' 'capa after X-GOOGLE-RICO'
	'capa after SASL PLAIN XOAUTH2 OAUTHBEARER')

# Gmail lists its oldest messages that no session has taken yet, and QUIT hides what was fetched.
serve_gmail() {
	mails {1..6}
	SHOWN=()
	part 1 1 2
	part 2 3 4
	part 3 5 6
	part 4+ 7 7
	serve "${GMAIL[@]}" "${MAILS[@]}" "${SHOWN[@]}"
}

@test "pop3 B1: Gmail, until-empty: a mailbox is emptied over several sessions, each waiting out LOGIN-DELAY" {
	serve_gmail
	use 'auth = "PLAIN"' 'until-empty = yes'
	# The clock runs 300 times as fast, so five minutes are a second.
	later '+0 x300' run --separate-stderr pophaul -v
	is 1 0 "CAPA AUTH PLAIN $(printf '\0jane\0secret' | base64) CAPA UIDL LIST RETR 1 RETR 2 QUIT" '1 2 3 4 5 6'
	is 4 0 "CAPA AUTH PLAIN $(printf '\0jane\0secret' | base64) CAPA UIDL LIST QUIT" '1 2 3 4 5 6'
	assert_equal "$(count_sessions)" 4
	assert_stderr_has 'another session in 300 s'
	# One line for the account, with the sum of all.
	assert_output_matches '^home: 6 messages, [0-9]+ octets, 0 left, 0 skipped, 0 failed'
	assert_equal "$(grep -c '^home:' <<<"$output")" 1
}

@test "pop3 B1: Gmail without until-empty: one session a run, and the next run goes on" {
	serve_gmail
	use 'auth = "PLAIN"'
	poll
	assert_status 0
	assert_equal "$(count_sessions) $(mails_here)" '1 1 2'
	later +301s poll
	assert_equal "$(count_sessions) $(mails_here)" '2 1 2 3 4'
}

@test "pop3 B1: Gmail, until-empty: a signal ends the wait for the next session, with a report of what is there" {
	serve_gmail
	use 'auth = "PLAIN"' 'until-empty = yes'
	timeout -k 5 60 "$POPHAUL" -v --log-format json >output 2>errors 3>&- &
	RUN=$!
	wait_until 20 grep -q 'another session in 300 s' errors
	kill "$RUN"
	wait "$RUN" || status=$?
	assert_equal "$status $(count_sessions) $(mails_here)" '75 1 1 2'
	assert_equal "$(grep -c '"account":"home","result":"ok","status":0,"fetched":2,' output)" 1
}

@test "pop3 B1: Gmail, until-empty: mail that cannot be delivered ends it, without QUIT, and is told once" {
	serve_gmail
	use 'auth = "PLAIN"' 'until-empty = yes' "deliver = \"pipe:sh -c 'grep -q 2 && exit 1; exit 0'\""
	poll
	assert_status 1
	assert_equal "$(count_sessions) $(transcript 1 | tail -n 1)" '1 RETR 2'
}

@test "until-empty: where a server asks for more than ten minutes between logins, the next run goes on" {
	mails 1 2
	serve "${MAILS[@]}" 'capa +LOGIN-DELAY 601'
	use 'until-empty = yes'
	poll -v
	assert_status 75
	assert_stderr_has 'until-empty: the server asks for 601 s between logins, so the next run goes on'
	assert_output_matches '^home: 2 messages, '
	assert_equal "$(count_sessions) $(mails_here)" '1 1 2'
}

@test "until-empty: a session that brings nothing new is the last, and a mailbox without mail has one" {
	mails 1 2 3
	serve "${MAILS[@]}" 'session 3+ hide 1' 'session 3+ hide 2' 'session 3+ hide 3'
	use 'until-empty = yes' 'keep = "forever"'
	poll
	assert_status 0
	assert_equal "$(count_sessions) $(mails_here)" '2 1 2 3'
	assert_equal "$(transcript 2 | grep -c RETR)" 0
	poll
	assert_equal "$(count_sessions)" 3
	poll --list
	poll --dry-run
	assert_equal "$(count_sessions)" 5
}

@test "until-empty: max-messages is the size of each session, deletions go on with them, the sum is of all" {
	mails {1..5}
	serve "${MAILS[@]}"
	use 'until-empty = yes' 'max-messages = 2' 'keep = "never"'
	poll --log-format json
	assert_status 0
	assert_equal "$(for n in 1 2 3 4; do asked "$n" RETR; done | paste -sd ';')" '1 2;1 2;1;'
	assert_equal "$(mails_here)" '1 2 3 4 5'
	assert_output_has '"result":"ok","status":0,"fetched":5,'
	assert_output_has '"deleted":5,"left":0,"skipped":0,"failed":0'
	assert_equal "$(grep -c . <<<"$output")" 1
}

@test "until-empty: a server that lists the same again under other ids brings nothing twice, and is left in the end" {
	mails 1 2
	serve "${MAILS[@]}" 'session 2 uidl-prefix b' 'session 3 uidl-prefix c' 'session 4+ uidl-prefix d'
	use 'until-empty = yes'
	poll
	assert_status 0
	assert_equal "$(count_sessions) $(mails_here)" '2 1 2'
}

@test "until-empty: a session that fails is the account's end, and its status; what came before is counted" {
	mails 1 2 3
	serve "${MAILS[@]}" 'session 2 on PASS send -ERR [IN-USE] later'
	use 'until-empty = yes' 'auth = "USER"' 'max-messages = 2'
	poll --log-format json
	assert_status 75
	assert_equal "$(count_sessions) $(mails_here)" '2 1 2'
	assert_output_has '"result":"server-temp","status":75,"fetched":2,'
	poll
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
}

@test "until-empty: accounts that have had no session come before further ones, and hosts keep their limit" {
	local name

	mails 1 2 3
	serve any-user "${MAILS[@]}"
	{
		for name in one two; do
			account "$name" "user = \"$name\"" 'until-empty = yes' 'max-messages = 2' 'auth = "USER"' \
				"deliver = \"maildir:$HOME/$name\""
		done
		echo 'jobs = 1'
	} | write_config
	poll
	assert_status 0
	assert_equal "$(sed -n 's/^[0-9]*> USER //p' "$TRANSCRIPT" | paste -sd ' ')" 'one two one one two two'
	assert_equal "$(count_files one/new) $(count_files two/new)" '3 3'
}

@test "pop3 B2: an nginx proxy: a list of its own before the login, another server behind it, and that server away" {
	mails 1 2 3
	serve 'greeting +OK POP3 ready' 'capa before TOP' 'capa before USER' 'capa before UIDL' \
		'capa before SASL PLAIN LOGIN CRAM-MD5' 'capa after CAPA' 'capa after TOP' 'capa after UIDL' 'capa after RESP-CODES' \
		'capa after PIPELINING' 'capa after AUTH-RESP-CODE' "${MAILS[@]}" \
		'session 2 on AUTH send -ERR internal server error; drop' 'session 3 drop' \
		'session 4 on AUTH send "-ERR [SYS/TEMP] Temporary authentication failure. [host:2026-11-28 12:00:00]"'
	use 'auth = "PLAIN"'
	poll -v
	is 1 0 "CAPA AUTH PLAIN $(printf '\0jane\0secret' | base64) CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT" '1 2 3'
	# The proxy is there and what it stands for is not: a matter of later, and no refused password.
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll
	assert_status 69
	poll
	assert_status 75
	assert_equal "$(grep -c '^fact failures' "$STATE/home.uidl")" 0
	poll
	is 5 0 "CAPA AUTH PLAIN $(printf '\0jane\0secret' | base64) CAPA UIDL LIST QUIT" '1 2 3'
}

@test "pop3 B2: hMailServer: neither AUTH nor CAPA behind the login, and an empty mailbox at the end of several sessions" {
	mails {1..3}
	serve 'greeting +OK POP3' 'capa USER' 'capa UIDL' 'capa TOP' "${MAILS[@]}" \
		'on AUTH send -ERR Invalid command in current state.' 'session 1 once on CAPA normal' \
		'session 2 once on CAPA normal' 'session 3 once on CAPA normal' 'on CAPA send -ERR Invalid command in current state.' \
		'on QUIT commit; send +OK POP3 server saying goodbye...'
	use 'until-empty = yes' 'max-messages = 2' 'keep = "never"'
	poll
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 DELE 1 DELE 2 QUIT' '1 2 3'
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 DELE 1 QUIT' '1 2 3'
	is 3 0 'CAPA USER jane PASS secret CAPA UIDL LIST QUIT' '1 2 3'
	assert_equal "$(count_sessions)" 3
}

@test "pop3 B2: qmail-pop3d: no CAPA, sizes of another end of line, and QUIT that says -ERR ends the sessions of a run" {
	mails {1..4}
	serve 'greeting +OK <1234.1795294020@host>' 'capa none' "${MAILS[@]}" 'size 1 23' 'size 2 23' 'size 3 23' 'size 4 23' \
		'session 1 on QUIT raw "-ERR unable to unlink all deleted messages\r\n+OK \r\n"'
	use 'until-empty = yes' 'max-messages = 2' 'keep = "never"'
	poll
	assert_status 75
	assert_equal "$(count_sessions) $(mails_here)" '1 1 2'
	# What that left is compared and deleted first, which brings nothing new; then comes the rest.
	poll
	assert_status 0
	assert_equal "$(asked 2 RETR) $(transcript_events 2 | grep -c '^deleted')" '1 2 2'
	poll
	assert_status 0
	assert_equal "$(count_sessions) $(mails_here)" '4 1 2 3 4'
}

@test "pop3 B2: Courier: UTF8 before each login, its ten seconds between sessions waited out, nothing behind PASS" {
	mails 1 2 3
	serve 'greeting +OK Hello there.' 'capa STLS' 'capa TOP' 'capa USER' 'capa LOGIN-DELAY 10' 'capa PIPELINING' 'capa UIDL' \
		'capa UTF8 USER' 'capa IMPLEMENTATION Courier Mail Server' "${MAILS[@]}" 'on UTF8 send +OK Ok' 'on PASS discard; normal'
	use 'until-empty = yes' 'max-messages = 2'
	later '+0 x20' run --separate-stderr pophaul -v
	is 1 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 QUIT' '1 2 3'
	is 2 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST RETR 3 QUIT' '1 2 3'
	is 3 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST QUIT' '1 2 3'
	assert_stderr_has 'another session in 10 s'
}
