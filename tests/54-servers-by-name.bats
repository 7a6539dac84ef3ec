#!/usr/bin/env bats
# Servers and providers as they are known to behave, by name: what is right for the user of each. The
# rules they break are in README; "pop3 B1" are providers, "pop3 B2" programs. Dovecot is a real one.

load helper

# poll [LINE…]: the account "box" of these lines; OPTIONS are the program's.
poll() {
	account box 'timeout = "2s"' "$@" | write_config
	run --separate-stderr pophaul "${OPTIONS[@]}"
}

# is N STATUS COMMANDS MAIL: how the run just made ended, all that session N said, and the mail so far.
is() {
	[ "$status" -eq "$2" ] || fail "status is $status, not $2" "$stderr" "$(transcript "$1")"
	assert_equal "$(transcript "$1" | paste -sd ' ')" "$3"
	assert_equal "$(mails_here)" "$4"
}

setup() {
	default_setup
	OPTIONS=()
	mails 1 2 3
}

# ---- programs ----

@test "pop3 B2: Dovecot, messages expunged by another session in mid-session: nothing is lost, nothing comes twice" {
	start_dovecot
	mkdir folder
	for n in {1..9}; do
		printf 'Subject: %d\n\ntext of %d\n' "$n" "$n" >"folder/$n"
	done
	put_messages folder jane
	# The first message's command lets another client delete the third, fourth and fifth.
	cat >deliver <<-EOF
		#!/bin/sh
		cat >"$HOME/one" && mv "$HOME/one" "$HOME/got.\$\$" || exit 75
		[ -e "$HOME/done" ] && exit 0
		touch "$HOME/done"
		exec python3 - <<PYTHON
		import poplib
		p = poplib.POP3("127.0.0.1", $PORT)
		p.user("jane"); p.pass_("secret")
		for n in (3, 4, 5):
		    p.dele(n)
		p.quit()
		PYTHON
	EOF
	chmod +x deliver
	poll 'keep = "never"' 'tls = "none"' 'pipelining = "off"' "deliver = \"pipe:$HOME/deliver\""
	[ "$status" -ne 0 ] || [ "$(cat got.* | grep -c '^Subject')" -ge 6 ]
	poll 'keep = "never"' 'tls = "none"' 'pipelining = "off"' "deliver = \"pipe:$HOME/deliver\""
	poll 'keep = "never"' 'tls = "none"' 'pipelining = "off"' "deliver = \"pipe:$HOME/deliver\""
	assert_status 0
	# The three were deleted by their owner before they were fetched, or came before.
	for n in 1 2 6 7 8 9; do
		assert_equal "$(cat got.* | grep -cx "Subject: $n")" 1
	done
	assert_equal "$(cat got.* | sed -n 's/^Subject: //p' | sort | uniq -d)" ''
	assert_equal "$(count_files "$DOVECOT_DIR"/mail/jane/Maildir/{new,cur})" 0
}

@test "pop3 B2: Dovecot cuts after twenty bad commands: three refusals in a row are enough to leave" {
	mails {1..30}
	serve "${MAILS[@]}" 'capa -PIPELINING' 'session 1 on /^RETR [2-9]/ send -ERR Message 2 expunged.' \
		'session 1 on /^RETR [123][0-9]/ send -ERR Message 10 expunged.'
	poll 'auth = "USER"'
	is 1 76 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 RETR 4 RETR 30 QUIT' 1
	assert_stderr_has 'the server refused several messages in a row: "Message 2 expunged."'
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" "$(seq -s ' ' 30)"
}

@test "pop3 B2: Dovecot, a message two octets longer than listed, and one of NULs, are what was sent" {
	start_dovecot
	mkdir folder
	printf 'Subject: 1\n\nno end' >folder/1
	printf 'Subject: 2\n\n\0\0a\0\n' >folder/2
	put_messages folder jane
	poll 'keep = "never"'
	assert_status 0
	assert_maildir_has folder Maildir
	assert_equal "$(count_files "$DOVECOT_DIR"/mail/jane/Maildir/{new,cur})" 0
}

