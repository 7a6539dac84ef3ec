#!/usr/bin/env bats
# POP3 as a client must speak it, and servers as they are. "pop3 rule N" is a rule of the list in README.

load helper
load resolver

# fetch [LINE…]: poll an account of these lines, "box", that logs in with USER and PASS; OPTIONS are the program's.
fetch() {
	local line auth='auth = "USER"'

	for line in "$@"; do
		[[ $line == auth\ * ]] && auth=
	done
	account box ${auth:+"$auth"} "$@" | write_config
	run --separate-stderr pophaul "${OPTIONS[@]}"
}

# forget: the account and its mail begin anew.
forget() {
	rm -rf "$STATE" "$HOME/Maildir"
}

# refused STATUS TEXT LINE…: a server of these lines of script ends a poll with this status and this text.
refused() {
	local wanted=$1 text=$2

	shift 2
	forget
	serve "$@"
	OPTIONS=(-v)
	fetch 'timeout = "1s"'
	if [ "$status" -ne "$wanted" ] || [[ $stderr != *"$text"* ]]; then
		fail "script: $(cut -c 1-500 <<<"$*")" "wanted $wanted: $text" "got $status: $stderr"
	fi
	stop_servers
}

# The number of messages in the Maildir.
delivered() {
	count_files "$HOME/Maildir/new"
}

flights() {
	transcript_events "${1:-1}" | sed -n 's/^end .*flights=//p'
}

# Control octets that are none of a text's would move the cursor, or worse.
refute_control_octets() {
	local found

	found=$(tr -d '\n\t\040-\176' <"$1" | wc -c)
	[ "$found" -eq 0 ] || fail "$found octets of $1 are not printable" "$(cat -v "$1")"
}

# The poll that takes longest begins first and is looked at last.
setup_file() {
	(
		BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
		default_setup
		serve 'messages 1'
		cat >slow <<-EOF
			#!/bin/sh
			n=0
			until grep -q 'NOOP$' "$TRANSCRIPT" || [ "\$n" -gt 600 ]; do
				n=\$((n + 1))
				sleep 0.1
			done
			cat >"$HOME/slow.eml"
		EOF
		chmod +x slow
		account slow 'auth = "USER"' "deliver = \"pipe:$HOME/slow\"" 'keep = "never"' | write_config
		status=0
		pophaul || status=$?
		echo "$status" >slow.status
		stop_servers
	) >"$BATS_FILE_TMPDIR/slow.log" 2>&1 3>&- &
}

setup() {
	default_setup
	OPTIONS=()
}

# ---- commands and replies ----

@test "a session is these commands, each a line with CRLF (pop3 rule 1)" {
	serve 'messages 2'
	fetch 'keep = "never"'
	assert_status 0
	assert_transcript <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
		RETR 1
		RETR 2
		DELE 1
		DELE 2
		QUIT
	EOF
	run ! grep -q 'bare LF' "$TRANSCRIPT"
}

@test "a user or password that would end its line is refused before any of it is sent (pop3 rule 1)" {
	serve 'messages 2'
	for line in 'user = "jane\r\nDELE 1"' 'user = "jane\nDELE 1"' 'password = "secret\r\nDELE 1"' \
		'password = "se\ncret"'; do
		fetch "$line"
		assert_status 78
		[[ $stderr =~ :3:\ (user|password):\ .*line\ end ]] || fail "stderr: $stderr"
	done
	run ! grep -q 'DELE\|USER\|PASS' "$TRANSCRIPT"
}

@test "a status alone is a reply, in any case of letters (pop3 rule 2)" {
	serve 'messages 1' 'greeting +ok' 'on USER send +Ok' 'on PASS login; send +oK' \
		'on RETR raw "+OK\r\nSubject: x\r\n\r\nx\r\n.\r\n"' 'on DELE raw "+OK\n"' 'on QUIT commit; send +OK'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 1
	refused 75 'the server refused the login with USER/PASS: ""' 'on PASS send -err'
}

@test "a line without a status is no reply (pop3 rule 2)" {
	refused 76 'unexpected reply to the connection: "hello"' 'greeting hello'
	refused 76 'unexpected reply to USER: "OK"' 'on USER send OK'
	refused 76 'unexpected reply to UIDL: "* 1 EXISTS"' 'on UIDL send * 1 EXISTS'
	refused 76 'neither +OK nor -ERR: "250 fine"' 'messages 1' 'on RETR send 250 fine'
}