@test "pop3 B2: Dovecot, a UIDL listing that ends in a cut forgets and fetches nothing" {
	serve "${MAILS[@]}" 'session 2 on UIDL send +OK; send 1 000000016b0202e5; drop'
	poll
	poll 'keep = "never"'
	is 2 69 'CAPA AUTH CRAM-MD5 '"$(transcript 2 | sed -n 3p)"' CAPA UIDL' '1 2 3'
	poll
	assert_status 0
	assert_equal "$(transcript 3 | tail -n 1) $(mails_here)" 'QUIT 1 2 3'
	run ! grep -q '^[23]> RETR' "$TRANSCRIPT"
}

COURIER=('greeting +OK Hello there.' 'capa SASL PLAIN LOGIN CRAM-MD5 CRAM-SHA1' 'capa STLS' 'capa TOP' 'capa USER'
	'capa PIPELINING' 'capa UIDL' 'capa UTF8 USER' 'capa IMPLEMENTATION Courier Mail Server')

@test "pop3 B2: Courier hands out originals, not wrappers: UTF8 comes before the login, and nothing behind PASS" {
	serve "${COURIER[@]}" "${MAILS[@]}" 'on UTF8 send +OK Ok' 'on PASS discard; normal' 'on USER discard; normal'
	poll 'auth = "USER"'
	is 1 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
}

@test "pop3 B2: Courier, a login of another minute is not asked for, and LOGIN-DELAY 10 waits for its time" {
	serve "${COURIER[@]}" 'capa LOGIN-DELAY 10' "${MAILS[@]}" 'session 2 on PASS send -ERR Login failed.'
	poll 'auth = "USER"'
	assert_status 0
	later +11s poll 'auth = "USER"'
	is 2 77 'CAPA UTF8 USER jane PASS secret' '1 2 3'
	assert_stderr_has 'the server refused the login with USER/PASS: "Login failed."'
	later +30s poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
}

@test "pop3 B2: Courier's ids of a full disk, and its later ids of their own, bring nothing twice" {
	serve "${COURIER[@]}" "${MAILS[@]}" 'session 2 uidl-prefix ENOMEM-' 'session 4+ uidl-prefix UID'
	poll 'auth = "USER"'
	for session in 2 3 4; do
		poll 'auth = "USER"'
		is "$session" 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	done
	poll 'auth = "USER"' 'keep = "never"'
	is 5 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
}

@test "pop3 B2: Courier of 2026 numbers anew behind a DELE: nothing is listed then, nothing else deleted" {
	serve "${COURIER[@]}" "${MAILS[@]}"
	poll 'auth = "USER"' 'keep = "never"'
	is 1 0 'CAPA UTF8 USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
	assert_equal "$(transcript_events 1 | grep deleted)" $'deleted 1 uid-1\ndeleted 2 uid-2\ndeleted 3 uid-3'
}

@test "pop3 B2: Courier's fifth connection is closed without a greeting: later, with a word" {
	serve 'session 1 drop' "${COURIER[@]}" "${MAILS[@]}"
	poll 'auth = "USER"'
	assert_status 69
	assert_stderr_has 'waiting for the greeting: the server closed the connection'
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
}

@test "pop3 B2: Cyrus ends a message with dot and CR alone: that message waits, those before it are delivered" {
	serve 'capa "IMPLEMENTATION Cyrus POP3"' 'capa UIDL' 'capa PIPELINING' "${MAILS[@]}" \
		'on RETR 2 raw "+OK Message follows\r\nSubject: 2\r\n\r\ntext of 2\r\n.\r"; stall'
	poll 'auth = "USER"'
	assert_status 69
	assert_stderr_has 'the server has been silent for 2 seconds'
	assert_equal "$(mails_here)" 1
	assert_equal "$(count_files Maildir/tmp)" 0
	run ! grep -q '> DELE' "$TRANSCRIPT"
}

@test "pop3 B2: Cyrus says +OK to QUIT and has deleted nothing: known all the same, and deleted again, for as long as it takes" {
	serve 'capa "IMPLEMENTATION Cyrus POP3"' 'capa UIDL' 'capa PIPELINING' "${MAILS[@]}" 'session 1-4 on QUIT send +OK' \
		'session 2+ message "Subject: 4\n\ntext of 4\n"' 'session 6+ message "Subject: 5\n\ntext of 5\n"'
	poll 'auth = "USER"' 'keep = "never"'
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
	for session in 2 3 4 5; do
		poll 'auth = "USER"' 'keep = "never"'
		is "$session" 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 RETR 4 DELE 1 DELE 2 DELE 3 DELE 4 QUIT' \
			'1 2 3 4'
		# Told once: the first time may be a passing trouble.
		if [ "$session" -eq 3 ]; then
			assert_stderr_has 'the server still lists 4 messages that it said it had deleted, as in the session before'
		else
			assert_equal "$stderr" ''
		fi
	done
	assert_equal "$(transcript_events 5 | grep -c '^deleted')" 4
	# Once all are gone, nothing is known of them.
	poll 'auth = "USER"' 'keep = "forever"'
	is 6 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 QUIT' '1 2 3 4 5'
	assert_equal "$(grep '^fact relisted' "$STATE/box.uidl" | tail -n 1)" 'fact relisted 0'
	assert_equal "$(grep '^gone' "$STATE/box.uidl" | sort -u -k 3 | awk '{ print $3 }' | paste -sd ' ')" 'uid-1 uid-2 uid-3 uid-4'
	assert_equal "$(grep '^drop' "$STATE/box.uidl" | awk '{ print $3 }' | sort | uniq -c | awk '{ print $2 "x" $1 }' | paste -sd ' ')" \
		"$(grep '^gone' "$STATE/box.uidl" | awk '{ print $3 }' | sort | uniq -c | awk '{ print $2 "x" $1 }' | paste -sd ' ')"
}

@test "pop3 B2: a Cyrus that does not delete: other mail under the id is new, and so is the same mail under another id" {
	serve "${MAILS[@]}" 'uidl 2 A' 'session 1-2 on QUIT send +OK' 'session 2+ replace 1 "Subject: 4\n\ntext of 4\n"' \
		'session 2+ message "Subject: 2\n\ntext of 2\n"'
	poll 'keep = "never"'
	assert_equal "$(mails_here)" '1 2 3'
	poll 'keep = "never"'
	assert_equal "$(mails_here)" '1 2 2 3 4'
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 2 3 4'
	assert_equal "$(transcript_events 3 | grep -c '^deleted')" 4
}

@test "pop3 B2: a server that does not delete, where messages are the same or share an id: all are known" {
	serve "${MAILS[@]}" 'message "Subject: 1\n\ntext of 1\n"' 'message "Subject: 1\n\ntext of 1\n"' 'uidl 2 S' 'uidl 3 S' 'uidl 5 S' \
		'session 1-2 on QUIT send +OK' 'session 3+ uidl 3 T'
	for session in 1 2; do
		poll 'keep = "never"'
		assert_equal "$(mails_here)" '1 1 1 2 3'
	done
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(mails_here)" '1 1 1 2 3 3'
	assert_equal "$(transcript_events 3 | grep -c '^deleted')" 5
}

@test "pop3 B2: a server that does not delete, and mail that is to be kept now, or longer: known, and left" {
	serve "${MAILS[@]}" 'session 1 on QUIT send +OK'
	poll 'keep = "never"'
	poll 'keep = "forever"'
	assert_status 0
	assert_equal "$(mails_here) $(transcript 2 | grep -c DELE)" '1 2 3 0'
	poll 'keep = "forever"'
	assert_equal "$(mails_here) $(transcript 3 | grep -c RETR)" '1 2 3 0'
}

@test "pop3 B2: Cyrus loses the end of a line with a NUL: the message is what it sends" {
	serve 'capa IMPLEMENTATION Cyrus POP3' 'capa UIDL' 'message "Subject: x\n\na\0b\nc\n"' \
		'on RETR raw "+OK\r\nSubject: x\r\n\r\nac\r\n.\r\n"'
	poll 'auth = "USER"' 'keep = "never"'
	assert_status 0
	assert_equal "$(cat Maildir/new/*)" $'Subject: x\n\nac'
	assert_equal "$(transcript_events 1 | grep -c deleted)" 1
}