@test "what a reply says behind its status decides nothing (pop3 rule 3)" {
	serve 'messages 2' 'on PASS login; send +OK -ERR [AUTH] no such user' \
		'on UIDL raw "+OK 99 messages (0 octets)\r\n1 a\r\n2 b\r\n.\r\n"' \
		'on LIST raw "+OK 0 messages\r\n1 1000\r\n2 1000\r\n.\r\n"' \
		'on RETR 1 raw "+OK 1 octets, -ERR behind\r\nSubject: x\r\n\r\nlonger\r\n.\r\n"'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 2
	grep -q '^longer$' Maildir/new/*
}

@test "long reply lines are taken, endless ones are not (pop3 rule 4)" {
	printf '+OK %05000d\r\n' 0 >long
	serve 'messages 1' "content $HOME/long" 'on PASS login; content '"$HOME/long"
	fetch
	assert_status 0
	yes 1234567 | tr -d '\n' | head -c 200000 >endless
	for command in USER UIDL LIST RETR; do
		refused 76 'a line of more than 65536 octets' 'messages 1' "on $command content $HOME/endless; stall"
	done
	refused 76 'a line of more than 65536 octets' "content $HOME/endless" stall
	serve 'messages 1' "on CAPA content $HOME/endless; stall"
	fetch
	assert_status 0
	assert_equal "$(count_sessions)" 3
}

@test "a line of a message may be of any length (pop3 rule 4)" {
	{ printf 'Subject: long\n\n' && yes 1234567 | tr -d '\n' | head -c 3000000 && echo; } >long.eml
	mkdir folder
	mv long.eml folder
	start_fakepop --folder folder
	fetch
	assert_status 0
	assert_maildir_has folder Maildir
}

@test "long user names and passwords are sent whole; long AUTH lines are not sent (pop3 rules 5, 45)" {
	user=$(printf '%0120d' 7)@example.org password=$(printf '%0200d' 8)
	serve 'messages 1' "user $user" "password $password"
	fetch "user = \"$user\"" "password = \"$password\""
	assert_status 0
	transcript | grep -qx "PASS $password"
	forget
	start_fakepop -e 'messages 1' -e "user $user" -e "password $password" --tls
	fetch "user = \"$user\"" "password = \"$password\"" 'auth = "PLAIN"'
	assert_status 0
	assert_equal "$(delivered)" 1
	transcript | grep -qx 'AUTH PLAIN'
	assert_equal "$(transcript | sed -n 3p | base64 -d | tr '\0' ' ')" " $user $password"
}

@test "a message ends at CRLF dot CRLF alone, and stuffed dots are taken out (pop3 rule 6)" {
	serve 'messages 3' \
		'on RETR 1 raw "+OK\r\nS: 1\r\n\r\na\n.\nb\r\n.\r\n"' \
		'on RETR 2 raw "+OK\r\nS: 2\r\n\r\n..\r\n...a\r\n.\x00b\r\nc\n.\r\nd\r\n.\r\n"' \
		'on RETR 3 raw "+OK\r\nS: 3\r\n\r\na\r.\r\nb\n\r\n.\r\n"'
	fetch
	assert_status 0
	mkdir wanted
	printf 'S: 1\n\na\n.\nb\n' >wanted/1
	printf 'S: 2\n\n.\n..a\n\0b\nc\n.\nd\n' >wanted/2
	printf 'S: 3\n\na\r.\nb\n\n' >wanted/3
	assert_maildir_has wanted Maildir
}

@test "the end of a message is found however the octets are cut into packets (pop3 rule 6)" {
	corpus folder
	rm folder/*large* || :
	find folder -size +40k -delete
	start_fakepop --folder folder -e 'on RETR drip 7 0; normal'
	fetch
	assert_status 0
	assert_maildir_has folder Maildir
}

@test "LIST may say more than a size, and sizes may be huge, negative or missing (pop3 rule 7)" {
	serve 'messages 6' 'size 1 1000 octets' 'size 2 4294967297' 'size 3 -1' 'size 4 99999999999999999999999' \
		'hide 5 LIST' 'size 6 many'
	OPTIONS=(-l)
	fetch
	assert_status 0
	assert_output_has 4294967297
	OPTIONS=()
	fetch
	assert_status 0
	assert_equal "$(delivered)" 6
}

@test "an empty mailbox is two empty listings (pop3 rule 8)" {
	serve 'messages 0'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$output$stderr" ''
	assert_transcript <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
		QUIT
	EOF
}

@test "message numbers stay what they were until QUIT (pop3 rule 8)" {
	serve 'messages 4' 'session 2+ hide 2'
	fetch
	assert_status 0
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(transcript 2 | grep DELE)" $'DELE 1\nDELE 2\nDELE 3'
	assert_equal "$(transcript_events 2 | grep deleted)" $'deleted 1 uid-1\ndeleted 2 uid-3\ndeleted 3 uid-4'
}

@test "tabs, several blanks and words behind the numbers are no matter (pop3 rule 9)" {
	serve 'messages 2' \
		'on UIDL raw "+OK\r\n1 \t a-1\r\n+OK 2  b-2  \r\n.\r\n"' \
		'on LIST raw "+OK\r\n 1\t1000\r\n2   1000 octets\r\n.\r\n"'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 2
	grep -q ' a-1$' "$STATE/box.uidl"
	grep -q ' b-2$' "$STATE/box.uidl"
}

# ---- states ----

@test "without QUIT nothing is deleted, and nothing is delivered again (pop3 rule 11)" {
	serve 'messages 3' 'once on QUIT drop'
	fetch 'keep = "never"'
	assert_status 69
	assert_stderr_has 'deletions are not confirmed: waiting for the reply to QUIT: the server closed the connection'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 3
	# Whether these are the messages that were to be deleted is compared before it is done.
	assert_transcript 2 <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
		RETR 1
		RETR 2
		RETR 3
		DELE 1
		DELE 2
		DELE 3
		QUIT
	EOF
	assert_equal "$(transcript_events 1 | grep deleted)" ''
	assert_equal "$(transcript_events 2 | grep -c deleted)" 3
}

@test "deletions that QUIT confirmed to nobody are noticed to have happened (pop3 rule 11)" {
	serve 'messages 3' 'session 2 message "Subject: new\n\nnew\n"' 'once on QUIT commit; drop'
	fetch 'keep = "never"'
	assert_status 69
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 4
	transcript 2 | grep -qx 'RETR 1'
}

@test "-ERR to QUIT leaves it open what was deleted: the next listing tells (pop3 rule 12)" {
	serve 'messages 2' 'once on QUIT send -ERR some deleted messages not removed'
	OPTIONS=(-v)
	fetch 'keep = "never"'
	assert_status 75
	assert_stderr_has 'the server refused QUIT, so some messages may not be deleted: "some deleted messages not removed"'
	OPTIONS=()
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 2
	assert_equal "$(transcript 2 | grep -E '^(RETR|DELE)' | paste -sd ' ')" 'RETR 1 RETR 2 DELE 1 DELE 2'
}

@test "two replies to QUIT are as good as the first (pop3 rule 12)" {
	serve 'messages 2' 'on QUIT raw "-ERR unable to unlink all deleted messages\r\n+OK\r\n"'
	fetch 'keep = "never"'
	assert_status 75
	grep -c '^got ' "$STATE/box.uidl"
	run ! grep -q '^bye ' "$STATE/box.uidl"
}

@test "-ERR to DELE is told, and the other messages are deleted" {
	serve 'messages 3' 'on DELE 2 send -ERR not this one'
	fetch 'keep = "never"'
	assert_status 1
	assert_stderr_has 'message 2 (uid-2): kept here, but the server does not delete it: "not this one"'
	assert_equal "$(transcript_events | grep deleted)" $'deleted 1 uid-1\ndeleted 3 uid-3'
	assert_equal "$(delivered)" 3
}

@test "a server that deletes what it has sent keeps what could not be delivered (pop3 rules 13, 27)" {
	serve 'messages 3' delete-retrieved 'capa +EXPIRE 0'
	printf '#!/bin/sh\ncat >/dev/null\n[ ! -e "%s/fail" ]\n' "$HOME" >deliver
	chmod +x deliver
	touch fail
	fetch "deliver = \"pipe:$HOME/deliver\""
	assert_status 1
	assert_stderr_has 'leaving without QUIT, so that the server deletes nothing'
	run ! grep -q '^1> QUIT' "$TRANSCRIPT"
	run ! grep -q '^1\* deleted' "$TRANSCRIPT"
	rm fail
	fetch "deliver = \"pipe:$HOME/deliver\""
	assert_status 0
	assert_equal "$(transcript 2 | grep -c '^RETR')" 3
	transcript 2 | grep -qx QUIT
}

@test "quit-after-failure = no does the same for a server that does not say so (pop3 rule 13)" {
	serve 'messages 2' delete-retrieved
	fetch 'deliver = "pipe:false"' 'quit-after-failure = "no"'
	assert_status 1
	run ! grep -q '^1> QUIT' "$TRANSCRIPT"
	fetch 'deliver = "pipe:false"'
	assert_status 1
	assert_equal "$(transcript 2 | tail -n 1)" QUIT
}

@test "a refused password is not tried again (pop3 rule 14)" {
	serve 'messages 1'
	fetch 'password = "wrong"'
	assert_status 77
	assert_stderr_has 'the server refused the login with USER/PASS: "[AUTH] Authentication failed."'
	assert_transcript <<-'EOF'
		CAPA
		USER jane
		PASS wrong
	EOF
	assert_equal "$(count_sessions)" 1
}

@test "RETR and DELE are enough of a server when nothing is to be kept (pop3 rule 15)" {
	serve 'messages 2' 'capa none' 'on /^(UIDL|TOP|APOP|AUTH|STAT|NOOP|UTF8|LANG)/ send -ERR unknown command'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 2
	assert_transcript <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
		RETR 1
		RETR 2
	NOOP
		DELE 1
		DELE 2
	NOOP
		QUIT
	EOF
}

@test "a server without UIDL cannot keep mail, and is left alone when it should (pop3 rule 15)" {
	serve 'messages 2' 'capa -UIDL' 'on UIDL send -ERR unknown command'
	fetch
	assert_status 78
	assert_stderr_has UIDL
	run ! grep -q '> RETR\|> DELE' "$TRANSCRIPT"
}

# ---- UIDL ----

@test "UIDs may be long, empty, twice the same, and are the octets that they are (pop3 rules 16, 17, 18)" {
	serve 'messages 8' 'uidl 1 a/b:c@d<e>%f,g' 'uidl 2 A/B:C@D<E>%F,G' 'uidl 3 twice' 'uidl 4 twice' \
		"uidl 5 $(printf '%04000d' 5)" 'uidl 6 ""' 'uidl 7 "two words \xe4"' 'uidl 8 %41'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 8
	fetch
	assert_status 0
	assert_equal "$(delivered)" 8
	run ! grep -q '^2> RETR' "$TRANSCRIPT"
}

@test "UIDL that is announced and fails is a trouble of today, not a reason to fetch all again (pop3 rule 19)" {
	serve 'messages 2' 'once on UIDL normal' 'on UIDL send -ERR cannot now'
	fetch
	assert_status 0
	OPTIONS=(-v)
	fetch 'keep = "never"'
	assert_status 75
	assert_stderr_has 'the server refused UIDL: "cannot now"'
	assert_transcript 2 <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
	EOF
	assert_equal "$(delivered)" 2
}

@test "a listing that is cut is none: nothing is fetched and nothing forgotten (pop3 rule 20)" {
	serve 'messages 3' 'session 2 on UIDL send +OK; send 1 uid-1; send 9 new; drop' \
		'session 3 on LIST send +OK; send 1 1000; drop'
	fetch
	cp "$STATE/box.uidl" before
	fetch 'keep = "never"'
	assert_status 69
	assert_stderr_has 'in the middle of the reply to UIDL: the server closed the connection'
	fetch 'keep = "never"'
	assert_status 69
	assert_stderr_has 'in the middle of the reply to LIST: the server closed the connection'
	assert_equal "$(cat "$STATE/box.uidl")" "$(cat before)"
	run ! grep -q '^[23]> \(RETR\|DELE\)' "$TRANSCRIPT"
	run ! grep -q lockstep "$STATE/box.uidl"
	fetch
	assert_status 0
	assert_equal "$(delivered)" 3
}

# ---- CAPA ----

@test "CAPA is asked after the connection and after the login (pop3 rule 21)" {
	serve 'messages 1' 'capa before -UIDL' 'capa before -PIPELINING'
	fetch
	assert_status 0
	assert_transcript <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
		RETR 1
		QUIT
	EOF
}

@test "CAPA that is refused after the login leaves the first list in force (pop3 rule 21)" {
	serve 'messages 3' 'once on CAPA normal' 'on CAPA send -ERR Invalid command in current state' \
		'on UIDL send -ERR not now'
	OPTIONS=(-v)
	fetch
	assert_status 75
	assert_stderr_has 'the server refused UIDL'
	serve 'messages 3' 'session 1 once on CAPA normal' 'on CAPA send -ERR Invalid command in current state'
	fetch
	assert_status 0
	assert_stderr_has 'messages: 3, pipelining'
}

@test "a server without CAPA is asked what it can by trying (pop3 rule 21)" {
	serve 'messages 2' 'capa none'
	OPTIONS=(-v)
	fetch
	assert_status 0
	assert_equal "$(delivered)" 2
	assert_stderr_has 'messages: 2, in lock step'
}

@test "a server that hangs up at CAPA twice is connected to again without it (pop3 rule 21)" {
	for action in drop reset 'send +OK; send TOP; drop' 'send hello?'; do
		forget
		serve 'messages 1' "on CAPA $action"
		OPTIONS=(-v)
		fetch
		assert_status 0
		assert_stderr_has 'the server breaks off at CAPA: connected again without it'
		assert_equal "$(count_sessions)" 3
		assert_transcript 3 <<-'EOF'
			USER jane
			PASS secret
			UIDL
			LIST
			RETR 1
			QUIT
		EOF
	done
}

@test "capabilities are known in any case of letters, and what is unknown is passed over (pop3 rules 22, 23)" {
	serve 'messages 3' 'capa cApA' 'capa pipelining' 'capa Uidl' 'capa uTf8  User' 'capa EXPIRENEVER' 'capa X-GOOGLE-RICO' \
		'capa "IMPLEMENTATION of PIPELINING SASL LOGIN-DELAY 900"' 'capa LOGIN-DELAY soon' 'capa EXPIRE' \
		'capa ""' 'capa "\x1b\x00\xff"' 'capa sasl plain'
	fetch 'auth = "auto"'
	assert_status 0
	assert_transcript <<-'EOF'
		CAPA
		UTF8
		AUTH PLAIN AGphbmUAc2VjcmV0
		CAPA
		UIDL
		LIST
		RETR 1
		RETR 2
		RETR 3
		QUIT
	EOF
}

@test "a list of capabilities has an end (pop3 rule 22)" {
	yes X-MORE | head -n 5000 | sed 's/$/\r/' >many
	refused 76 'the reply to CAPA has more than 1000 lines' 'messages 1' \
		"once on CAPA normal" "on CAPA send +OK; content $HOME/many; send ."
}

@test "PIPELINING that appears only after the login is used, and one that vanishes is not (pop3 rule 23)" {
	serve 'messages 8' 'capa before -PIPELINING'
	fetch
	assert_status 0
	assert_equal "$(flights)" 7
	forget
	serve 'messages 8' 'capa after -PIPELINING'
	OPTIONS=(-v)
	fetch
	assert_status 0
	assert_stderr_has 'in lock step'
	assert_equal "$(flights)" 14
}

@test "response codes say what a refused login means, in any case and with unknown branches (pop3 rule 24)" {
	refused 75 'USER/PASS: "[in-use] locked"' 'on PASS send -ERR [in-use] locked'
	refused 75 'USER/PASS: "[IN-USE/ODD] locked"' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [IN-USE/ODD] locked'
	refused 75 '[SYS/ODD]' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [SYS/ODD] x'
	refused 77 '[IN-USER]' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [IN-USER] x'
	refused 77 'no [IN-USE] here' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR no [IN-USE] here'
	refused 77 '[IN-USE' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR [IN-USE'
	serve 'messages 1' 'greeting +OK [SYS/PERM] is no code here'
	fetch
	assert_status 0
}

@test "the time between logins that a server asks for is kept to (pop3 rules 25, 30)" {
	serve 'messages 1' 'capa +LOGIN-DELAY 900'
	fetch
	assert_status 0
	OPTIONS=(-v)
	fetch
	assert_status 75
	assert_stderr_has 'the server asks for 900 s between logins'
	assert_equal "$(count_sessions)" 1
}

@test "a server that will not keep mail as long as it should is told of (pop3 rule 26)" {
	OPTIONS=(-v)
	serve 'messages 1' 'capa after +EXPIRE 7 USER'
	fetch 'keep = "30d"'
	assert_status 0
	assert_stderr_has "the server deletes mail after 7 days, which is sooner than 'keep' says"
	fetch
	assert_stderr_has 'sooner than'
	for keep in 7d never; do
		fetch "keep = \"$keep\""
		assert_status 0
		refute_stderr_has "'keep' says"
	done
	serve 'messages 1' 'capa +EXPIRE 0'
	fetch
	assert_stderr_has "the server does not let mail stay after it was fetched, whatever 'keep' says"
	serve 'messages 1' 'capa +EXPIRE NEVER'
	fetch
	refute_stderr_has "'keep' says"
}

@test "EXPIRE that only the list before the login has still holds (pop3 rules 21, 27)" {
	serve 'messages 2' 'capa before +EXPIRE 0'
	fetch 'deliver = "pipe:false"'
	assert_status 1
	run ! grep -q '> QUIT' "$TRANSCRIPT"
}

# ---- pipelining ----

@test "with PIPELINING all messages of a window take one round trip (pop3 rule 28)" {
	serve 'messages 100'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 100
	assert_equal "$(flights)" 6
}

@test "thousands of messages take some windows, not a round trip each (pop3 rule 28)" {
	start_fakepop --synthetic 2000 100
	fetch
	assert_status 0
	assert_equal "$(delivered)" 2000
	[ "$(flights)" -le 40 ] || fail "$(flights) flights"
}

@test "in lock step a message is one round trip (pop3 rule 28)" {
	serve 'messages 100' 'capa -PIPELINING' lock-step
	fetch
	assert_status 0
	assert_equal "$(flights)" 108
	assert_equal "$(count_sessions)" 1
}

@test "pipelining = off and on overrule what the server says (pop3 rule 28)" {
	serve 'messages 10'
	fetch 'pipelining = "off"'
	assert_status 0
	assert_equal "$(flights)" 18
	forget
	serve 'messages 10' 'capa -PIPELINING'
	fetch 'pipelining = "on"'
	assert_status 0
	assert_equal "$(flights)" 6
}

# swallowing_server ROWS OCTETS: lists so many messages of so many octets and answers no RETR; how many it got
# until nothing more came is in the file "asked".
swallowing_server() {
	python3 - "$@" >port 2>server.log 3>&- <<-'PYTHON' &
		import select, socket, sys
		rows, octets = int(sys.argv[1]), sys.argv[2]
		listener = socket.socket()
		listener.bind(("127.0.0.1", 0))
		listener.listen(1)
		print(listener.getsockname()[1], flush=True)
		client, _ = listener.accept()
		client.sendall(b"+OK\r\n")
		listing = lambda value: "+OK\r\n" + "".join("%d %s\r\n" % (n, value % n) for n in range(1, rows + 1)) + ".\r\n"
		replies = {"CAPA": "+OK\r\nPIPELINING\r\nUIDL\r\nUSER\r\n.\r\n", "UIDL": listing("uid-%d"),
		           "LIST": listing(octets + "%.0s")}
		asked, data = 0, b""
		while select.select([client], [], [], 2 if asked else 30)[0]:
		    more = client.recv(65536)
		    if not more:
		        break
		    data += more
		    *lines, data = data.split(b"\r\n")
		    for line in lines:
		        verb = line.split()[0].decode()
		        if verb == "RETR":
		            asked += 1
		        elif verb != "STAT":
		            client.sendall(replies.get(verb, "+OK\r\n").encode())
		open("asked", "w").write(str(asked))
	PYTHON
	SERVER_PIDS+=($!)
	wait_until 10 test -s port
	PORT=$(<port) SERVER_TLS=none
}

@test "what is in flight is bounded, in commands and in octets (pop3 rule 28)" {
	swallowing_server 3000 10
	fetch 'timeout = "10s"'
	assert_status 69
	[ "$(<asked)" -gt 100 ] && [ "$(<asked)" -le 512 ] || fail "$(<asked) commands in flight"
	forget
	rm asked port
	swallowing_server 3000 1048576
	fetch 'timeout = "10s"'
	assert_status 69
	[ "$(<asked)" -ge 2 ] && [ "$(<asked)" -le 5 ] || fail "$(<asked) MiB in flight"
}

@test "nothing is sent behind PASS before its answer (pop3 rule 28)" {
	serve 'messages 2' 'on USER discard; normal' 'on PASS discard; normal'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 2
	assert_equal "$(count_sessions)" 1
	forget
	serve 'messages 2' 'on AUTH discard; normal'
	fetch 'auth = "PLAIN"'
	assert_status 0
	assert_equal "$(count_sessions)" 1
}

@test "nothing is sent behind STLS before its answer (pop3 rule 28)" {
	start_fakepop -e 'messages 2' -e 'on STLS discard; normal' --stls
	fetch
	assert_status 0
	assert_equal "$(count_sessions)" 1
	assert_equal "$(transcript_events | grep -c pipelined)" 0
}

@test "an idle poll through TLS takes four round trips behind the handshakes" {
	start_fakepop -e 'messages 3' --tls
	fetch 'auth = "auto"'
	assert_status 0
	fetch 'auth = "auto"'
	assert_status 0
	assert_equal "$(transcript 2)" 'CAPA
AUTH PLAIN AGphbmUAc2VjcmV0
CAPA
UIDL
LIST
QUIT'
	assert_equal "$(flights 2)" 4
}

@test "a server that breaks on a batch is asked again in lock step, and that is remembered (pop3 rule 28)" {
	serve 'messages 3' lock-step
	OPTIONS=(-v)
	fetch
	assert_status 0
	assert_stderr_has 'trying again in lock step'
	assert_equal "$(delivered)" 3
	assert_equal "$(count_sessions)" 2
	grep -q '^fact lockstep ' "$STATE/box.uidl"
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(count_sessions)" 3
	assert_equal "$(transcript_events 3 | grep -c deleted)" 3
	fetch 'pipelining = "on"'
	assert_equal "$(count_sessions)" 4
}

@test "a server that breaks on the first batch of messages is asked again in lock step (pop3 rule 28)" {
	serve 'messages 5' 'session 1 on RETR reset'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 5
	assert_equal "$(count_sessions)" 2
	assert_equal "$(transcript 2 | grep -c RETR)" 5
	fetch
	assert_equal "$(flights 3)" 7
}

@test "messages that another session left elsewhere in the listing are not taken for those planned" {
	serve 'messages 5' 'session 1 on RETR drop' 'session 2 hide 1'
	fetch
	assert_status 69
	run ! grep -q '^2> RETR' "$TRANSCRIPT"
	fetch
	assert_status 0
	assert_equal "$(delivered)" 5
}

# ---- refusals ----

@test "a maildrop in use and a server in trouble make no noise, only a status (pop3 rules 29, 30, 31)" {
	for code in IN-USE LOGIN-DELAY SYS/TEMP; do
		forget
		OPTIONS=()
		serve 'messages 1' "on PASS send -ERR [$code] later"
		fetch
		assert_status 75
		assert_equal "$output$stderr" ''
		OPTIONS=(-v)
		fetch
		assert_stderr_has "the server refused the login with USER/PASS: \"[$code] later\""
	done
}

@test "a server whose administrator must act is told loudly (pop3 rules 31, 34)" {
	forget
	serve 'messages 1' 'on PASS send -ERR [SYS/PERM] your mailbox is broken'
	fetch
	assert_status 69
	assert_stderr_has 'box: the server refused the login with USER/PASS: "[SYS/PERM] your mailbox is broken"'
	serve 'messages 1' 'on PASS send -ERR [REFERRAL/jane@other.example.org:110] go there'
	fetch
	assert_status 69
	assert_stderr_has '[REFERRAL/jane@other.example.org:110] go there'
	assert_equal "$(count_sessions)" 1
}

@test "codes may come on any command (pop3 rule 31)" {
	refused 75 'the server refused the connection: "[SYS/TEMP] x"' 'greeting -ERR [SYS/TEMP] x'
	refused 69 'the server refused the connection: "[SYS/PERM] x"' 'greeting -ERR [SYS/PERM] x'
	refused 69 'the server refused UIDL: "[SYS/PERM] x"' 'capa -UIDL' 'on UIDL send -ERR [SYS/PERM] x'
	refused 75 'the server refused UIDL: "[SYS/TEMP] x"' 'capa -UIDL' 'on UIDL send -ERR [SYS/TEMP] x'
	refused 69 'the server refused LIST: "[SYS/PERM] x"' 'on LIST send -ERR [SYS/PERM] x'
	refused 75 'the server refused LIST: "x"' 'on LIST send -ERR x'
	refused 69 'several messages in a row: "[SYS/PERM] x"' 'messages 5' 'on RETR send -ERR [SYS/PERM] x'
	refused 75 'several messages in a row: "[SYS/TEMP] x"' 'messages 5' 'on RETR send -ERR [SYS/TEMP] x'
	refused 75 'USER/PASS: "[SYS/TEMP] x"' 'on USER send -ERR [SYS/TEMP] x'
}

@test "[AUTH] is a refused password, and what has no code where it should is not (pop3 rule 32)" {
	refused 77 'USER/PASS: "[AUTH] no"' 'on PASS send -ERR [AUTH] no'
	refused 75 'USER/PASS: "no"' 'on PASS send -ERR no'
	refused 77 'USER/PASS: "no"' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR no'
	refused 77 'USER/PASS: "no"' 'capa none' 'on PASS send -ERR no'
	refused 77 'USER/PASS: "no"' 'capa none' 'on PASS send -ERR no; drop'
}

@test "[AUTH] where no password was sent is no refused login, and does not make an account be left alone (pop3 rule 32)" {
	refused 75 'the server refused the connection: "[AUTH] x"' 'greeting -ERR [AUTH] x'
	run ! grep -q '^fact failures' "$STATE/box.uidl"
	refused 75 'the server refused UIDL: "[AUTH] x"' 'capa -UIDL' 'on UIDL send -ERR [AUTH] x'
	run ! grep -q '^fact failures' "$STATE/box.uidl"
	refused 75 'the server refused LIST: "[AUTH] x"' 'on LIST send -ERR [AUTH] x'
	run ! grep -q '^fact failures' "$STATE/box.uidl"
	refused 77 'USER/PASS: "[AUTH] no"' 'on PASS send -ERR [AUTH] no'
	grep -q '^fact failures 1 ' "$STATE/box.uidl"
}

@test "texts without a code that mean later are known (pop3 rule 33)" {
	for text in 'Mailbox is locked' "can't get lock" 'please wait' 'Service unavailable' 'Server Unavailable. 21' \
		'Exceeded the login limit for a 15 minute period' 'login delay' 'Too many logins' 'internal server error' \
		'Temporary authentication failure' 'try again later'; do
		refused 75 "$text" 'capa -AUTH-RESP-CODE' "on PASS send -ERR $text"
	done
	refused 77 'this account is blocked' 'capa -AUTH-RESP-CODE' 'on PASS send -ERR this account is blocked'
}

@test "one refused login does not make an account be left alone (pop3 rule 33)" {
	serve 'messages 1' 'capa -AUTH-RESP-CODE' 'times 2 on PASS send -ERR Logon failure: unknown user name or bad password'
	fetch
	assert_status 77
	fetch
	assert_status 77
	fetch
	assert_status 0
	assert_equal "$(delivered)" 1
}

@test "a server that refuses the connection is tried later" {
	refused 75 'the server refused the connection: "too many connections"' 'greeting -ERR too many connections'
	refused 75 'the server refused the connection: ""' 'send -ERR' drop
}

@test "a message that is refused leaves the others alone" {
	serve 'messages 10' 'on RETR 4 send -ERR no such message'
	fetch 'keep = "never"'
	assert_status 1
	assert_stderr_has 'message 4 (uid-4): the server refuses it: "no such message"'
	assert_equal "$(delivered)" 9
	assert_equal "$(transcript_events | grep -c deleted)" 9
	fetch 'keep = "never"'
	assert_equal "$(transcript 2 | grep 'RETR\|DELE')" $'RETR 1\nDELE 1'
}

@test "three messages refused in a row, and the last one, end the account" {
	serve 'messages 9' 'capa -PIPELINING' 'on RETR 2 send -ERR no' 'on RETR 3 send -ERR no' 'on /^RETR [5-9]/ send -ERR no'
	fetch
	assert_status 76
	assert_stderr_has 'the server refused several messages in a row: "no"'
	assert_equal "$(delivered)" 2
	assert_equal "$(transcript | grep RETR | tail -n 1)" 'RETR 9'
	assert_equal "$(transcript | tail -n 1)" QUIT
}

# ---- UTF8 ----

@test "UTF8 is sent where it is listed, before the login (pop3 rules 59, 60)" {
	serve 'messages 1' 'capa +UTF8'
	fetch
	assert_status 0
	assert_equal "$(transcript | head -n 4)" $'CAPA\nUTF8\nUSER jane\nPASS secret'
	assert_equal "$(transcript | grep -c UTF8)" 1
}

@test "UTF8 comes behind STLS and the second CAPA (pop3 rules 38, 59)" {
	start_fakepop -e 'messages 1' -e 'capa +UTF8' --stls
	fetch
	assert_status 0
	assert_equal "$(transcript | head -n 5)" $'CAPA\nSTLS\nCAPA\nUTF8\nUSER jane'
}

@test "UTF8 that is listed and refused is said, and no reason to stop (pop3 rule 60)" {
	serve 'messages 1' 'capa +UTF8 USER' 'on UTF8 send -ERR not so'
	OPTIONS=(-v)
	fetch
	assert_status 0
	assert_stderr_has 'the server lists UTF8 and refuses it'
	assert_equal "$(delivered)" 1
}

@test "a user in UTF-8 is sent only to a server that lists UTF8 USER (pop3 rule 61)" {
	for capa in 'capa +UTF8' 'capa -NONE'; do
		forget
		serve 'messages 1' any-user "$capa"
		fetch 'user = "jäne"'
		assert_status 77
		assert_stderr_has 'user or password is not ASCII, and the server does not list UTF8 USER'
		run ! grep -q '> USER\|> PASS' "$TRANSCRIPT"
	done
	fetch 'password = "sécret"'
	assert_status 77
	forget
	serve 'messages 1' any-user 'capa +UTF8 USER'
	fetch 'user = "jäne"'
	assert_status 0
	assert_equal "$(transcript | sed -n 3p)" 'USER j\xc3\xa4ne'
}

@test "a message that needs UTF8 is reported (pop3 rule 62)" {
	serve 'messages 3' 'on RETR 2 send -ERR [UTF8] message is in UTF-8'
	fetch
	assert_status 1
	assert_stderr_has 'message 2 (uid-2): the server refuses it: "[UTF8] message is in UTF-8"'
	assert_equal "$(delivered)" 2
}

# ---- connections ----

@test "a server at ::1 is reached, with and without brackets" {
	start_fakepop --listen6 -e 'messages 2'
	fetch 'host = "::1"'
	assert_status 0
	fetch 'host = "[::1]"' 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 2
	assert_equal "$(transcript_events 2 | grep -c deleted)" 2
}

@test "the addresses of a name are tried in turn" {
	serve 'messages 2'
	make_resolver
	named() {
		RESOLVER=127.0.0.9,127.0.0.1 with_resolver pophaul
	}
	account box 'host = "pop.example.org"' 'cleartext = "yes"' | write_config
	run --separate-stderr named
	assert_status 0
	assert_equal "$(delivered)" 2
	stop_servers
	run --separate-stderr named
	assert_status 69
	assert_stderr_has "'pop.example.org': cannot connect to port $PORT: '127.0.0.9': Connection refused; '127.0.0.1': Connection refused"
}

@test "a port that nobody listens on, and a name that nobody has, are said" {
	PORT=$(free_port) SERVER_TLS=none
	fetch
	assert_status 69
	assert_stderr_has "box: '127.0.0.1': cannot connect to port $PORT: '127.0.0.1': Connection refused"
	fetch 'host = "nobody.invalid"' 'cleartext = "yes"'
	assert_status 69
	assert_stderr_has "'nobody.invalid': the host name"
}

@test "a server that does not take the connection is given up after connect-timeout" {
	python3 - >port <<-'EOF' &
		import socket, time
		server = socket.socket()
		server.bind(("127.0.0.1", 0))
		server.listen(0)
		full = []
		while True:
		    client = socket.socket()
		    client.settimeout(0.2)
		    try:
		        client.connect(server.getsockname())
		    except OSError:
		        break
		    full.append(client)
		print(server.getsockname()[1], flush=True)
		time.sleep(60)
	EOF
	SERVER_PIDS+=($!)
	wait_until 10 test -s port
	PORT=$(<port) SERVER_TLS=none
	fetch 'connect-timeout = "1s"'
	assert_status 69
	assert_stderr_has "cannot connect to port $PORT: '127.0.0.1': timed out"
}

@test "a server that says nothing in the TLS handshake is given up after connect-timeout" {
	serve stall
	make_certs
	fetch 'tls = "implicit"' 'connect-timeout = "1s"'
	assert_status 69
	assert_stderr_has 'TLS handshake: timed out'
}

@test "silence anywhere ends after timeout" {
	refused 69 'waiting for the greeting: the server says nothing (if this is its port for TLS, use tls = "implicit")' stall
	refused 69 'waiting for the reply to PASS: no answer for 1 second' 'on PASS stall'
	refused 69 'the server has been silent for 1 second' 'messages 3' 'on RETR 2 raw "+OK\r\nSubject: x"; stall'
	assert_equal "$(delivered)" 1
	serve 'messages 1' 'on QUIT stall'
	fetch 'keep = "never"' 'timeout = "1s"'
	assert_status 69
	assert_stderr_has 'deletions are not confirmed: waiting for the reply to QUIT: no answer for 1 second'
}

@test "a slow server is not a silent one" {
	serve 'messages 1 400' 'on RETR drip 40 150; normal'
	fetch 'timeout = "1s"'
	assert_status 0
	assert_equal "$(delivered)" 1
}

@test "a connection that ends before the greeting is said" {
	refused 69 'waiting for the greeting: the server closed the connection' drop
	refused 69 'Connection reset by peer' reset
}

@test "the end of the connection inside any reply is an error, and half a message is none" {
	local closed='the server closed the connection'

	refused 69 "waiting for the greeting: $closed" 'raw "+OK hel"' drop
	refused 69 "waiting for the reply to USER: $closed" 'on USER raw "+OK"; drop'
	refused 69 "waiting for the reply to PASS: $closed" 'on PASS drop'
	refused 69 "waiting for the reply to PASS: $closed" 'on PASS raw "+OK\r"; drop'
	refused 69 "waiting for the reply to CAPA: $closed" 'capa -PIPELINING' 'once on CAPA normal' 'on CAPA raw "+O"; drop'
	refused 69 "in the middle of the reply to CAPA: $closed" 'capa -PIPELINING' 'once on CAPA normal' 'on CAPA send +OK; send TOP; drop'
	refused 69 "waiting for the reply to UIDL: $closed" 'on UIDL drop'
	refused 69 "in the middle of the reply to UIDL: $closed" 'on UIDL raw "+OK\r\n1 uid-1\r\n."; drop'
	refused 69 "in the middle of the reply to LIST: $closed" 'on LIST raw "+OK\r\n1 10"; drop'
	refused 69 "$closed" 'messages 1' 'on RETR drop'
	for cut in 1 4 5 6 30 500 900 ; do
		refused 69 "$closed" 'messages 2 1000' "on RETR 2 cut $cut"
		assert_equal "$(delivered)" 1
		assert_equal "$(count_files Maildir/tmp)" 0
	done
	for end in '\r' '\r\n' '\r\n.' '\r\n.\r' '\n.\n'; do
		refused 69 "in the middle of message 2: $closed" 'messages 2' "on RETR 2 raw \"+OK\\r\\nS: x\\r\\n\\r\\nx$end\"; drop"
		assert_equal "$(delivered)" 1
	done
}

@test "the end of the connection inside the replies to DELE and QUIT leaves the state right" {
	for script in 'once on DELE 2 drop' 'once on QUIT drop' 'once on QUIT raw "+O"; drop' 'once on QUIT reset'; do
		forget
		serve 'messages 3' "$script"
		fetch 'keep = "never"'
		assert_status 69
		assert_equal "$(delivered)" 3
		fetch 'keep = "never"'
		assert_status 0
		assert_equal "$(delivered)" 3
		assert_equal "$(transcript_events 2 | grep -c deleted)" 3
		stop_servers
	done
}

# ---- hostile servers ----

@test "what a server says reaches the terminal in printable letters only" {
	local evil='\x1b]0;owned\x07\x00\x9b31m\r\x08'

	for script in "greeting -ERR $evil" "greeting $evil" "on PASS send \"-ERR $evil\"" "on UIDL send \"-ERR $evil\"" \
		"on RETR send \"-ERR $evil\"" "uidl 1 \"$evil\"" "on UIDL send \"$evil\"" "on LIST send \"+OK\"; send \"$evil\"" \
		"on USER send \"$evil\"" "on DELE send \"-ERR $evil\"" "on QUIT send \"-ERR $evil\""; do
		[[ $script != greeting* ]] || script="${script/ / \"}\""
		script=${script/\"-ERR/\"-ERR}
		forget
		serve 'messages 1' "$script"
		for options in -vv -l -lv; do
			account box 'auth = "USER"' 'keep = "never"' | write_config
			pophaul "$options" >out 2>err || :
			refute_control_octets out
			refute_control_octets err
			[ "$options" != -vv ] || grep -q 'x1b' err || fail "not shown: $script" "$(cat err)"
		done
		stop_servers
	done
}

@test "what a sender wrote reaches the terminal in printable letters only" {
	serve 'message "From: \x1b]0;owned\x07 \x00\x9b31m\nSubject: \x1b[2J\x08erased\n\n"'
	account box 'auth = "USER"' | write_config
	pophaul -lv >out 2>err
	refute_control_octets out
	refute_control_octets err
	grep -q erased out
	grep -q owned out
}

@test "numbers that cannot be are refused, whole (76)" {
	for row in '0 x' '-1 x' '4294967296 x' '18446744073709551617 x' 'x y' '1x y' ''; do
		refused 76 "unexpected reply to UIDL: \"$row\"" 'messages 2' "on UIDL raw \"+OK\\r\\n$row\\r\\n.\\r\\n\""
		refused 76 "unexpected reply to LIST: \"$row\"" 'messages 2' "on LIST raw \"+OK\\r\\n$row\\r\\n.\\r\\n\""
	done
	refused 76 'the server lists message 1 twice' 'messages 2' 'on UIDL raw "+OK\r\n1 a\r\n1 b\r\n.\r\n"'
	refused 76 'the server lists message 1 twice' 'messages 2' 'on LIST raw "+OK\r\n1 5\r\n1 6\r\n.\r\n"'
	run ! grep -q RETR "$TRANSCRIPT"
}

@test "gaps, disorder and big numbers in a listing are no matter" {
	serve 'messages 1' 'on UIDL raw "+OK\r\n4294967295 c\r\n7 b\r\n1 a\r\n.\r\n"' \
		'on LIST raw "+OK\r\n7 1\r\n1 1\r\n4294967295 1\r\n9 9\r\n.\r\n"' \
		'on RETR raw "+OK\r\nSubject: x\r\n\r\nx\r\n.\r\n"'
	OPTIONS=(-v)
	fetch
	assert_status 0
	assert_stderr_has 'without a unique id, so not fetched: 1 message; LIST has number 9'
	assert_equal "$(transcript | grep RETR)" $'RETR 1\nRETR 7\nRETR 4294967295'
	assert_equal "$(delivered)" 3
}

@test "what a server says unasked ends the session" {
	serve 'messages 2' 'on RETR 2 normal; send "-ERR [SYS/TEMP] going down"; drop' 'capa -PIPELINING'
	OPTIONS=(-v)
	fetch 'keep = "never"'
	assert_status 75
	assert_stderr_has 'the server says unasked: "-ERR [SYS/TEMP] going down"'
	assert_equal "$(delivered)" 2
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 2
	run ! grep -q '^2> RETR' "$TRANSCRIPT"
}

# ---- the poll that setup_file began ----

@test "NOOP keeps a session alive while a command works on a message (pop3 rule 10)" {
	wait_until 40 test -e "$BATS_FILE_TMPDIR/home/slow.status"
	assert_equal "$(<"$BATS_FILE_TMPDIR/home/slow.status")" 0
	[ -s "$BATS_FILE_TMPDIR/home/slow.eml" ]
	TRANSCRIPT=$BATS_FILE_TMPDIR/fakepop-1.transcript
	assert_transcript <<-'EOF'
		CAPA
		USER jane
		PASS secret
		CAPA
		UIDL
		LIST
		RETR 1
		NOOP
		DELE 1
		QUIT
	EOF
}

@test "each rule of the list in README is cited by a test, or says why not" {
	grep -h '^@test' "$TESTS"/[0-9]*.bats | grep -o '(pop3 rules\? [0-9, ]*)' | grep -o '[0-9]\+' | sort -nu >cited
	sed -n '/^RULES/,$s/^ \([0-9]\+\)\t.*/\1/p' "$TESTS/README" >rules
	sed -n '/^RULES/,$s/^ \([0-9]\+\)\t.*No test:.*/\1/p' "$TESTS/README" >untested
	assert_equal "$(cat rules)" "$(seq 62)"
	assert_equal "$(cat cited)" "$(grep -vxFf untested rules)"
}