@test "pop3 B2: qmail-pop3d knows no CAPA, adds a line, counts in LF, closes after a bad login, answers QUIT twice" {
	serve 'greeting +OK <1234.1795294020@host>' 'capa none' "${MAILS[@]}" 'size 1 22' 'size 2 22' 'size 3 22' \
		'on RETR 1 raw "+OK \r\nSubject: 1\r\n\r\ntext of 1\r\n\r\n.\r\n"' 'session 1 on PASS send -ERR authorization failed; drop' \
		'session 2 on QUIT raw "-ERR unable to unlink all deleted messages\r\n+OK \r\n"' 'uidl 2 1795294020.1234.host,S=22'
	poll
	is 1 77 'CAPA USER jane PASS secret' ''
	poll 'keep = "never"'
	assert_status 75
	assert_equal "$(grep -lc 'text of 1' Maildir/new/* | wc -l)" 1
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 3
	assert_equal "$(transcript_events 3 | grep -c '^deleted')" 3
}

@test "pop3 B2: mailutils writes EXPIRENEVER, lets senders choose ids, and its sizes change: all comes, once" {
	serve 'capa TOP' 'capa UIDL' 'capa RESP-CODES' 'capa PIPELINING' 'capa AUTH-RESP-CODE' 'capa EXPIRENEVER' 'capa USER' \
		"${MAILS[@]}" 'uidl 2 chosen' 'uidl 3 chosen' 'session 2+ size 1 99' 'session 2+ size 2 98' 'session 2+ size 3 97' \
		'session 3 on PASS send -ERR [IN-USE] Another pop3 session has the maildrop open'
	OPTIONS=(-v)
	poll 'auth = "USER"'
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	refute_stderr_has "'keep' says"
	OPTIONS=()
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
	poll 'auth = "USER"'
	is 3 75 'CAPA USER jane PASS secret' '1 2 3'
	assert_equal "$stderr" ''
	poll 'auth = "USER"' 'keep = "never"'
	assert_status 0
	assert_equal "$(mails_here) $(transcript_events 4 | grep -c '^deleted')" '1 2 3 3'
}

@test "pop3 B2: popa3d says nothing but +OK and -ERR and gives all messages one id: all come, once" {
	serve 'greeting +OK' 'capa none' "${MAILS[@]}" 'uidl 1 e5d698024160a5a2' 'uidl 2 e5d698024160a5a2' \
		'uidl 3 e5d698024160a5a2' 'session 1 hide 3' 'on PASS login; send +OK' 'on DELE raw "+OK\r\n"'
	poll
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 QUIT' '1 2'
	poll
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	poll
	is 3 0 'CAPA USER jane PASS secret CAPA UIDL LIST QUIT' '1 2 3'
}

@test "pop3 B2: solid-pop3d loses what is piped behind PASS, resets after a bad login, has one damaged message" {
	serve 'greeting +OK <1.2@host>' 'capa none' "${MAILS[@]}" 'session 1 on PASS send -ERR authentication failed; reset' \
		'session 2 on PASS send "-ERR message is damaged"; drop' 'on PASS discard; normal'
	poll
	is 1 77 'CAPA USER jane PASS secret' ''
	poll
	assert_status 77
	poll
	is 3 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
}

@test "pop3 B2: UW ipop3d: the lock without a code is a matter of later, its folder note is mail like another" {
	serve 'capa TOP' 'capa UIDL' 'capa USER' 'capa SASL CRAM-MD5' \
		"message \"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\\nX-IMAP: 1 2\\n\\ntext\\n\"" \
		"session 1 on PASS send -ERR Can't get lock.  Mailbox in use"
	poll 'auth = "USER"'
	is 1 75 'CAPA USER jane PASS secret' ''
	assert_equal "$stderr" ''
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(grep -c 'FOLDER INTERNAL DATA' Maildir/new/*)" 1
	assert_equal "$(transcript 2 | paste -sd ' ')" 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 QUIT'
}

@test "pop3 B2: Berkeley popper cuts lines at 1024, in two: what comes is delivered, and no dot of it ends the mail" {
	line=$(printf '%01022d' 7)
	serve 'capa none' 'messages 1' "on RETR raw \"+OK\\r\\nSubject: x\\r\\n\\r\\n$line\\r\\n.\\n$line\\r\\n.\\r\\n\""
	poll
	assert_status 0
	printf 'Subject: x\n\n%s\n\n%s\n' "$line" "$line" | cmp - Maildir/new/*
}

@test "pop3 B2: nginx and perdition have a list of their own, and PIPELINING after the login only" {
	serve 'capa before TOP' 'capa before USER' 'capa before UIDL' 'capa before SASL PLAIN LOGIN CRAM-MD5' \
		'capa after TOP' 'capa after UIDL' 'capa after RESP-CODES' 'capa after PIPELINING' 'capa after AUTH-RESP-CODE' \
		"${MAILS[@]}" 'session 2 on PASS send -ERR failed: Re-Authentication Failure' 'on PASS discard; normal'
	OPTIONS=(-v)
	poll 'auth = "USER"'
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	assert_stderr_has pipelining
	# perdition hides [IN-USE]: the account is not left alone after one refusal.
	poll 'auth = "USER"'
	assert_status 77
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
}

@test "pop3 B2: Zimbra's ids with a dot, and hMailServer without AUTH and without CAPA after the login" {
	serve "${MAILS[@]}" 'uidl 1 257.fO3Gb6+8WYnMLtR1Cq7oAQ==' 'uidl 2 258.x/y+z=' 'capa UIDL' 'capa USER' 'capa TOP' \
		'on AUTH send -ERR Invalid command in current state.' 'session 2+ once on CAPA normal' \
		'session 2+ on CAPA send -ERR Invalid command in current state.'
	poll
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	poll
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST QUIT' '1 2 3'
}

@test "pop3 B2: Citadel tells an unknown user at USER, estimates sizes, and its ids are message numbers" {
	serve 'capa TOP' 'capa USER' 'capa UIDL' 'capa IMPLEMENTATION Citadel 902' "${MAILS[@]}" 'uidl-prefix ""' \
		'size 1 50' 'size 2 51' 'size 3 49' 'session 1 on USER send -ERR No such user.'
	poll
	is 1 77 'CAPA USER jane' ''
	poll 'keep = "never"'
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
}

@test "pop3 B2: WildDuck lists 250 messages: the rest comes when these are gone, and is not taken for gone before" {
	mails {1..6}
	serve "${MAILS[@]}" 'session 1-2 hide 4' 'session 1-2 hide 5' 'session 1-2 hide 6' \
		'session 3 hide 1' 'session 3 hide 2' 'session 3 hide 3'
	poll 'auth = "USER"'
	poll 'auth = "USER"'
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST QUIT' '1 2 3'
	poll 'auth = "USER"'
	is 3 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3 4 5 6'
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3 4 5 6'
}

@test "pop3 B2: GreenMail leaves a dot behind a bare line feed unstuffed, and the mail does not end there" {
	serve 'messages 1' 'on RETR raw "+OK\r\nSubject: x\r\n\r\na\n.\nb\r\n.\r\n"'
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(cat Maildir/new/*)" $'Subject: x\n\na\n.\nb'
	assert_equal "$(transcript_events 1 | grep -c deleted)" 1
}

@test "pop3 B2: Stalwart, MailMax and others answer TOP with all or too little: mail is never taken from TOP" {
	serve "${MAILS[@]}" 'on TOP raw "+OK\r\nSubject: cut\r\n.\r\n"'
	OPTIONS=(-lv)
	poll
	assert_status 0
	OPTIONS=()
	poll 'auth = "USER"'
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	run ! grep -q '^2> TOP' "$TRANSCRIPT"
}

@test "pop3 B2: Twisted answers UIDL n and LIST n without the number: neither is asked" {
	serve "${MAILS[@]}" 'on /^(UIDL|LIST) ./ send +OK uid'
	poll 'auth = "USER"' 'keep = "never"'
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
}

@test "pop3 B2: Comcast's several blanks, +OK before each row, ids over 70 letters and with @ are known again" {
	long=$(printf '%0120d' 5)
	serve "${MAILS[@]}" "on UIDL raw \"+OK\\r\\n1   $long\\r\\n+OK 2    a@b\\r\\n+OK   3 \\xe9\\r\\n.\\r\\n\"" \
		'on LIST raw "+OK\r\n1    25\r\n+OK 2 25\r\n+OK  3   25\r\n.\r\n"'
	poll 'auth = "USER"'
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	poll 'auth = "USER"' 'keep = "never"'
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
}

@test "pop3 B2: servers that refuse one message with a text of theirs keep it, and give the others" {
	serve "${MAILS[@]}" 'on RETR 2 send -ERR Download exceed'
	poll 'auth = "USER"' 'keep = "never"'
	is 1 1 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 DELE 1 DELE 3 QUIT' '1 3'
	assert_stderr_has 'message 2 (uid-2): the server refuses it: "Download exceed"'
}

@test "pop3 B2: servers that say +OK where SASL wants a plus, or hang at CAPA, are told of or done without" {
	serve "${MAILS[@]}" 'on AUTH send +OK'
	poll 'auth = "LOGIN"'
	assert_status 77
	assert_stderr_has 'accepted the login before LOGIN was complete'
	run ! grep -q secret "$TRANSCRIPT"
	serve "${MAILS[@]}" 'session 1 on CAPA stall'
	poll 'auth = "USER"'
	is 2 0 'USER jane PASS secret UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
}

# ---- providers ----

@test "pop3 B1: Exchange's throttling as text is a matter of later; as a refused password it is one of several" {
	serve 'capa -AUTH-RESP-CODE' "${MAILS[@]}" 'session 1 on PASS send -ERR Server Unavailable. 21' \
		'session 2 on PASS send -ERR Logon failure: unknown user name or bad password.'
	poll 'auth = "USER"'
	is 1 75 'CAPA USER jane PASS secret' ''
	poll 'auth = "USER"'
	is 2 77 'CAPA USER jane PASS secret' ''
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
}

@test "pop3 B1: Exchange's sizes are estimates, its greeting has brackets, a move gives all other ids" {
	serve 'greeting +OK The Microsoft Exchange POP3 service is ready. [QgBOADcA]' "${MAILS[@]}" 'size 1 4096' 'size 2 1' \
		'session 2+ uidl-prefix AAAA'
	poll 'auth = "USER"'
	is 1 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 QUIT' '1 2 3'
	poll 'auth = "USER"' 'keep = "never"'
	is 2 0 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT' '1 2 3'
}

@test "pop3 B1: the old Exchange's end dot without CRLF before it: nothing of that message is delivered" {
	serve "${MAILS[@]}" 'on RETR 2 raw "+OK\r\nSubject: 2\r\n\r\ntext of 2.\r\n"; stall'
	poll 'auth = "USER"'
	assert_status 69
	assert_equal "$(mails_here)" 1
	assert_equal "$(count_files Maildir/tmp)" 0
}

@test "pop3 B1: Gmail's EXPIRE 0 and LOGIN-DELAY 300: told of, kept to, and no QUIT behind a failed delivery" {
	serve 'capa +EXPIRE 0' 'capa +LOGIN-DELAY 300' "${MAILS[@]}" delete-retrieved
	poll 'auth = "USER"' 'deliver = "pipe:sh -c \"exit 1\""'
	assert_status 1
	assert_equal "$(transcript 1 | paste -sd ' ')" 'CAPA USER jane PASS secret CAPA UIDL LIST RETR 1 RETR 2 RETR 3'
	poll 'auth = "USER"'
	assert_status 75
	assert_equal "$(count_sessions)" 1
	later +301s poll 'auth = "USER"' 'keep = "never"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
	assert_equal "$(transcript 2 | tail -n 1)" QUIT
}

@test "pop3 B1: old Hotmail's limit, and a server that is full at its greeting, are quiet matters of later" {
	serve 'capa -AUTH-RESP-CODE' 'session 1 on PASS send -ERR Exceeded the login limit for a 15 minute period. Reduce the frequency.' \
		'session 2 send "-ERR Connection refused, too many connections"' 'session 2 drop' "${MAILS[@]}"
	for session in 1 2; do
		poll 'auth = "USER"'
		assert_status 75
		assert_equal "$output$stderr" ''
	done
	poll 'auth = "USER"'
	assert_status 0
	assert_equal "$(mails_here)" '1 2 3'
}
